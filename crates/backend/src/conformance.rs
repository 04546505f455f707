//! What every engine must do, as tests that any engine can run.
//!
//! Each function takes an engine and panics with a sentence at the first thing that is not as the traits promise. [`check`] runs
//! everything on an engine that can do everything; one that can do less runs the functions for what it can.
//!
//! Nothing is assumed about the model but that its distribution is a function of the tokens before: results are compared with the same
//! engine's own results got another way (a fork with the whole path as one root, a completion with its own scores, many draws
//! with the scored distribution). Contexts are random tokens, so that vocabularies need nothing in common. Numbers may differ by
//! [`Tolerances::nats`]; the test of frequencies raises a false alarm with probability [`Tolerances::false_alarm`] for one engine, and
//! always the same for the same engine, because its streams are fixed.

mod generate;
mod layers;
mod limited;
mod sampling;
mod text;
mod tree;

pub use generate::check_generate;
pub use layers::check_layers;
pub use limited::check_limited_tree;
pub use sampling::check_sampling;
pub use text::check_text;
pub use tree::check_tree;

use crate::{Generate, ReadLayers, ScoreTree, Sharpness, Text};
use entrace_measure::TokenId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How closely results must agree, and how much is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Largest difference of two log-probabilities or entropies that should be equal.
    pub nats: f64,
    /// Probability that a right sampler fails the test of its frequencies.
    pub false_alarm: f64,
    /// Draws in that test.
    pub n_draws: u64,
    /// The end of the context is tried if the context is no longer than this.
    pub longest_context: usize,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { nats: 1e-9, false_alarm: 1e-6, n_draws: 4000, longest_context: 512 }
    }
}

/// Runs every check. `texts` are what the vocabulary can spell; the first serves as a prompt.
pub fn check<M: Text + Generate + ScoreTree + ReadLayers>(
    model: &M,
    texts: &[&str],
    tolerances: &Tolerances,
) {
    check_text(model, texts);
    check_tree(model, model.info(), tolerances);
    check_layers(model, model.info(), tolerances);
    check_generate(model, texts, tolerances);
    check_sampling(model, texts, tolerances);
}

#[track_caller]
fn assert_close(what: &str, found: f64, expected: f64, tolerances: &Tolerances) {
    let same = found.total_cmp(&expected).is_eq() || (found - expected).abs() <= tolerances.nats;
    assert!(same, "{what}: {found} against {expected}");
}

#[track_caller]
fn assert_all_close(what: &str, found: &[f64], expected: &[f64], tolerances: &Tolerances) {
    assert_eq!(found.len(), expected.len(), "{what}: not as many numbers");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert_close(&format!("{what}, number {i}"), found, expected, tolerances);
    }
}

#[track_caller]
fn assert_same_sharpness(what: &str, found: &Sharpness, expected: &Sharpness, tolerances: &Tolerances) {
    for ((kind, found), (_, expected)) in found.named().into_iter().zip(expected.named()) {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                assert_close(&format!("{kind} of {what}"), found, expected, tolerances);
            }
            (found, expected) => assert_eq!(found, expected, "{kind} of {what}"),
        }
    }
}

/// Tokens drawn evenly from the vocabulary.
fn random_tokens(n: usize, vocab_size: usize, seed: u64) -> Vec<TokenId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(0..vocab_size as TokenId)).collect()
}

#[cfg(test)]
mod tests;
