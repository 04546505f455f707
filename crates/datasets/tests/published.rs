//! The published benchmarks, where they are at hand: `ENTRACE_DATA_DIR` names a folder with `gsm8k`, `svamp` and `arc_challenge`.
//!
//! Nothing of their text is kept in this repository.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "it says why it skips and what it counted")]

use std::fs;
use std::path::PathBuf;

use entrace_datasets::task::{find, load};
use entrace_datasets::{BadLines, Loaded, Split, fewshot};
use entrace_measure::Verdict;

fn data_dir() -> Option<PathBuf> {
    let folder = std::env::var_os("ENTRACE_DATA_DIR").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ENTRACE_DATA_DIR does not name a folder of benchmarks");
    }
    folder
}

fn read(task: &str, folder: &std::path::Path, split: Split) -> Loaded {
    let task = find(task).unwrap();
    let loaded = load(task, folder, split, BadLines::Stop).unwrap();
    let format = task.answer_format.format();
    for question in &loaded.questions {
        let target = question.target.as_ref().unwrap();
        let choices = question.choices.as_ref();
        assert!(!target.is_invalid(), "{}", question.id);
        assert_eq!(&format.canonical(target.name(), choices), target, "{}", question.id);
        let grammar = format.grammar(choices);
        for form in format.surface_forms(target, choices) {
            assert_eq!(&format.canonical(&form, choices), target, "{}: {form:?}", question.id);
            let stated = format!("So it is so.\nThe answer is{form}.");
            assert_eq!(&format.extract(&stated, choices), target, "{}: {form:?}", question.id);
        }
        let first = &format.surface_forms(target, choices)[0];
        let end = grammar.walk(grammar.start(), first);
        assert_eq!(grammar.verdict(end), Verdict::Complete, "{}", question.id);
        assert_eq!(grammar.verdict(grammar.step(end, '\n')), Verdict::Closed, "{}", question.id);
    }
    loaded
}

#[test]
fn every_question_is_read_and_every_target_is_canonical() {
    let Some(folder) = data_dir() else { return };
    for (task, split, count) in [
        ("gsm8k", Split::Test, 1319),
        ("gsm8k", Split::Train, 7473),
        ("svamp", Split::Test, 1000),
        ("arc_challenge", Split::Validation, 294),
        ("arc_challenge", Split::Test, 1150),
    ] {
        assert_eq!(read(task, &folder, split).questions.len(), count, "{task} {}", split.name());
    }
}

#[test]
fn the_answer_of_every_gsm8k_solution_is_extracted() {
    let Some(folder) = data_dir() else { return };
    let task = find("gsm8k").unwrap();
    let format = task.answer_format.format();
    for split in [Split::Train, Split::Test] {
        let loaded = load(task, &folder, split, BadLines::Stop).unwrap();
        let text = fs::read_to_string(&loaded.source).unwrap();
        let (mut lines, mut last_number) = (0, 0);
        for (line, question) in text.lines().zip(&loaded.questions) {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let target = question.target.as_ref().unwrap();
            let solution = row["answer"].as_str().unwrap();
            assert_eq!(&format.extract(solution, None), target, "{}", question.id);
            let worked = question.rationale.as_ref().unwrap();
            let stated =
                format!("{worked}\nThe answer is {}.", solution.rsplit("####").next().unwrap().trim());
            assert_eq!(&format.extract(&stated, None), target, "{}", question.id);
            last_number += usize::from(&format.extract(worked, None) == target);
            lines += 1;
        }
        println!(
            "{}: {lines} solutions; {last_number} end with the target without their marker",
            split.name()
        );
        assert!(last_number * 10 > lines * 9, "the last number is the answer of most solutions");
    }
}

#[test]
fn the_value_of_every_svamp_equation_is_extracted() {
    let Some(folder) = data_dir() else { return };
    let loaded = read("svamp", &folder, Split::Test);
    let format = find("svamp").unwrap().answer_format.format();
    for question in &loaded.questions {
        let solution = question.rationale.as_ref().unwrap();
        assert_eq!(&format.extract(solution, None), question.target.as_ref().unwrap(), "{solution}");
    }
}

#[test]
fn examples_come_from_the_splits_at_hand() {
    let Some(folder) = data_dir() else { return };
    for (task, split, has_note) in [
        ("gsm8k", Split::Train, false),
        ("svamp", Split::Test, true),
        ("arc_challenge", Split::Validation, false),
    ] {
        let pool = fewshot::pool(find(task).unwrap(), &folder, BadLines::Stop).unwrap();
        assert_eq!((pool.split, pool.note.is_some()), (split, has_note), "{task}");
    }
}
