//! Every family against transformers, on tiny random checkpoints.
//!
//! The folders in `goldens/models/out` hold a checkpoint and what transformers makes of it: logits, every hidden state, greedy text. All
//! must agree within 1e-4 absolute + 1e-4 relative: float32 sums in another order differ by about 1e-6 a layer, a wrong mask or angle by
//! more than 1e-2. `ENTRACE_GOLDENS` names another folder of the same layout, made by `goldens/models/generate.py`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Tensor};
use entrace_backend::{
    Branch, BranchId, LayerRequest, NextRequest, Parent, ReadLayers, ScoreTree, Sharpness, TokenScores,
};
use entrace_decoder::{Decoder, Options, StorageType};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

struct Golden {
    name: String,
    decoder: Decoder,
    input_ids: Vec<u32>,
    logits: Tensor,
    tensors: HashMap<String, Tensor>,
}

fn folders() -> Vec<PathBuf> {
    let root = match std::env::var_os("ENTRACE_GOLDENS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/models/out"),
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap_or_else(|e| panic!("{}: {e}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("golden.safetensors").is_file())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no goldens in {}", root.display());
    folders
}

fn open(folder: &Path, options: Options) -> Golden {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let decoder = Decoder::open(&name, folder, options).unwrap_or_else(|e| panic!("{name}: {e}"));
    let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
    let input_ids = ids(&tensors["input_ids"]);
    Golden { name, decoder, input_ids, logits: tensors["logits"].clone(), tensors }
}

fn goldens() -> Vec<Golden> {
    folders().iter().map(|folder| open(folder, Options::default())).collect()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let tolerance = 1e-4 + 1e-4 * e.abs();
        assert!((f - e).abs() <= tolerance, "{what}, number {i}: {f} against {e}");
    }
}

/// Log-probabilities `[T][V]` by the definition.
fn log_softmax(logits: &Tensor) -> Vec<Vec<f64>> {
    let rows = logits.to_vec2::<f32>().unwrap();
    let row = |row: Vec<f32>| {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&x| f64::from(x - max).exp()).sum();
        row.iter().map(|&x| f64::from(x - max) - sum.ln()).collect()
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn logits_and_hidden_states_equal_transformers() {
    for golden in goldens() {
        let name = &golden.name;
        let (states, logits) = golden.decoder.hidden_states(&golden.input_ids).unwrap();
        let expected = &golden.tensors["hidden_states"];
        assert_eq!(states.len(), expected.dim(0).unwrap(), "{name}");
        for (layer, state) in states.iter().enumerate() {
            let expected = numbers(&expected.get(layer).unwrap());
            assert_close(&format!("{name}, hidden state {layer}"), &numbers(state), &expected);
        }
        assert_close(&format!("{name}, logits"), &numbers(&logits), &numbers(&golden.logits));
    }
}

#[test]
fn greedy_text_equals_transformers() {
    for golden in goldens() {
        let expected = ids(&golden.tensors["greedy_ids"]);
        let found = greedy(&golden.decoder, &golden.input_ids, expected.len());
        assert_eq!(found, expected, "{}", golden.name);
    }
}

/// One token at a time, each a branch of the one before.
fn greedy(decoder: &Decoder, input_ids: &[u32], n: usize) -> Vec<u32> {
    let mut session = decoder.session().unwrap();
    let mut branch = Branch {
        tokens: input_ids.to_vec(),
        next: Some(NextRequest { top_k: 1, ..NextRequest::default() }),
        keep: true,
        ..Branch::default()
    };
    let mut found = Vec::new();
    while found.len() < n {
        let scores = session.extend(std::slice::from_ref(&branch)).unwrap();
        let token = scores[0].next.as_ref().unwrap().top[0].0;
        found.push(token);
        branch.parent = Some(Parent { branch: scores[0].id, n_tokens: branch.tokens.len() });
        branch.tokens = vec![token];
    }
    found
}

#[test]
fn forks_of_the_token_tree_equal_transformers() {
    for golden in goldens() {
        // Prefixes beyond the scaled length get other angles than the whole sequence; transformers' logits are of the whole.
        if golden.name.contains("dynamic") || golden.name.contains("longrope") {
            continue;
        }
        let expected = log_softmax(&golden.logits);
        let ids = &golden.input_ids;
        for max_rows in [1024, 5] {
            let options = Options { max_rows, ..Options::default() };
            let golden = open(&golden_folder(&golden.name), options);
            check_forks(&golden, ids, &expected);
        }
    }
}

fn golden_folder(name: &str) -> PathBuf {
    folders().into_iter().find(|f| f.ends_with(name)).unwrap()
}

/// The sequence as a root of two thirds, from which branches fork at every third token with the true continuation, and from each of them
/// a branch of its own in the same call and one in a later call.
fn check_forks(golden: &Golden, ids: &[u32], expected: &[Vec<f64>]) {
    let name = &golden.name;
    let cut = ids.len() * 2 / 3;
    let mut session = golden.decoder.session().unwrap();
    let mut branches = vec![Branch {
        tokens: ids[..cut].to_vec(),
        token_scores: TokenScores::Full,
        keep: true,
        ..Branch::default()
    }];
    let mut starts = vec![0];
    for at in (1..cut).step_by(3) {
        let middle = at + 2;
        branches.push(Branch {
            parent: Some(Parent { branch: BranchId(0), n_tokens: at }),
            tokens: ids[at..middle].to_vec(),
            token_scores: TokenScores::Logprobs,
            keep: true,
            ..Branch::default()
        });
        let parent = BranchId(branches.len() - 1);
        starts.push(at);
        branches.push(Branch {
            parent: Some(Parent { branch: parent, n_tokens: 2 }),
            tokens: ids[middle..].to_vec(),
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        });
        starts.push(middle);
    }
    let scores = session.extend(&branches).unwrap();
    check_scores(name, ids, expected, &starts, &scores);

    // Later calls fork from kept branches, and ask about rows that were run before.
    let later: Vec<Branch> = (1..branches.len())
        .step_by(2)
        .map(|index| Branch {
            parent: Some(Parent { branch: BranchId(index), n_tokens: 1 }),
            tokens: ids[starts[index] + 1..].to_vec(),
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        })
        .collect();
    let starts: Vec<usize> = (1..branches.len()).step_by(2).map(|i| starts[i] + 1).collect();
    let scores = session.extend(&later).unwrap();
    check_scores(name, ids, expected, &starts, &scores);

    let empty = Branch {
        parent: Some(Parent { branch: BranchId(0), n_tokens: 4 }),
        next: Some(NextRequest { gather: vec![ids[4]].into(), ..NextRequest::default() }),
        ..Branch::default()
    };
    let next = session.extend(&[empty]).unwrap().remove(0).next.unwrap();
    assert!((next.gather[0].unwrap() - expected[3][ids[4] as usize]).abs() < 1e-4, "{name}");
}

fn check_scores(
    name: &str,
    ids: &[u32],
    expected: &[Vec<f64>],
    starts: &[usize],
    scores: &[entrace_backend::BranchScore],
) {
    for (score, &start) in scores.iter().zip(starts) {
        for (i, found) in score.token_logprobs.iter().enumerate() {
            let at = start + i;
            let Some(found) = found else {
                assert_eq!(at, 0, "{name}: only the first token of a root has no log-probability");
                continue;
            };
            let expected = expected[at - 1][ids[at] as usize];
            let tolerance = 2e-4 + 2e-4 * expected.abs();
            assert!((found - expected).abs() < tolerance, "{name}, token {at}: {found} against {expected}");
        }
    }
}

#[test]
fn the_lens_at_the_last_layer_is_the_models_own_entropy() {
    for golden in goldens() {
        let tokens = 0..golden.input_ids.len();
        let request = LayerRequest { tokens, lens: true, ..LayerRequest::default() };
        let scores = golden.decoder.read_layers(&golden.input_ids, &request).unwrap();
        assert_eq!(scores.lens_entropy.len(), golden.decoder.info().n_layers.unwrap() + 1);
        let last = scores.lens_entropy.last().unwrap();
        assert_eq!(last[0], None);
        for (row, logprobs) in last[1..].iter().zip(log_softmax(&golden.logits)) {
            let entropy: f64 = logprobs.iter().map(|lp| -lp * lp.exp()).sum();
            assert!((row.unwrap() - entropy).abs() < 2e-4, "{}", golden.name);
        }
    }
}

#[test]
fn drift_and_middle_state_are_those_of_the_hidden_states() {
    for golden in goldens() {
        let name = &golden.name;
        let request = LayerRequest { tokens: 2..9, drift: true, middle: true, ..LayerRequest::default() };
        let scores = golden.decoder.read_layers(&golden.input_ids, &request).unwrap();
        let states = golden.tensors["hidden_states"].to_vec3::<f32>().unwrap();
        let n_layers = golden.decoder.info().n_layers.unwrap();
        assert_eq!(scores.drift.len(), n_layers, "{name}");
        // The golden's last state has gone through the final norm.
        for (layer, drift) in scores.drift.iter().enumerate().take(n_layers - 1) {
            for (found, at) in drift.iter().zip(2..9) {
                let pairs = states[layer][at].iter().zip(&states[layer + 1][at]);
                let expected = pairs.map(|(a, b)| f64::from(b - a).powi(2)).sum::<f64>().sqrt();
                assert!(
                    (found - expected).abs() < 1e-4 + 1e-4 * expected,
                    "{name}: {found} against {expected}"
                );
            }
        }
        let middle = n_layers.div_ceil(2);
        if middle < n_layers {
            let last = &states[middle][golden.input_ids.len() - 1];
            assert_close(&format!("{name}, middle state"), &scores.middle_state, last);
        }
    }
}

#[test]
fn sharpness_is_that_of_transformers_logits() {
    for golden in goldens() {
        let root =
            Branch { tokens: golden.input_ids.clone(), token_scores: TokenScores::Full, ..Branch::default() };
        let score = golden.decoder.session().unwrap().extend(&[root]).unwrap().remove(0);
        for (found, logprobs) in score.token_sharpness[1..].iter().zip(log_softmax(&golden.logits)) {
            let expected = Sharpness::of_logprobs(&logprobs);
            for ((kind, found), (_, expected)) in found.unwrap().named().into_iter().zip(expected.named()) {
                let (found, expected) = (found.unwrap(), expected.unwrap());
                let close = (found - expected).abs() < 2e-4 + 2e-4 * expected.abs();
                assert!(close, "{}, {kind}: {found} against {expected}", golden.name);
            }
        }
    }
}

#[test]
fn bf16_weights_and_products_stay_within_transformers_own_bf16() {
    for (dtype, folder) in [StorageType::BF16, StorageType::BF16Products]
        .into_iter()
        .flat_map(|d| folders().into_iter().map(move |f| (d, f)))
    {
        let golden = open(&folder, Options { dtype, ..Options::default() });
        let Some(theirs) = golden.tensors.get("logits_bf16") else { continue };
        let exact = numbers(&golden.logits);
        let worst = |found: &[f32]| exact.iter().zip(found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        let (_, ours) = golden.decoder.hidden_states(&golden.input_ids).unwrap();
        let (ours, theirs) = (worst(&numbers(&ours)), worst(&numbers(theirs)));
        assert!(ours <= theirs, "{} as {}: {ours} against {theirs}", golden.name, dtype.name());
    }
}
