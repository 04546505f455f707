//! A real model against transformers: SmolLM2-135M-Instruct from its GGUF file, whose weights transformers had dequantised.
//!
//! Log-probabilities of tokens, and of the options of a multiple-choice question after every prefix of a trace, scored on one token tree,
//! agree within 1e-3 nats. Needs ENTRACE_SMOLLM2, the path of the GGUF file; `goldens/smollm2/generate.py` made the golden file.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says why it skips"
)]

use entrace_backend::{Branch, BranchId, NextRequest, Parent, ScoreTree, TokenScores};
use entrace_decoder::{Decoder, Options};
use serde_json::Value;
use std::path::Path;

const TOLERANCE: f64 = 1e-3;

fn decoder() -> Option<Decoder> {
    let Some(path) = std::env::var_os("ENTRACE_SMOLLM2") else {
        eprintln!("skipped: ENTRACE_SMOLLM2 does not name the GGUF file of SmolLM2-135M-Instruct");
        return None;
    };
    Some(Decoder::open("SmolLM2", Path::new(&path), Options::default()).unwrap())
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/smollm2/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn assert_close(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < TOLERANCE, "{what}: {found} against {expected}");
}

#[test]
fn token_log_probabilities_equal_transformers() {
    let Some(decoder) = decoder() else { return };
    let golden = golden();
    for (number, text) in golden["tokens"].as_array().unwrap().iter().enumerate() {
        let root = Branch {
            tokens: ids(&text["token_ids"]),
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        };
        let score = decoder.session().unwrap().extend(&[root]).unwrap().remove(0);
        for (i, expected) in numbers(&text["logprobs"]).into_iter().enumerate() {
            assert_close(
                &format!("text {number}, token {}", i + 1),
                score.token_logprobs[i + 1].unwrap(),
                expected,
            );
        }
    }
}

#[test]
fn option_log_probabilities_at_every_prefix_equal_transformers() {
    let Some(decoder) = decoder() else { return };
    let golden = &golden()["choices"];
    let (prompt, trace, cue) = (ids(&golden["prompt"]), ids(&golden["trace"]), ids(&golden["cue"]));
    let options: Vec<Vec<u32>> = golden["options"].as_array().unwrap().iter().map(ids).collect();
    let first: Vec<u32> = options.iter().map(|option| option[0]).collect();
    assert!(options.iter().all(|option| option.len() == 1));
    let root = Branch { tokens: [prompt.clone(), trace].concat(), keep: true, ..Branch::default() };
    let ends = ids(&golden["ends"]);
    let cues = ends.iter().map(|&end| Branch {
        parent: Some(Parent { branch: BranchId(0), n_tokens: prompt.len() + end as usize }),
        tokens: cue.clone(),
        next: Some(NextRequest { gather: first.clone().into(), ..NextRequest::default() }),
        ..Branch::default()
    });
    let branches: Vec<Branch> = std::iter::once(root).chain(cues).collect();
    let scores = decoder.session().unwrap().extend(&branches).unwrap();
    for (k, (score, expected)) in scores[1..].iter().zip(golden["logprobs"].as_array().unwrap()).enumerate() {
        let found = &score.next.as_ref().unwrap().gather;
        for (option, (found, expected)) in found.iter().zip(numbers(expected)).enumerate() {
            assert_close(&format!("prefix {k}, option {option}"), found.unwrap(), expected);
        }
    }
}
