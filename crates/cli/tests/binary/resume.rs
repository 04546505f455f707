//! Runs that are killed or interrupted go on, and end with the same tables.

use crate::support::{QUESTIONS, Scratch, command, expect, said};
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
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
    expect(0, &args);
    let whole = scratch.arg("whole");
    expect(0, &[&args[..args.len() - 1], &[&whole]].concat());
    assert_equal_tables(&whole, &out);
}
