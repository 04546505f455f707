//! What `decide` and `rewards` make of a recorded run.
//!
//! `ENTRACE_PYTHON_TRAINERS`, a Python with some of TRL (0.24, later ones have no trainer of process rewards), OpenRLHF (0.8) and inspect-ai, or
//! `install`, which fetches them, lets their own code load the rewards and the confidences.

use crate::support::{Scratch, expect, said};
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
    assert_eq!(rule["format_version"], "1.0");
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
