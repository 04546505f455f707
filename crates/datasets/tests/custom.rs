//! Questions and traces from users' own files.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use entrace_datasets::jsonl::{self, Options};
use entrace_datasets::{BadLines, ColumnMap, Error, FormatKind, Imported, TracePrompt, imported};
use serde_json::{Value, json};

fn write(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn custom(rows: &[Value], options: &Options) -> Result<jsonl::Custom, Error> {
    let folder = tempfile::tempdir().unwrap();
    jsonl::load(&write(folder.path(), "mine.jsonl", rows), "mine", options)
}

fn traces(rows: &[Value], options: &Options) -> Result<Imported, Error> {
    let folder = tempfile::tempdir().unwrap();
    imported::load(&write(folder.path(), "mine.jsonl", rows), "mine", options)
}

/// The formats that occur.
fn kinds(read: &jsonl::Custom) -> String {
    FormatKind::names(&read.kinds)
}

fn kinds_of_traces(read: &Imported) -> String {
    FormatKind::names(&read.traces.iter().map(|trace| trace.answer_format).collect::<Vec<_>>())
}

fn reasons(bad_lines: &[entrace_datasets::BadLine]) -> Vec<(usize, &str)> {
    bad_lines.iter().map(|line| (line.line_number, line.reason.as_str())).collect()
}

#[test]
fn columns_are_mapped_and_the_format_is_inferred() {
    let columns = ColumnMap::parse("question=problem,target=gold.value,id=key").unwrap();
    let rows = [
        json!({"problem": "1 + 1?", "gold": {"value": 2}, "key": "a"}),
        json!({"problem": "half?", "gold": {"value": "$1/2"}, "key": "b"}),
        json!({"problem": "no gold", "key": "c"}),
        json!({"problem": "again", "gold": {"value": 3}, "key": "a"}),
        json!({"gold": {"value": 3}, "key": "d"}),
    ];
    let read = custom(&rows, &Options { columns: columns.clone(), ..Options::default() }).unwrap();
    assert_eq!(kinds(&read), "number");
    let targets: Vec<&str> =
        read.loaded.questions.iter().map(|question| question.target.as_ref().unwrap().name()).collect();
    assert_eq!(targets, ["2", "0.5"]);
    assert_eq!(
        reasons(&read.loaded.bad_lines),
        [
            (3, "the target column \"gold.value\" is missing; there are problem, key"),
            (4, "the id \"a\" appeared before"),
            (5, "the question column \"problem\" is missing; there are gold, key"),
        ]
    );
    let strict = custom(&rows, &Options { columns, bad_lines: BadLines::Stop, ..Options::default() });
    assert!(strict.unwrap_err().to_string().contains("mine.jsonl:3: the target column"));
}

#[test]
fn choices_and_free_text_are_inferred_too() {
    let choice = [
        json!({"question": "What melts?", "choices": ["ice", "fire"], "answer": "B"}),
        json!({"question": "What burns?", "choices": {"labels": ["x", "y"], "texts": ["ice", "wood"]}, "answer": "wood"}),
        json!({"question": "What?", "choices": ["ice", "fire"], "answer": 1}),
        json!({"question": "How many?", "choices": ["1", "2", "3", "4"], "answer": 1}),
        json!({"question": "How many?", "choices": ["1", "2", "3", "4"], "answer": "1"}),
        json!({"question": "Which?", "choices": {"label": ["1", "2"], "text": ["2", "1"]}, "answer": 1}),
        json!({"question": "What?", "choices": ["ice", "fire"], "answer": 2}),
    ];
    let read = custom(&choice, &Options::default()).unwrap();
    assert_eq!(kinds(&read), "choice");
    assert_eq!(read.loaded.questions[1].target.as_ref().unwrap().name(), "y");
    assert_eq!(read.loaded.questions[0].id, "line-1");
    let targets: Vec<&str> =
        read.loaded.questions[2..].iter().map(|question| question.target.as_ref().unwrap().name()).collect();
    assert_eq!(targets, ["B", "A", "1"]);
    let reasons = reasons(&read.loaded.bad_lines);
    assert_eq!((reasons[0].0, reasons[1].0), (4, 7));
    assert!(reasons[0].1.contains("may be an index from 0"), "{reasons:?}");
    let as_numbers = Options { answer_format: Some(FormatKind::Number), ..Options::default() };
    assert_eq!(
        custom(&choice[3..4], &as_numbers).unwrap().loaded.questions[0].target,
        Some(entrace_measure::Answer::Value("1".into()))
    );

    let text = [json!({"question": "Where?", "target": "The Seine."}), json!({"question": "When?"})];
    let read = custom(&text, &Options::default()).unwrap();
    assert_eq!(kinds(&read), "text");
    assert_eq!(read.loaded.questions[0].target.as_ref().unwrap().name(), "seine");
    assert_eq!(read.loaded.questions[1].target, None);

    let forced = Options { answer_format: Some(FormatKind::Choice), ..Options::default() };
    let error = custom(&text, &forced).unwrap_err();
    assert!(error.to_string().contains("lists no choices"), "{error}");
}

#[test]
fn worked_solutions_lend_their_last_number() {
    let rows = [json!({"question": "?", "answer": "3 * 4 = <<3*4=12>>12\n#### 12"})];
    let read = custom(&rows, &Options::default()).unwrap();
    assert_eq!(kinds(&read), "number");
    assert_eq!(read.loaded.questions[0].target.as_ref().unwrap().name(), "12");
}

#[test]
fn traces_with_steps() {
    let rows = [
        json!({"id": 1, "question": "?", "trace": "é one. two.", "target": "2", "steps": ["é one.", "", " two."], "correct": 1}),
        json!({"id": 2, "prompt": "Q: ?\nA:", "steps": ["a", "b"]}),
        json!({"id": 3, "question": "?", "trace": "é one. two.", "steps": ["é one.", " too."]}),
        json!({"id": 4, "question": "?", "trace": "one. two.", "steps": ["one."]}),
        json!({"id": 5, "question": "?", "trace": ""}),
        json!({"id": 6, "question": "?"}),
        json!({"id": 7, "trace": "x"}),
        json!({"id": 8, "question": "?", "trace": "x", "steps": "x"}),
    ];
    let read = traces(&rows, &Options::default()).unwrap();
    assert_eq!(read.traces.len(), 3);
    assert_eq!(read.traces[0].step_ends, Some(vec![7, 12]));
    assert_eq!(read.traces[0].correct, Some(true));
    assert_eq!(read.traces[0].question.target.as_ref().unwrap().name(), "2");
    let second = &read.traces[1];
    assert_eq!((second.trace.as_str(), second.question.text.as_str()), ("ab", "Q: ?\nA:"));
    assert_eq!(
        (second.prompt.clone(), &second.question.target),
        (Some(TracePrompt::Text("Q: ?\nA:".into())), &None)
    );
    assert_eq!((read.traces[2].trace.as_str(), &read.traces[2].step_ends), ("", &None));
    assert_eq!(
        reasons(&read.bad_lines),
        [
            (3, "step 2 differs from the trace at byte 9: the step has \"oo.\", the trace \"wo.\""),
            (4, "the 1 steps end at byte 4, the trace goes on with \" two.\""),
            (
                6,
                "there is no column trace or completion or messages; name it with trace=COLUMN; there are id, question"
            ),
            (7, "there is no column question or prompt; name it with question=COLUMN; there are id, trace"),
            (8, "steps are no list of texts"),
        ]
    );
}

#[test]
fn several_traces_of_one_question_need_samples() {
    let row =
        |sample: Value| json!({"id": "q", "question": "?", "completion": "x", "answer": 1, "sample": sample});
    let read = traces(
        &[row(json!(0)), row(json!(1)), row(json!(1)), row(json!(null)), row(json!(-1))],
        &Options::default(),
    );
    let read = read.unwrap();
    assert_eq!(read.traces.iter().map(|trace| trace.sample).collect::<Vec<_>>(), [0, 1]);
    let numbers: Vec<usize> = read.bad_lines.iter().map(|line| line.line_number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert!(read.bad_lines[0].reason.contains("need a sample column"));
}

#[test]
fn lm_evals_samples_are_known_by_their_columns() {
    let row = |id: usize, filter: &str, arguments: Value| {
        json!({"doc_id": id, "doc": {"question": "How many?", "answer": "#### 12"}, "target": "3*4=12\n#### 12",
            "arguments": arguments, "resps": [["first", "second"]], "filtered_resps": ["12"], "filter": filter, "exact_match": 1.0})
    };
    let rows = [
        row(0, "strict-match", json!([["Q: How many?\nA:", {"until": []}]])),
        row(0, "flexible-extract", json!([["Q: How many?\nA:", {"until": []}]])),
        row(1, "strict-match", json!({"gen_args_0": {"arg_0": "Q: How many?\nA:", "arg_1": {}}})),
        json!({"doc_id": 2, "doc": {"question": "?"}, "target": "1", "filter": "strict-match", "resps": [[[-1.5, false]]]}),
    ];
    let read = traces(&rows, &Options::default()).unwrap();
    let seen: Vec<(&str, usize, &str)> = read
        .traces
        .iter()
        .map(|trace| (trace.question.id.as_str(), trace.sample, trace.trace.as_str()))
        .collect();
    assert_eq!(seen, [("0", 0, "first"), ("0", 1, "second"), ("1", 0, "first"), ("1", 1, "second")]);
    assert_eq!(kinds_of_traces(&read), "number");
    for trace in &read.traces {
        assert_eq!(trace.question.target.as_ref().unwrap().name(), "12");
        assert_eq!(trace.prompt, Some(TracePrompt::Text("Q: How many?\nA:".into())));
        assert_eq!((trace.question.text.as_str(), trace.correct), ("How many?", None));
    }
    assert_eq!(read.bad_lines.len(), 1);
    assert!(read.bad_lines[0].reason.contains("log-probabilities"));
}

#[test]
fn targets_of_several_kinds_are_read_question_by_question() {
    let row = |target: &str| json!({"question": "1 + 1?", "target": target});
    let read = |rows: &[Value]| custom(rows, &Options::default()).unwrap();
    let mixed = read(&[row("2"), row("12 apples"), row("\\frac{3}{4}"), row("[2, 5)")]);
    assert_eq!(mixed.kinds, [FormatKind::Number, FormatKind::Text, FormatKind::Number, FormatKind::Text]);
    let targets: Vec<&str> =
        mixed.loaded.questions.iter().map(|question| question.target.as_ref().unwrap().name()).collect();
    assert_eq!(targets, ["2", "12 apples", "0.75", "[2,5)"]);
    let note = mixed.notes[0].clone();
    assert!(note.contains("2 as number, 2 as text") && note.contains("mine.jsonl:"), "{note}");
    assert!(read(&[row("2"), row("3")]).notes.is_empty());
    assert_eq!(kinds(&read(&[row("two"), row("three")])), "text");

    let with_options = json!({"question": "1 + 1?", "target": "A", "choices": ["2", "3"]});
    let mixed = read(&[with_options.clone(), row("A"), with_options]);
    assert_eq!(mixed.kinds, [FormatKind::Choice, FormatKind::Text, FormatKind::Choice]);
    let note = mixed.notes[0].clone();
    assert!(note.contains("1 as text") && note.contains("mine.jsonl:2"), "{note}");
}

#[test]
fn targets_show_what_a_mark_means() {
    let row = |target: &str| json!({"question": "1 + 1?", "target": target});
    let targets = |rows: &[Value]| -> Vec<String> {
        let read = custom(rows, &Options::default()).unwrap();
        read.loaded
            .questions
            .iter()
            .map(|question| question.target.as_ref().unwrap().name().to_string())
            .collect()
    };
    assert_eq!(targets(&[row("1.450"), row("3,5")]), ["1450", "3.5"]);
    assert_eq!(targets(&[row("1.450"), row("3.5")]), ["1.45", "3.5"]);
}

#[test]
fn a_question_without_text_is_a_bad_line() {
    let rows = [json!({"question": " ", "target": "1"}), json!({"question": "1?", "target": "1"})];
    let read = custom(&rows, &Options::default()).unwrap();
    assert_eq!(reasons(&read.loaded.bad_lines), [(1, "the question is empty")]);
}

#[test]
fn a_file_without_a_trace_is_an_error() {
    let error = traces(&[json!({"question": "?"})], &Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("could not find a usable line in "), "{error}");
}
