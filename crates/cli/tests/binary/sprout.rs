//! The model that comes with entrace.

use crate::support::{Scratch, command, expect, said};

#[test]
fn a_run_without_arguments_measures_sprout() {
    let scratch = Scratch::new();
    let folder = scratch.path("here");
    std::fs::create_dir(&folder).unwrap();
    let output = command(&["run", "--limit", "12"]).current_dir(&folder).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("no --model: sprout") && said.contains("no --tasks: arith"), "{said}");
    assert!(said.contains("Stepwise informativeness is"), "{said}");
    let run = folder.join("entrace-runs/sprout@rl_arith");
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"sprout@rl\"") && run.join("report.html").exists(), "{manifest}");

    let tokens = expect(0, &["tokens", "--model", "sprout@init", "--text", "Tom has 5 shells."]);
    assert!(tokens.contains("shells"), "{tokens}");
}

#[test]
fn training_makes_steps_informative() {
    let scratch = Scratch::new();
    for (stage, supported) in [("init", false), ("mle", true), ("sft", true), ("rl", true)] {
        let (model, folder) = (format!("sprout@{stage}"), scratch.arg(stage));
        // By the forced readout: rollouts of so few questions do not decide.
        let limits = ["--limit=64", "--max-new-tokens=96", "--rollouts=0", "--output-path", &folder];
        let said = expect(0, &[&["run", "--model", &model, "--tasks=arith"][..], &limits].concat());
        assert_eq!(said.contains("Stepwise informativeness is supported"), supported, "{stage}: {said}");
    }
}

#[test]
fn stages_are_named_exactly() {
    let said = expect(2, &["run", "--model", "sprout@base", "--tasks", "arith"]);
    assert!(said.contains("the stages of sprout are init, mle, sft, rl"), "{said}");
    let said = expect(2, &["compare", "sprout@init", "sprout@base"]);
    assert!(said.contains("init, mle, sft, rl"), "{said}");
}

/// sprout has no chat template, so that questions are put in Q/A blocks, of which a model may write one of its own.
#[test]
fn plain_questions_end_before_another_one() {
    let scratch = Scratch::new();
    let traces = scratch
        .file("t.jsonl", "{\"question\": \"Tom has 5 shells.\", \"answer\": \"5\", \"trace\": \"T: 5\"}\n");
    let stop = |args: &[&str]| {
        let out = scratch.arg("out");
        expect(0, &[args, &["--overwrite", "--model=sprout", "--output-path", &out]].concat());
        let manifest = std::fs::read_to_string(scratch.path("out").join("manifest.json")).unwrap();
        manifest.contains(r"\n\nQ:")
    };
    assert!(stop(&["run", "--limit=2"]));
    assert!(stop(&["score", "--traces", &traces]));
    assert!(!stop(&["run", "--limit=2", "--prompt-template={question}"]));
}
