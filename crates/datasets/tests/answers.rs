//! Answers as models write them, one line a case.
//!
//! `answers.jsonl` beside this file has for each case what kind it is, the format, the completion and the answer that is in it. A further
//! file of the same or of the published form (`answer_format`, `trace`, `expected`) can be named with `ENTRACE_ANSWER_CASES`.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::path::Path;

use entrace_datasets::{FormatKind, NumberStyle};
use entrace_measure::{Answer, Choices, Thoughts};
use serde_json::Value;

/// The answer that the case expects, and the one that is read as in a file with its target.
fn read(case: &Value) -> (String, Answer) {
    let text = |names: [&str; 2]| names.iter().find_map(|name| case[name].as_str()).unwrap();
    let style = NumberStyle::of_targets([case["target"].as_str().unwrap()].into_iter());
    let format = FormatKind::from_name(text(["format", "answer_format"])).unwrap().format_in(style);
    let choices = case["choices"].as_array().map(|options| {
        let texts: Vec<String> = options.iter().map(|option| option.as_str().unwrap().to_string()).collect();
        let labels = ('A'..='Z').map(String::from).take(texts.len()).collect();
        Choices::new(labels, texts).unwrap()
    });
    let division = Thoughts::default().divide(text(["text", "trace"]), None);
    let found = division.answer(format.as_ref(), false, choices.as_ref());
    (text(["answer", "expected"]).to_string(), found)
}

/// What was misread, and how many cases there are of each kind.
fn misread(path: &Path) -> (Vec<String>, BTreeMap<String, usize>) {
    let file = std::fs::read_to_string(path).unwrap();
    let (mut misread, mut kinds) = (Vec::new(), BTreeMap::new());
    for line in file.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (expected, found) = read(&case);
        *kinds.entry(case["kind"].as_str().unwrap().to_string()).or_default() += 1;
        if found.name() != expected {
            misread.push(format!("{}: expected {}, found {}: {line}", case["kind"], expected, found.name()));
        }
    }
    (misread, kinds)
}

#[test]
fn every_case_is_read() {
    let (misread, kinds) = misread(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers.jsonl"));
    println!("{kinds:?}");
    assert!(misread.is_empty(), "{} misread:\n{}", misread.len(), misread.join("\n"));
}

#[test]
fn further_cases_are_read() {
    let Some(path) = std::env::var_os("ENTRACE_ANSWER_CASES") else {
        println!("skipped: ENTRACE_ANSWER_CASES does not name a file of cases");
        return;
    };
    let (misread, kinds) = misread(Path::new(&path));
    let n: usize = kinds.values().sum();
    println!("{} of {n} read", n - misread.len());
    assert!(misread.len() * 20 <= n, "{} of {n} misread:\n{}", misread.len(), misread.join("\n"));
}
