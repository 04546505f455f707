//! Bad input: a clear message, a documented exit code, and nothing lost of what can be measured.

use crate::support::{QUESTIONS, Scratch, TRACES, expect, rows};
use entrace_record::rows::Outcome;

/// The message of a run that must fail.
fn fails(code: i32, args: &[&str], fragments: &[&str]) {
    let said = expect(code, args);
    for fragment in fragments {
        assert!(said.contains(fragment), "{args:?} does not say {fragment:?}:\n{said}");
    }
}

#[test]
fn models_that_cannot_be_loaded() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("q.jsonl", QUESTIONS));
    let run = |model: &str, fragments: &[&str]| {
        fails(
            2,
            &["run", "--model", model, "--tasks", &tasks, "--output-path", &scratch.arg("o")],
            fragments,
        );
    };
    run("/no/such/model", &["/no/such/model", "neither a path"]);
    run("nobody/nothing", &["nobody/nothing", "HF_HUB_OFFLINE"]);
    std::fs::create_dir(scratch.path("empty")).unwrap();
    run(&scratch.arg("empty"), &["is not a model", "safetensors"]);

    let weights = scratch.path("model/model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    run(&model, &["model.safetensors", "damaged"]);
    std::fs::write(&weights, &whole).unwrap();

    let config = scratch.path("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"llama\"", "\"mamba\"")).unwrap();
    run(&model, &["model_type", "mamba"]);
    let mut smaller: serde_json::Value = serde_json::from_str(&text).unwrap();
    smaller["vocab_size"] = 40.into();
    std::fs::write(&config, smaller.to_string()).unwrap();
    run(&model, &["40"]);
    std::fs::write(&config, "{").unwrap();
    run(&model, &["config.json", "parse"]);
    std::fs::write(scratch.path("cut.gguf"), b"GGUF\x03\0\0\0").unwrap();
    run(&scratch.arg("cut.gguf"), &["cut.gguf", "damaged"]);
}

#[test]
fn tokenizer_and_vocabulary_that_disagree() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let other = Scratch::new();
    other.model();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/models/out/llama-gqa");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), scratch.path("model").join(name)).unwrap();
    }
    let tasks = scratch.file("q.jsonl", QUESTIONS);
    let args = ["run", "--model", &model, "--tasks", &tasks, "--output-path", &scratch.arg("o")];
    fails(2, &args, &["tokenizer", "vocabulary", "64"]);
}

#[test]
fn usage_that_is_wrong() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (scratch.model(), scratch.file("q.jsonl", QUESTIONS), scratch.arg("o"));
    fails(2, &["run", "--model", &model], &["--tasks", "ls tasks"]);
    fails(2, &["run", "--tasks", &tasks], &["--model is missing", "arith alone"]);
    fails(2, &["ls", "tasks", "--threads", "100000"], &["--threads 100000", "at most"]);
    fails(2, &["score", "--model", &model], &["--traces"]);
    fails(2, &["run", "--model", &model, "--tasks", "gsm9k", "--output-path", &out], &["gsm9k"]);
    let empty = scratch.arg("");
    let missing = ["run", "--model", &model, "--tasks", "gsm8k", "--data-dir", &empty, "--output-path", &out];
    fails(2, &missing, &["test.jsonl"]);
    for (flag, value, fragment) in [
        ("--segment", "words", "words"),
        ("--segment", "regex:(", "regex"),
        ("--controls", "mirrored", "mirrored"),
        ("--gen-kwargs", "warmth=1", "warmth"),
        ("--gen-kwargs", "temperature=hot", "hot"),
        ("--limit", "0", "--limit"),
        ("--epsilon", "2", "epsilon"),
        ("--samples", "9223372036854775808", "at most 100000"),
        ("--samples", "1000000000", "at most 100000"),
        ("--repeats", "4294967295", "at most 100000"),
        ("--batch-size", "18446744073709551615", "at most 100000"),
        ("--max-answer-tokens", "18446744073709551615", "at most 100000"),
        ("--prompt-template", "no question", "question"),
        ("--map", "question", "question"),
        ("--estimator", "guess", "guess"),
    ] {
        let args = ["run", "--model", &model, "--tasks", &tasks, "--output-path", &out, flag, value];
        fails(2, &args, &[fragment]);
    }
    std::fs::create_dir(scratch.path("other")).unwrap();
    let twice = format!("{tasks},{}", scratch.file("other/q.jsonl", QUESTIONS));
    fails(2, &["run", "--model", &model, "--tasks", &twice, "--output-path", &out], &["two tasks", "\"q\""]);
    let rollout =
        ["run", "--model", &model, "--tasks", &tasks, "--output-path", &out, "--estimator", "rollout"];
    fails(2, &rollout, &["temperature"]);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = crate::support::command(&["run", "--tasks"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"q\xff.jsonl")).output().unwrap();
    let said = crate::support::said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("argument 3 is not UTF-8"), "{said}");
}

#[test]
fn lines_that_cannot_be_read_are_counted_or_stop_the_run() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let bad = format!(
        "{QUESTIONS}{{\"id\": \"e\", \"question\": \n{}",
        r#"{"id": "a", "question": "Again?", "target": "1"}"#
    );
    let (tasks, out) = (scratch.file("q.jsonl", &bad), scratch.arg("o"));
    let args = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "8", "--output-path", &out];
    let said = expect(1, &args);
    assert!(said.contains("2 line(s)") && said.contains("q.jsonl:5"), "{said}");
    assert_eq!(rows(&out).traces.len(), 4);
    let strict = [&args[..], &["--strict", "--overwrite"]].concat();
    fails(2, &strict, &["q.jsonl:5"]);

    let steps = TRACES.replace("\"A pear is.\\n\"", "\"A plum is.\\n\"");
    let traces = scratch.file("t.jsonl", &steps);
    let said =
        expect(1, &["score", "--model", &model, "--traces", &traces, "--output-path", &scratch.arg("s")]);
    assert!(said.contains("t.jsonl:1") && said.contains("step 2"), "{said}");
}

#[test]
fn traces_that_cannot_be_measured_are_skipped_with_a_reason() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let long = "two and two make four. ".repeat(120);
    let lines = [
        r#"{"id": "empty", "question": "What is 1 + 1?", "trace": "", "target": "2"}"#.to_string(),
        format!(r#"{{"id": "long", "question": "What is 2 + 2?", "trace": "{long}", "target": "4"}}"#),
        r#"{"id": "open", "question": "What is 3 + 3?", "trace": "Three and three.\nThe answer is 6."}"#.to_string(),
        r#"{"id": "fine", "question": "What is 4 + 4?", "trace": "Four and four.\nThe answer is 8.", "target": "8"}"#.to_string(),
    ];
    let (traces, out) = (scratch.file("t.jsonl", &lines.join("\n")), scratch.arg("o"));
    let args = [
        "score",
        "--model",
        &model,
        "--traces",
        &traces,
        "--answer-format",
        "number",
        "--max-nodes",
        "8",
        "--output-path",
        &out,
    ];
    expect(0, &args);
    let rows = rows(&out);
    let trace = |id: &str| rows.traces.iter().find(|t| &*t.question_id == id).unwrap();
    assert_eq!(trace("empty").outcome, Outcome::Skipped);
    assert!(trace("empty").reason.as_ref().unwrap().contains("empty"));
    assert_eq!(trace("long").outcome, Outcome::Skipped);
    assert!(trace("long").reason.as_ref().unwrap().contains("context"));
    assert_eq!((trace("open").outcome, trace("open").correct), (Outcome::Measured, None));
    let open = rows.prefixes.iter().filter(|p| &*p.question_id == "open");
    assert!(open.clone().count() > 0 && open.clone().all(|p| p.target_logprob.is_none()));
    assert_eq!((trace("fine").outcome, trace("fine").correct), (Outcome::Measured, Some(true)));
}

#[test]
fn folders_that_cannot_be_used() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (scratch.model(), scratch.file("q.jsonl", QUESTIONS), scratch.arg("o"));
    let run = |more: &[&str]| {
        let args = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "8", "--max-nodes", "4"];
        [&args[..], more].concat().into_iter().map(str::to_string).collect::<Vec<_>>()
    };
    let refs = |args: &[String]| args.to_vec();
    let call = |code: i32, args: Vec<String>| {
        expect(code, &refs(&args).iter().map(String::as_str).collect::<Vec<_>>())
    };
    call(0, run(&["--output-path", &out]));
    let said = call(2, run(&["--output-path", &out, "--seed", "7"]));
    assert!(said.contains("seed") && said.contains("--overwrite"), "{said}");
    call(0, run(&["--output-path", &out, "--seed", "7", "--overwrite"]));

    let file = scratch.file("in-the-way", "x");
    let said = call(3, run(&["--output-path", &file]));
    assert!(said.contains("in-the-way"), "{said}");
    let said = expect(2, &["report", &scratch.arg("nothing")]);
    assert!(said.contains("nothing"), "{said}");
}
