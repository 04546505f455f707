//! What `decide` and `rewards` make of a recorded run.
//!
//! `ENTRACE_PYTHON_TRAINERS`, a Python with some of TRL (0.24, later ones have no trainer of process rewards), OpenRLHF (0.8) and inspect-ai, or
//! `install`, which fetches them, lets their own code load the rewards and the confidences.

use crate::support::{Scratch, expect, said};
use entrace_decide::recorded::RecordedTrace;
use entrace_decide::replay::{Values, replay};
use entrace_decide::rule::{Condition, RuleFile};
use entrace_decide::{Rule, TaskTraces};
use entrace_record::RunReader;
use entrace_record::rows::{DecisionRow, TraceRow};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A run of sprout on a few word problems.
fn run(scratch: &Scratch, more: &[&str]) -> String {
    let folder = scratch.arg("run");
    let args = ["run", "--rollouts", "0", "--quiet", "--output-path", &folder];
    let limit: &[&str] = if more.contains(&"--limit") { &[] } else { &["--limit", "60"] };
    expect(0, &[&args[..], limit, more].concat());
    folder
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_rule_is_found_and_promised() {
    let scratch = Scratch::new();
    let folder = run(&scratch, &["--repeats", "2", "--temperature", "1"]);
    let out = scratch.arg("rule");
    let text = expect(0, &["decide", &folder, "--risk", "0.3", "--loss", "differs", "--output-path", &out]);
    assert!(text.contains("With probability 0.9 over the 24 calibration questions"), "{text}");
    assert!(text.contains("One answer from 2 traces each of 60 questions"), "{text}");
    let rule = json(&scratch.path("rule/rule.json"));
    assert_eq!(rule["format_version"], "1.1");
    assert_eq!(rule["segment"], "line");
    assert_eq!(rule["guarantees"][0]["loss"], "differs");
    let decision = json(&scratch.path("rule/decide.json"));
    assert_eq!(decision["counts"]["n_held_out"], 24);
    assert_eq!(decision["judged"][0]["name"], "whole traces");
}

#[test]
fn what_cannot_be_shown_is_told() {
    let scratch = Scratch::new();
    let folder = run(&scratch, &[]);
    let text = expect(1, &["decide", &folder, "--risk", "0.01"]);
    assert!(text.contains("even without a loss; 230 are needed"), "{text}");
    let text = expect(2, &["decide", &folder, "--signal", "nothing"]);
    assert!(text.contains("no signal \"nothing\" of prefixes; known are answer_entropy"), "{text}");
    let text = expect(2, &["decide", &folder, "--task", "gsm8k"]);
    assert!(text.contains("no task \"gsm8k\"; choose one of arith; --task names it"), "{text}");
    let text = expect(2, &["decide", &folder, "--risk", "2"]);
    assert!(text.contains("the limit of the risk is 2"), "{text}");
    expect(2, &["decide", &scratch.arg("nowhere")]);
}

#[test]
fn the_importance_of_steps_is_a_reward_where_it_was_measured() {
    let scratch = Scratch::new();
    let folder = run(&scratch, &["--limit", "6"]);
    let text = expect(2, &["rewards", &folder, "--format", "trl", "--reward", "importance"]);
    assert!(text.contains("--kinds resample --readings rollout"), "{text}");
    let changes = ["--kinds", "resample", "--readings", "rollout", "--draws", "8"];
    expect(0, &[&["intervene", &folder, "--quiet"][..], &changes].concat());
    expect(0, &["rewards", &folder, "--format", "trl", "--reward", "importance"]);
    let rows = std::fs::read_to_string(scratch.path("run/rewards_trl.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 6);
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let rewards = row["rewards"].as_array().unwrap();
        assert!(rewards.iter().all(|reward| (-1.0..=1.0).contains(&reward.as_f64().unwrap())), "{row}");
    }
}

#[test]
fn rewards_sum_to_the_gain_and_trainers_load_them() {
    let scratch = Scratch::new();
    let folder = run(&scratch, &[]);
    let text = expect(0, &["rewards", &folder]);
    assert!(text.contains("Own traces gain more than other questions' traces in"), "{text}");
    let rows = std::fs::read_to_string(scratch.path("run/rewards_jsonl.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 60);
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let steps = row["steps"].as_array().unwrap();
        let sum: f64 = steps.iter().map(|step| step["gain"].as_f64().unwrap()).sum();
        assert!((sum - row["total_gain"].as_f64().unwrap()).abs() < 1e-9);
        let text: String = steps.iter().map(|step| step["text"].as_str().unwrap()).collect();
        assert_eq!(row["trace"], text);
    }
    for format in ["trl", "openrlhf", "verl"] {
        expect(0, &["rewards", &folder, "--format", format]);
        let written = std::fs::read_to_string(scratch.path(&format!("run/rewards_{format}.jsonl"))).unwrap();
        assert_eq!(written.lines().count(), 60, "{format}");
    }
    expect(0, &["report", &folder, "--precomputed-scores"]);
    let scores = std::fs::read_to_string(scratch.path("run/precomputed_scores.jsonl")).unwrap();
    assert_eq!(scores.lines().count(), 60);
    match std::env::var("ENTRACE_PYTHON_TRAINERS") {
        Ok(python) => trainers_load(&python, &folder),
        Err(_) => {
            println!("skipped: ENTRACE_PYTHON_TRAINERS names no Python with TRL, OpenRLHF or inspect-ai")
        }
    }
}

fn trainers_load(python: &str, folder: &str) {
    let python = match python {
        "install" => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/foreign/install.py");
            let place = concat!(env!("CARGO_TARGET_TMPDIR"), "/python-rewards");
            let made = Command::new("python3").args([script, "rewards", place]).output().unwrap();
            assert!(made.status.success(), "{}", said(&made));
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        }
        python => python.to_owned(),
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/binary/trainers.py");
    let output = Command::new(python).args([script, folder]).output().unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("loaded 60 rows"), "{text}");
}

/// What a rule does to the recorded traces of a run, by question and sample: the step and the tokens at which it ends them, and how.
fn replayed(folder: &str, rule: &Rule) -> BTreeMap<(String, u32), (String, u32, Vec<u32>)> {
    let task = TaskTraces::read(&RunReader::open(Path::new(folder)).unwrap(), None).unwrap();
    let values = |condition: &Option<Condition>, trace: &RecordedTrace| {
        condition.as_ref().map_or_else(Vec::new, |condition| condition.signal.values(trace))
    };
    let ending = |trace: &RecordedTrace| {
        let (stop, give_up) = (values(&rule.stop, trace), values(&rule.give_up, trace));
        let ending = replay(rule, trace, Values { stop: &stop, give_up: &give_up });
        let looked = trace.prefixes[..ending.n_looked].iter().map(|prefix| prefix.n_tokens).collect();
        (
            (trace.question_id.to_string(), trace.sample),
            (ending.act.name().to_string(), ending.n_tokens, looked),
        )
    };
    task.traces.iter().map(ending).collect()
}

/// The same as a run that was stopped recorded it.
fn recorded(folder: &str) -> BTreeMap<(String, u32), (String, u32, Vec<u32>)> {
    let reader = RunReader::open(Path::new(folder)).unwrap();
    let decisions = reader.decisions().unwrap();
    let of_trace = |trace: TraceRow| {
        let own = |row: &&DecisionRow| (&row.question_id, row.sample) == (&trace.question_id, trace.sample);
        let own: Vec<&DecisionRow> = decisions.iter().filter(own).collect();
        let act = own.last().map_or("continue", |row| &*row.decision).to_string();
        let looked = own.iter().map(|row| row.n_tokens).collect();
        ((trace.question_id.to_string(), trace.sample), (act, trace.n_trace_tokens, looked))
    };
    reader.traces().unwrap().into_iter().map(of_trace).collect()
}

#[test]
fn traces_are_stopped_while_they_are_written_as_a_replay_would_stop_them() {
    let scratch = Scratch::new();
    let sampling = ["--repeats", "2", "--temperature", "0.7"];
    let whole = run(&scratch, &sampling);
    expect(0, &["decide", &whole, "--risk", "0.4", "--loss", "differs"]);
    let file = scratch.arg("run/rule.json");
    let (_, rule) = RuleFile::load(Path::new(&file)).unwrap();
    let by_hand = "answer_entropy < 3 for 2";
    let condition = Rule { stop: Some(Condition::parse(by_hand).unwrap()), give_up: None };
    for (flag, value, rule) in [("--stop-with", &*file, rule), ("--stop-when", by_hand, condition)] {
        let out = scratch.arg(flag.trim_start_matches('-'));
        let args = ["run", "--limit", "60", "--output-path", &out, flag, value];
        let text = expect(0, &[&args[..], &sampling].concat());
        assert!(text.contains(&format!("Rule: {rule}. It stopped ")), "{text}");
        let (expected, found) = (replayed(&whole, &rule), recorded(&out));
        assert_eq!(found, expected);
        let n_stopped = found.values().filter(|ending| ending.0 == "stop").count();
        assert!((10..120).contains(&n_stopped), "{n_stopped} of 120 traces are stopped");
        let metrics = json(&scratch.path(&format!("{}/metrics.json", flag.trim_start_matches('-'))));
        let task = &metrics["tasks"][0];
        assert_eq!(task["stopping"]["stopped"], n_stopped);
        assert!(task["stopping"]["asked_tokens"].as_f64().unwrap() > 0.0);
        assert_eq!(task["verdict"]["finding"], "inconclusive");
        assert!(task["verdict"]["reasons"][0].as_str().unwrap().contains("a rule ended"), "{task}");
        let text = expect(2, &["decide", &out]);
        assert!(text.contains("were stopped by a rule"), "{text}");
        expect(0, &["report", &out]);
    }
}

#[test]
fn a_rule_for_another_belief_than_the_runs_is_refused() {
    let scratch = Scratch::new();
    let whole = run(&scratch, &["--repeats", "2", "--temperature", "1"]);
    expect(0, &["decide", &whole, "--risk", "0.4", "--loss", "differs"]);
    let file = scratch.arg("run/rule.json");
    let refused = |more: &[&str], said: &str| {
        let out = scratch.arg("refused");
        let text = expect(2, &[&["run", "--limit", "2", "--output-path", &out], more].concat());
        assert!(text.contains(said), "{text}");
        assert!(!scratch.path("refused").exists(), "nothing is written");
    };
    refused(&["--stop-with", &file, "--cue", "So"], "--cue \"\\nThe answer is\", and this run has \"So\"");
    refused(&["--stop-with", &file, "--estimator", "sample"], "--estimator \"auto\"");
    refused(
        &["--stop-with", &file, "--segment", "sentence"],
        "--segment \"line\", and this run has \"sentence\"",
    );
    refused(
        &["--stop-with", &file, "--rollouts", "all:4"],
        "rollouts beside the estimator are of whole traces",
    );
    refused(&["--stop-with", &file, "--max-steps", "3"], "leave out --stop-with");
    refused(&["--stop-with", &scratch.arg("none.json")], "none.json");
    refused(&["--stop-when", "p_true > 0.5"], "no signal \"p_true\" of prefixes");
    refused(&["--stop-when", "answer_entropy < 0.1", "--segment", "regex:x"], "see --segment");
    let text = std::fs::read_to_string(&file).unwrap();
    let old = scratch.file("old.json", &text.replace("\"segment\": \"line\"", "\"segment\": null"));
    refused(&["--stop-with", &old], "known only once a trace has ended");
}
