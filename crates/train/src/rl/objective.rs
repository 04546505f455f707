//! The objective of one sampled token, and its slope.
//!
//! With log-probability l now, l_old when it was sampled, l_ref under the reference, advantage A, entropy H of its distribution and
//! ρ = e^(l − l_old):
//!
//! J = min(ρA, clip(ρ, 1 − ε₋, 1 + ε₊)·A) − β·(e^(l_ref − l) − (l_ref − l) − 1) + c·H
//!
//! The middle term is an unbiased estimate of KL(policy ‖ reference) that is never negative (Schulman's k3). The slope in l is ρA unless the
//! clipped side is the smaller one, minus β·(1 − e^(l_ref − l)); the slope in H is c. The loss is −Σ w·J over all tokens of a batch,
//! where the weights w depend on how one averages.

use serde::{Deserialize, Serialize};

/// Settings of the objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// ε₋.
    pub clip_low: f64,
    /// ε₊.
    pub clip_high: f64,
    /// β.
    pub kl_weight: f64,
    /// c.
    pub entropy_weight: f64,
    /// How tokens are averaged.
    pub averaging: Averaging,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            clip_low: 0.2,
            clip_high: 0.2,
            kl_weight: 0.02,
            entropy_weight: 0.0,
            averaging: Averaging::Tokens,
        }
    }
}

/// How the tokens of a batch of completions are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// Every token counts the same: w = 1 / (all tokens). DAPO.
    Tokens,
    /// Every completion counts the same: w = 1 / (completions · its tokens). GRPO.
    Completions,
    /// Every token counts the same whatever the lengths: w = 1 / (completions · this many). Dr. GRPO.
    Length(usize),
}

impl Averaging {
    /// w of the tokens of each completion, by their numbers of tokens.
    pub fn weights(self, lengths: &[usize]) -> Vec<f64> {
        let all: usize = lengths.iter().sum();
        let n = lengths.len() as f64;
        let weight = |length: usize| match self {
            Self::Tokens => 1.0 / all as f64,
            Self::Completions => 1.0 / (n * length as f64),
            Self::Length(constant) => 1.0 / (n * constant as f64),
        };
        lengths.iter().map(|&length| weight(length)).collect()
    }
}

/// What one token contributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenTerms {
    /// J.
    pub objective: f64,
    /// dJ/dl.
    pub slope: f64,
    /// e^(l_ref − l) − (l_ref − l) − 1.
    pub kl: f64,
    /// Whether the clipped side was the smaller one.
    pub clipped: bool,
}

impl Objective {
    /// Terms of a token. Without a reference the divergence counts as 0.
    pub fn token(
        &self,
        logprob: f64,
        sampled: f64,
        reference: Option<f64>,
        advantage: f64,
        entropy: f64,
    ) -> TokenTerms {
        let ratio = (logprob - sampled).exp();
        let free = ratio * advantage;
        let held = ratio.clamp(1.0 - self.clip_low, 1.0 + self.clip_high) * advantage;
        let clipped = held < free;
        let gap = reference.map_or(0.0, |reference| reference - logprob);
        let kl = gap.exp_m1() - gap;
        TokenTerms {
            objective: free.min(held) - self.kl_weight * kl + self.entropy_weight * entropy,
            slope: if clipped { 0.0 } else { free } + self.kl_weight * gap.exp_m1(),
            kl,
            clipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_objective() {
        let objective =
            Objective { kl_weight: 0.3, entropy_weight: 0.1, clip_high: 0.28, ..Objective::default() };
        let mut n_clipped = 0;
        for sampled in [-2.0, -1.0, -0.6] {
            for advantage in [-1.5, 0.0, 0.7] {
                for logprob in [-1.9, -1.1, -0.9, -0.35] {
                    let at = |l: f64| objective.token(l, sampled, Some(-0.8), advantage, 1.3);
                    let h = 1e-6;
                    let slope = (at(logprob + h).objective - at(logprob - h).objective) / (2.0 * h);
                    assert!((slope - at(logprob).slope).abs() < 1e-7, "{sampled} {advantage} {logprob}");
                    assert!(at(logprob).kl >= 0.0);
                    n_clipped += usize::from(at(logprob).clipped);
                }
            }
        }
        assert!(n_clipped > 3);
    }

    #[test]
    fn weights_by_kind_of_average() {
        assert_eq!(Averaging::Tokens.weights(&[1, 3]), [0.25, 0.25]);
        assert_eq!(Averaging::Completions.weights(&[1, 4]), [0.5, 0.125]);
        assert_eq!(Averaging::Length(4).weights(&[1, 3]), [0.125, 0.125]);
    }
}
