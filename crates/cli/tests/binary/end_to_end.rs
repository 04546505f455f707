//! Whole runs: every file is there, reports can be made again, equal settings give equal numbers.

use crate::support::{QUESTIONS, Scratch, TRACES, command, entrace, expect, rows, said};
use std::path::Path;

const TABLES: [&str; 4] = ["traces.parquet", "prefixes.parquet", "answers.parquet", "tokens.parquet"];

fn names(dir: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_writes_everything() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS), scratch.arg("out"));
    let args = ["run", "--model", &model, "--tasks", &tasks, "--max_new_tokens=40", "--max-nodes", "8"];
    expect(0, &[&args[..], &["--output_path", &out]].concat());
    let names = names(&out);
    for name in TABLES.iter().chain(&["manifest.json", "metrics.json", "report.html", "figures"]) {
        assert!(names.contains(&name.to_string()), "{name} is missing: {names:?}");
    }
    for start in ["results_", "samples_sums_"] {
        assert!(names.iter().any(|name| name.starts_with(start)), "{start}* is missing: {names:?}");
    }
    scores_are_those_of_the_metrics(&out, &names);
    assert!(!names.contains(&"parts".to_string()));
    let html = std::fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(!html.contains("<script") && !html.contains("src=\"http") && !html.contains("href=\"http"));
    let rows = rows(&out);
    assert_eq!(rows.traces.len(), 4);
    assert!(rows.prefixes.iter().any(|p| &*p.control == "swapped"));

    let before = std::fs::read(Path::new(&out).join("report.html")).unwrap();
    expect(0, &["report", &out]);
    assert_eq!(std::fs::read(Path::new(&out).join("report.html")).unwrap(), before);
    assert!(expect(0, &["report", &out, "--markdown"]).contains("sums"));
    let again = expect(0, &[&args[..], &["--output-path", &out]].concat());
    assert!(again.contains("is complete already"), "{again}");
}

fn scores_are_those_of_the_metrics(out: &str, names: &[String]) {
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(Path::new(out).join(name)).unwrap()).unwrap()
    };
    let results = read(names.iter().find(|name| name.starts_with("results_")).unwrap());
    let accuracy = &read("metrics.json")["tasks"][0]["accuracy"];
    let scores = &results["results"]["sums"];
    assert_eq!(scores["exact_match,none"], accuracy["value"]);
    assert_eq!(scores["exact_match_stderr,none"], accuracy["standard_error"]);
    assert!(scores["exact_match_stderr,none"].is_f64(), "{scores}");
    assert_eq!(results["n-samples"]["sums"]["effective"], accuracy["n_questions"]);
}

#[test]
fn traces_from_a_file_are_measured() {
    let scratch = Scratch::new();
    let (model, traces, out) = (scratch.model(), scratch.file("t.jsonl", TRACES), scratch.arg("out"));
    expect(
        0,
        &[
            "score",
            "--model",
            &model,
            "--traces",
            &traces,
            "--controls",
            "swapped,shuffled",
            "--output-path",
            &out,
        ],
    );
    let rows = rows(&out);
    assert_eq!(rows.traces.iter().filter(|t| t.correct == Some(true)).count(), 2);
    assert!(rows.prefixes.iter().all(|p| &*p.estimator == "choices"));
    for control in ["none", "swapped", "shuffled"] {
        assert!(rows.prefixes.iter().any(|p| &*p.control == control), "{control}");
    }
    assert!(rows.tokens.iter().all(|t| t.logprob.is_some() && t.token_entropy.is_some()));
    let steps = rows.traces.iter().find(|t| &*t.question_id == "a").unwrap().n_steps;
    assert_eq!(steps, 3);
    expect(0, &["compare", &out, &out]);
}

#[test]
fn a_file_with_targets_of_several_kinds_is_one_task() {
    let scratch = Scratch::new();
    let lines = concat!(
        r#"{"id": "n", "question": "3 + 4?", "target": "7", "trace": "It is a sum. The answer is 7 for 2 numbers."}"#,
        "\n",
        r#"{"id": "t", "question": "Where?", "target": "[2, 3)", "trace": "Not at 3. $\\boxed{[2,3)}$"}"#,
        "\n",
        r#"{"id": "c", "question": "Which?", "target": "B", "choices": ["ice", "tea"], "trace": "Ice melts. I would go with B."}"#,
        "\n",
    );
    let (model, traces, out) = (scratch.model(), scratch.file("mixed.jsonl", lines), scratch.arg("out"));
    let args =
        ["score", "--model", &model, "--traces", &traces, "--answer-format", "auto", "--max-nodes", "4"];
    let said = expect(0, &[&args[..], &["--output-path", &out]].concat());
    assert!(said.contains("1 as number, 1 as choice, 1 as text"), "{said}");
    let rows = rows(&out);
    assert!(rows.traces.iter().all(|trace| trace.correct == Some(true) && &*trace.task == "mixed"));
    assert_eq!(rows.traces.len(), 3);
    let manifest = std::fs::read_to_string(Path::new(&out).join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let tasks = manifest["settings"]["tasks"].as_array().unwrap();
    assert_eq!((tasks.len(), tasks[0]["answer_format"].as_str()), (1, Some("number, choice, text")));
}

/// Traces of one question may stand anywhere in the file, as where the outputs of several seeds were put one after the other.
#[test]
fn the_order_of_traces_in_a_file_does_not_matter() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let line = |question: usize, sample: usize| {
        format!(
            "{{\"id\": \"q{question}\", \"question\": \"{question} + 1?\", \"target\": \"{}\", \"sample\": {sample}, \
             \"trace\": \"It is {sample}.\\nSo {question}.\"}}\n",
            question + 1
        )
    };
    let by_question: String = (0..6).map(|i| line(i / 2, i % 2)).collect();
    let by_sample: String = (0..6).map(|i| line(i % 3, i / 3)).collect();
    let found = [("by_question", by_question), ("by_sample", by_sample)].map(|(name, text)| {
        let (traces, out) = (scratch.file(&format!("{name}.jsonl"), &text), scratch.arg(name));
        let args = ["score", "--model", &model, "--traces", &traces, "--task", "sums", "--max-nodes", "4"];
        expect(0, &[args.as_slice(), &["--output-path", &out]].concat());
        rows(&out).prefixes
    });
    assert!(found[0].iter().filter(|p| &*p.control == "swapped").count() >= 6);
    assert_eq!(found[0], found[1]);
}

#[test]
fn numbers_do_not_depend_on_batches_or_threads() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let run = |name: &str, batch: &str, threads: &str| {
        let out = scratch.arg(name);
        let args =
            ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "40", "--max-nodes", "8"];
        let more =
            ["--temperature", "0.8", "--batch-size", batch, "--threads", threads, "--output-path", &out];
        expect(0, &[&args[..], &more].concat());
        rows(&out)
    };
    let reference = run("a", "16", "2");
    for (name, batch, threads) in [("b", "1", "2"), ("c", "3", "1")] {
        let other = run(name, batch, threads);
        assert_eq!(other.traces.len(), reference.traces.len());
        for (a, b) in reference.traces.iter().zip(&other.traces) {
            assert_eq!((&a.question_id, &a.completion), (&b.question_id, &b.completion));
        }
        let key =
            |p: &entrace_record::rows::PrefixRow| (p.question_id.to_string(), p.control.to_string(), p.step);
        let sorted = |rows: &entrace_record::rows::Rows| {
            let mut prefixes = rows.prefixes.clone();
            prefixes.sort_by_key(key);
            prefixes
        };
        for (a, b) in sorted(&reference).iter().zip(&sorted(&other)) {
            assert_eq!(key(a), key(b));
            assert!((a.answer_entropy - b.answer_entropy).abs() < 1e-4, "{a:?} {b:?}");
            assert!((a.target_logprob.unwrap() - b.target_logprob.unwrap()).abs() < 1e-4, "{a:?} {b:?}");
        }
    }
}

#[test]
fn tokens_work_with_and_without_a_tokenizer() {
    let scratch = Scratch::new();
    let model = scratch.model();
    assert!(expect(0, &["tokens", "--model", &model, "--text", "two and two"]).contains("logprob"));
    let bare =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/models/out/gemma2").display().to_string();
    let output = entrace(&["tokens", "--model", &bare, "--token-ids", "3,4,5,6", "--layers", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = json["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[0]["logprob"].is_null() && tokens[0]["text"].is_null());
    assert_eq!(tokens[1]["layers"].as_array().unwrap().len(), 4);
    assert_eq!(tokens[1]["layers"][3], tokens[1]["token_entropy"]);
    assert!(expect(2, &["tokens", "--model", &bare, "--text", "hi"]).contains("no tokenizer"));
}

#[test]
fn models_are_examined_and_lists_printed() {
    let scratch = Scratch::new();
    let said = expect(0, &["doctor", "--model", &scratch.model()]);
    assert!(said.contains("token tree      ok") && said.contains("llama"), "{said}");
    for (what, item) in
        [("tasks", "gsm8k"), ("estimators", "rollout"), ("signals", "edis"), ("architectures", "olmo2")]
    {
        assert!(expect(0, &["ls", what]).contains(item));
    }
}

#[test]
fn a_configuration_file_is_overridden_by_flags() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS), scratch.arg("out"));
    let config = format!(
        "model = {model:?}\ntasks = [{tasks:?}]\nlimit = 1\nmax_new_tokens = 8\nquiet = true\noutput_path = {out:?}\n"
    );
    let config = scratch.file("c.toml", &config);
    expect(0, &["run", "--config", &config, "--limit", "2"]);
    assert_eq!(rows(&out).traces.len(), 2);
    let bad = scratch.file("bad.toml", "limt = 3\n");
    assert!(expect(2, &["run", "--config", &bad]).contains("limt: no such flag"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let ids: Vec<String> = (0..300).map(|i| (i % 50 + 3).to_string()).collect();
    let mut child = command(&["tokens", "--model", &model, "--token-ids", &ids.join(","), "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
