//! Questions and traces from files of other forms than JSON Lines.

use crate::support::{Scratch, expect, rows};
use entrace_record::rows::Outcome;
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn a_table_with_a_comma_in_its_name_beside_another_task() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let table = scratch.file("sums, easy.csv", "question,target\n1 + 1?,2\n\"2, then 3: sum?\",5\n4 + 4?\n");
    let list = scratch.file("more.json", r#"{"data": [{"question": "3 + 4?", "target": 7.0, "loss": NaN}]}"#);
    let (tasks, out) = (format!("{table},{list}"), scratch.arg("o"));
    let args = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "4", "--max-nodes", "4"];
    let said = expect(1, &[&args[..], &["--output-path", &out]].concat());
    assert!(said.contains("sums, easy.csv:4: 1 cells in a table of 2 columns"), "{said}");
    let traces = rows(&out).traces;
    let mut found: Vec<(&str, &str, &str)> = traces
        .iter()
        .map(|trace| (&*trace.task, trace.question.as_str(), trace.target.as_deref().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [("more", "3 + 4?", "7"), ("sums, easy", "1 + 1?", "2"), ("sums, easy", "2, then 3: sum?", "5")]
    );
}

#[test]
fn conversations_are_scored_through_the_chat_template() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let system = r#"{"role": "system", "content": "Be brief."}, "#;
    let row = |system: &str| {
        format!(
            r#"{{"messages": [{system}{{"role": "user", "content": "2 + 3?"}}, {{"role": "assistant", "content": "That is 5."}}], "answer": 5}}"#
        )
    };
    let (traces, out) = (scratch.file("t.jsonl", &row(system)), scratch.arg("o"));
    let args = ["score", "--model", &model, "--max-nodes", "4", "--output-path", &out];
    expect(0, &[&args[..], &["--traces", &traces]].concat());
    let trace = rows(&out).traces.remove(0);
    assert!(trace.prompt.contains("Be brief.") && trace.prompt.contains("2 + 3?"), "{}", trace.prompt);
    assert_eq!(
        (trace.question.as_str(), trace.target.as_deref(), trace.correct),
        ("2 + 3?", Some("5"), Some(true))
    );

    std::fs::remove_file(Path::new(&model).join("chat_template.jinja")).ok();
    let config = Path::new(&model).join("tokenizer_config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("chat_template");
    std::fs::write(&config, json.to_string()).unwrap();
    let said = expect(2, &[&args[..], &["--traces", &traces, "--overwrite"]].concat());
    assert!(
        said.contains("a conversation of 2 messages, which needs a model with a chat template"),
        "{said}"
    );
    let alone = scratch.file("alone.jsonl", &row(""));
    expect(0, &[&args[..], &["--traces", &alone, "--overwrite"]].concat());
    assert_eq!(rows(&out).traces[0].prompt, "Q: 2 + 3?\nA:");
}

#[test]
fn targets_that_cannot_be_read_are_not_taken_for_missing() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/data/out/targets.parquet");
    let (golden, out) = (golden.display().to_string(), scratch.arg("o"));
    let args = ["run", "--model", &model, "--tasks", &golden, "--output-path", &out, "--max-new-tokens", "4"];
    let said = expect(2, &[&args[..], &["--map", "target=pickle"]].concat());
    assert!(said.contains("\"pickle\"") && said.contains("bytes that are not UTF-8 text"), "{said}");
    let said = expect(0, &[&args[..], &["--max-nodes", "4"]].concat());
    assert!(said.contains("no row has a target") && said.contains("decimal9"), "{said}");
    let said =
        expect(1, &[&args[..], &["--max-nodes", "4", "--map", "target=decimal76", "--overwrite"]].concat());
    assert!(said.contains("target column \"decimal76\" is missing"), "{said}");
}

/// Changes the definition of a model's tokenizer.
fn edit_tokenizer(model: &str, edit: impl FnOnce(&mut Value)) {
    let path = Path::new(model).join("tokenizer.json");
    let mut definition: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut definition);
    std::fs::write(&path, definition.to_string()).unwrap();
}

#[test]
fn decomposed_letters_are_measured_where_the_tokenizer_composes_them() {
    let scratch = Scratch::new();
    let model = scratch.model();
    edit_tokenizer(&model, |definition| definition["normalizer"] = json!({"type": "NFC"}));
    let traces = scratch.file(
        "t.jsonl",
        "{\"question\": \"How much?\", \"target\": \"5\", \"steps\": [\"The cafe\u{301} says.\", \" The answer is 5.\"]}\n",
    );
    let out = scratch.arg("o");
    expect(0, &["score", "--model", &model, "--traces", &traces, "--max-nodes", "4", "--output-path", &out]);
    let rows = rows(&out);
    assert_eq!(rows.traces[0].completion, "The caf\u{e9} says. The answer is 5.");
    assert_eq!((rows.traces[0].outcome, rows.traces[0].correct), (Outcome::Measured, Some(true)));
    let text: String =
        rows.tokens.iter().filter(|token| token.step == 1).map(|token| token.text.as_str()).collect();
    assert_eq!(text, "The caf\u{e9} says.");
}

#[test]
fn a_label_that_cannot_be_tokenised_is_its_questions_failure() {
    let scratch = Scratch::new();
    let model = scratch.model();
    edit_tokenizer(&model, |definition| {
        let id = definition["model"]["vocab"]["!"].clone();
        let special = json!({"id": id, "content": "!", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        definition["added_tokens"].as_array_mut().unwrap().push(special);
    });
    let row = |id: &str, label: &str| {
        format!(
            r#"{{"id": "{id}", "question": "Which?", "choices": {{"label": ["A", "{label}"], "text": ["ice", "fire"]}}, "target": "A"}}"#
        )
    };
    let tasks = scratch.file("q.jsonl", &[row("good", "B"), row("bad", "!")].join("\n"));
    let out = scratch.arg("o");
    let args = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "4", "--output-path", &out];
    let said = expect(1, &args);
    let traces = rows(&out).traces;
    let of = |id: &str| traces.iter().find(|trace| &*trace.question_id == id).unwrap();
    assert_eq!((of("good").outcome, of("bad").outcome), (Outcome::Measured, Outcome::Failed), "{said}");
    assert!(
        of("bad").reason.as_ref().unwrap().contains("the tokenizer cannot encode"),
        "{:?}",
        of("bad").reason
    );
}

#[test]
fn a_trace_beyond_the_context_is_refused_before_it_is_tokenised() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let row = |id: &str, trace: &str| {
        format!(r#"{{"id": "{id}", "question": "?", "trace": "{trace}", "target": "5"}}"#)
    };
    let traces = [row("long", &" ".repeat(5_000_000)), row("short", "That is 5.")].join("\n");
    let (traces, out) = (scratch.file("t.jsonl", &traces), scratch.arg("o"));
    let args = ["score", "--model", &model, "--traces", &traces, "--max-nodes", "4", "--output-path", &out];
    expect(0, &args);
    let row = rows(&out).traces.into_iter().find(|trace| &*trace.question_id == "long").unwrap();
    assert_eq!(row.outcome, Outcome::Skipped);
    let reason = row.reason.unwrap();
    assert!(reason.starts_with("a trace of 5000000 bytes has at least"), "{reason}");
    let said = expect(1, &[&args[..], &["--overwrite", "--max-cell-bytes", "1000000"]].concat());
    assert!(said.contains("a text of 5000000 bytes, more than the 1000000 that a cell may have"), "{said}");
}

#[test]
fn a_long_name_of_a_file_makes_no_name_too_long() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let name = "n".repeat(240);
    let tasks = scratch.file(&format!("{name}.jsonl"), r#"{"question": "1 + 1?", "target": 2}"#);
    let args = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "4", "--max-nodes", "4"];
    expect(0, &[&args[..], &["--output-path", &scratch.arg("o")]].concat());
    let output = crate::support::command(&args).current_dir(scratch.path("")).output().unwrap();
    let said = crate::support::said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
}
