//! The model that comes with entrace.

use crate::support::{Scratch, command, expect, rows, said};

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

/// The arithmetic of matrix tiles, in plain Rust as it runs on any processor, against that of vectors: the same trace, and log-probabilities that
/// differ as those of two float32 engines do. sprout's weights are exact in bf16, so that a product is three.
#[test]
fn matrix_tiles_change_nothing_but_the_last_digits() {
    let scratch = Scratch::new();
    let run = |tiles: &str| {
        let out = scratch.arg(tiles);
        let args =
            ["run", "--limit=1", "--max-new-tokens=40", "--rollouts=0", "--controls=", "--output-path", &out];
        let output = command(&args).env("ENTRACE_TILES", tiles).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        rows(&out)
    };
    let (vectors, tiles) = (run("off"), run("emulated"));
    let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 2e-4,
        (a, b) => a.is_none() && b.is_none(),
    };
    assert_eq!(vectors.tokens.len(), tiles.tokens.len());
    for (a, b) in vectors.tokens.iter().zip(&tiles.tokens) {
        assert!(a.token_id == b.token_id && close(a.logprob, b.logprob), "{a:?} against {b:?}");
    }
    assert!(!tiles.prefixes.is_empty() && vectors.prefixes.len() == tiles.prefixes.len());
    for (a, b) in vectors.prefixes.iter().zip(&tiles.prefixes) {
        assert!(close(a.target_logprob, b.target_logprob), "{a:?} against {b:?}");
    }
}
