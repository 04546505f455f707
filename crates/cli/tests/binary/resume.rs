//! Runs that are killed or interrupted go on, and end with the same tables.

use crate::support::{QUESTIONS, Scratch, TRACES, command, expect, said};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const TABLES: [&str; 4] = ["traces.parquet", "prefixes.parquet", "answers.parquet", "tokens.parquet"];

/// Many questions, so that there is time to interrupt.
fn questions() -> String {
    (0..12).map(|copy| QUESTIONS.replace(r#""id": ""#, &format!(r#""id": "{copy}-"#))).collect()
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} did not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_equal_tables(a: &str, b: &str) {
    for table in TABLES {
        let read = |dir: &str| std::fs::read(Path::new(dir).join(table)).unwrap();
        assert!(read(a) == read(b), "{table} differs");
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_tables() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions()));
    let (whole, killed) = (scratch.arg("whole"), scratch.arg("killed"));
    let args = [
        "run",
        "--model",
        &model,
        "--tasks",
        &tasks,
        "--max-new-tokens",
        "30",
        "--max-nodes",
        "8",
        "--batch-size",
        "2",
    ];
    expect(0, &[&args[..], &["--output-path", &whole]].concat());
    let resumed = [&args[..], &["--output-path", &killed]].concat();
    let mut child = command(&resumed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&Path::new(&killed).join("parts/00001"));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = expect(0, &resumed);
    assert!(said.contains("were measured before"), "{said}");
    assert_equal_tables(&whole, &killed);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_resumes() {
    ends_on_and_resumes("-INT");
}

/// Schedulers end jobs so.
#[cfg(unix)]
#[test]
fn a_terminated_run_says_so_and_resumes() {
    ends_on_and_resumes("-TERM");
}

#[cfg(unix)]
fn ends_on_and_resumes(signal: &str) {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions()));
    let out = scratch.arg("out");
    let args = [
        "run",
        "--model",
        &model,
        "--tasks",
        &tasks,
        "--max-new-tokens",
        "30",
        "--batch-size",
        "2",
        "--output-path",
        &out,
    ];
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&Path::new(&out).join("parts/00000"));
    std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
    expect(0, &args);
    let whole = scratch.arg("whole");
    expect(0, &[&args[..args.len() - 1], &[&whole]].concat());
    assert_equal_tables(&whole, &out);
}

/// Whatever changes the results is a difference, not only what has a name of its own in the manifest.
#[test]
fn a_run_is_the_same_only_with_the_same_questions_prompts_and_sampling() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let tasks = scratch.file("sums.jsonl", &QUESTIONS.replace(r#""target""#, r#""other": "3", "target""#));
    let out = scratch.arg("out");
    let run = [
        ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "10", "--max-nodes", "4"]
            .as_slice(),
        &["--output-path", &out],
    ]
    .concat();
    expect(0, &run);
    for changed in [["--map", "target=other"], ["--prompt-template", "Please: {question}"], ["--limit", "3"]]
    {
        let said = expect(2, &[run.as_slice(), &changed].concat());
        assert!(said.contains("items_hash"), "{changed:?} said:\n{said}");
    }
    let dotted = scratch.path(".").join("sums.jsonl").display().to_string();
    let elsewhere: Vec<&str> = run.iter().map(|&arg| if arg == tasks { &dotted } else { arg }).collect();
    assert!(expect(0, &elsewhere).contains("complete already"));

    let traces = scratch.file("traces.jsonl", TRACES);
    let out = scratch.arg("scored");
    let score = [
        ["score", "--model", &model, "--traces", &traces, "--estimator", "rollout", "--samples", "2"]
            .as_slice(),
        &["--temperature", "0.7", "--max-new-tokens", "8", "--output-path", &out],
    ]
    .concat();
    expect(0, &score);
    let said = expect(2, &[score.as_slice(), &["--temperature", "1.5"]].concat());
    assert!(said.contains("traces.sampling.temperature"), "{said}");
    let said = expect(2, &[score.as_slice(), &["--limit", "2"]].concat());
    assert!(said.contains("n_questions"), "{said}");
}

#[test]
fn refused_settings_leave_no_folder_and_replacing_leaves_what_is_not_of_the_run() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let (tasks, out) = (scratch.file("sums.jsonl", QUESTIONS), scratch.arg("out"));
    let run = ["run", "--model", &model, "--tasks", &tasks, "--max-new-tokens", "10", "--output-path", &out];
    let said = expect(2, &[run.as_slice(), &["--estimator", "rollout"]].concat());
    assert!(said.contains("temperature"), "{said}");
    let said = expect(2, &[run.as_slice(), &["--estimator", "choices"]].concat());
    assert!(said.contains("has options"), "{said}");
    assert!(!Path::new(&out).exists());

    let nodes = |n: &'static str| [run.as_slice(), &["--max-nodes", n]].concat();
    expect(0, &nodes("4"));
    let outputs = || {
        let names =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains("s_")).collect();
        names.sort();
        names
    };
    let first = outputs();
    assert_eq!(first.len(), 2, "{first:?}");
    expect(0, &nodes("4"));
    assert_eq!(outputs().len(), 2, "{:?}", outputs());
    let mine = Path::new(&out).join("samples_mine.jsonl");
    std::fs::write(&mine, "{}").unwrap();
    expect(0, &[nodes("3").as_slice(), &["--overwrite"]].concat());
    assert!(mine.exists() && outputs().len() == 3, "{:?}", outputs());

    let own = Path::new(&out).join("traces.parquet").display().to_string();
    let score = ["score", "--model", &model, "--traces", &own, "--output-path", &out, "--overwrite"];
    let said = expect(2, &score);
    assert!(said.contains("another --output-path"), "{said}");
}
