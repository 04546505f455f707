//! A next-token distribution drawn from a hash of the context.
//!
//! p(v | tokens) is proportional to exp(sharpness · x) with x uniform on [−1, 1], drawn from (seed, tokens, v): every context has
//! another distribution, all entropies are positive, and nothing is known but by adding up. Contexts of `longest` tokens end for
//! certain, so that there are finitely many strings to list.

use super::{Script, Vocabulary};
use crate::Error;
use entrace_measure::TokenId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A random model.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomScript {
    /// Which one.
    pub seed: u64,
    /// 0 is uniform; at 1.5 the likeliest tokens are about twenty times as likely as the others.
    pub sharpness: f64,
    /// Contexts of this many tokens or more are followed by the end token.
    pub longest: Option<usize>,
}

impl RandomScript {
    /// A model without a longest string, of sharpness 1.5.
    pub fn new(seed: u64) -> Self {
        Self { seed, sharpness: 1.5, longest: None }
    }
}

impl Script for RandomScript {
    fn next(&self, vocabulary: &Vocabulary, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        let mut probs = vec![0.0; vocabulary.len()];
        if self.longest.is_some_and(|longest| tokens.len() >= longest) {
            probs[vocabulary.end() as usize] = 1.0;
            return Ok(probs);
        }
        // FNV-1a over the tokens, mixed by the generator's own seeding.
        let hash = tokens.iter().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, &token| {
            (hash ^ (u64::from(token) + 1)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut rng = ChaCha8Rng::seed_from_u64(hash);
        for p in &mut probs {
            *p = (self.sharpness * (2.0 * rng.random::<f64>() - 1.0)).exp();
        }
        let sum: f64 = probs.iter().sum();
        probs.iter_mut().for_each(|p| *p /= sum);
        Ok(probs)
    }
}
