//! What one row of logits says, for engines that have logits and leave the rest to entrace.
//!
//! The token tree of this crate reads its rows in the same way, so that the numbers of two engines differ by their logits alone.

use crate::ops::reduce::{RowSums, class_logmass, top};
use crate::sampler;
use entrace_backend::{NextRequest, NextScore, Rest, Sampling, Sharpness};
use entrace_measure::TokenId;

/// Logits over the vocabulary, `[V]`, with their sums.
#[derive(Debug, Clone, Copy)]
pub struct LogitRow<'a> {
    logits: &'a [f32],
    sums: RowSums,
}

impl<'a> LogitRow<'a> {
    /// A row; `None` if a logit is not finite.
    pub fn of(logits: &'a [f32]) -> Option<Self> {
        Some(Self { logits, sums: RowSums::of(logits)? })
    }

    /// Log-probability of a token of the vocabulary, in nats.
    pub fn logprob(&self, token: TokenId) -> f64 {
        self.sums.logprob(self.logits[token as usize])
    }

    /// How sharp the distribution is.
    pub fn sharpness(&self) -> Sharpness {
        self.sums.sharpness(self.logits)
    }

    /// What is asked of the distribution; classes are those of the vocabulary.
    pub fn next(&self, request: &NextRequest) -> NextScore {
        let of_classes = |classes: &_| class_logmass(self.logits, classes, &self.sums);
        NextScore {
            entropy: Some(self.sums.entropy),
            rest: Rest::Nothing,
            gather: request.gather.iter().map(|&token| Some(self.logprob(token))).collect(),
            class_logmass: request.classes.as_deref().map(of_classes).unwrap_or_default(),
            top: top(self.logits, request.top_k, &self.sums),
        }
    }

    /// The token that the uniform number `u` in [0, 1) draws.
    pub fn draw(&self, sampling: &Sampling, u: f64) -> TokenId {
        sampler::draw(self.logits, sampling, u)
    }
}
