//! What `report` and `compare` say of runs that are odd: other questions, unfinished, nothing measured, no run at all.

use crate::support::{QUESTIONS, Scratch, entrace, expect, rows, said};
use entrace_record::{RunReader, RunWriter};
use std::path::Path;

/// Measures the questions of a file with few tokens.
fn measure(command: &str, model: &str, input: &str, out: &str) -> String {
    let flag = if command == "run" { "--tasks" } else { "--traces" };
    let args = [command, "--model", model, flag, input, "--max-nodes", "4", "--max-new-tokens", "8"];
    said(&entrace(&[&args[..], &["--output-path", out]].concat()))
}

#[test]
fn files_of_one_name_are_not_the_same_questions() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for (folder, question) in [("a", "Two rows of 6 chairs. How many chairs?"), ("b", "What is 9 minus 8?")] {
        std::fs::create_dir(scratch.path(folder)).unwrap();
        let line = format!("{{\"question\": \"{question}\", \"target\": \"12\"}}\n");
        files.push(scratch.file(&format!("{folder}/q.jsonl"), &line));
        folders.push(scratch.arg(&format!("out-{folder}")));
        measure("run", &model, &files[files.len() - 1], &folders[folders.len() - 1]);
    }
    let said = expect(2, &["compare", &folders[0], &folders[1]]);
    assert!(
        said.contains("questions of q: 1 of the 1 id in both runs stands for different questions"),
        "{said}"
    );
    assert!(
        said.contains("\"line-1\": \"Two rows of 6 chairs. How many chairs?\" in out-a, \"What is 9"),
        "{said}"
    );
    expect(0, &["compare", &folders[0], &folders[0]]);
}

#[test]
fn scored_traces_compare_with_a_run_on_the_same_questions() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let with_traces = QUESTIONS.replace("\"target\"", "\"trace\": \"One and two.\\nSo 7.\", \"target\"");
    std::fs::create_dir(scratch.path("traces")).unwrap();
    let traces = scratch.file("traces/sums.jsonl", &with_traces);
    let (run, score) = (scratch.arg("run"), scratch.arg("score"));
    measure("run", &model, &tasks, &run);
    measure("score", &model, &traces, &score);
    let said = expect(0, &["compare", &run, &score]);
    assert!(said.contains("On the same 4 questions, from run to score"), "{said}");
}

#[test]
fn an_unfinished_run_is_reported_as_such() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let (whole, killed) = (scratch.arg("whole"), scratch.arg("killed"));
    measure("run", &model, &tasks, &whole);
    let mut manifest = RunReader::open(Path::new(&whole)).unwrap().manifest().clone();
    manifest.finished_at = None;
    let mut some = rows(&whole);
    some.traces.retain(|row| &*row.question_id < "d");
    RunWriter::overwrite(Path::new(&killed), &manifest).unwrap().write_part(0, &some).unwrap();
    let line = "3 of 4 questions are done; run the same command again to resume.";
    let said = expect(0, &["report", &killed]);
    assert!(said.starts_with(&format!("Unfinished: {line}\n")), "{said}");
    let said = expect(0, &["report", &killed, "--markdown"]);
    assert!(said.starts_with(&format!("**Unfinished:** {line}\n")), "{said}");
    let said = expect(0, &["compare", &killed, &killed]);
    assert!(said.contains(&format!("killed, {line}\n")), "{said}");
    let said = expect(2, &["compare", &killed, &whole]);
    assert!(said.contains("3 are in both, of 3 in killed (unfinished) and 4 in whole"), "{said}");
}

#[test]
fn a_run_that_measured_nothing_says_why() {
    let scratch = Scratch::new();
    let traces: String = (0..12)
        .map(|i| {
            format!("{{\"question\": \"What is {i} + 1?\", \"trace\": \"\", \"target\": \"{}\"}}\n", i + 1)
        })
        .collect();
    let (traces, out) = (scratch.file("t.jsonl", &format!("{traces}{{\n")), scratch.arg("o"));
    for said in [
        measure("score", &scratch.model(), &traces, &out),
        said(&entrace(&["report", &out])),
        said(&entrace(&["report", &out, "--markdown"])),
    ] {
        for part in [
            "Nothing was measured: every trace was skipped or failed.",
            "12 traces skipped: ",
            "1 line of the input could not be read",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(!said.contains("target"), "{said}");
    }
}

#[test]
fn a_file_is_no_run_folder() {
    let scratch = Scratch::new();
    let (model, tasks, out) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS), scratch.arg("out"));
    measure("run", &model, &tasks, &out);
    let manifest = Path::new(&out).join("manifest.json").display().to_string();
    for args in
        [&["report", &manifest][..], &["compare", &out, &manifest], &["compare", "sprout@init", &manifest]]
    {
        let said = expect(2, args);
        assert!(
            said.contains(&format!("manifest.json is a file; name the run folder that it lies in: {out}")),
            "{said}"
        );
    }
    let said = expect(2, &["report", &tasks]);
    assert!(
        said.contains("sums.jsonl is a file; name a run folder") && !said.contains("--output-path"),
        "{said}"
    );
}
