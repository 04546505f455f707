//! How sharp a next-token distribution is: reductions of one row of logits.
//!
//! For probabilities p over V tokens (all logits of the model, padding included), in nats:
//!
//! - entropy H = −Σ p ln p
//! - top-2 margin ln p_(1) − ln p_(2)
//! - top-k confidence −(1/k) Σ ln p over the k = 20 most likely tokens (all of them where V < 20); DeepConf, arXiv:2508.15260
//! - divergence from the even distribution KL(U‖p) = −(1/V) Σ ln(V p); self-certainty, arXiv:2502.18581
//!
//! The last three are infinite where a token that they count has probability 0; a margin needs V ≥ 2, else it is infinite too.

/// Tokens in the top-k confidence.
pub const TOP_K: usize = 20;

/// How sharp a distribution is, in nats. What an engine tells too little for is `None`: from its likeliest tokens alone follow margin and
/// confidence, not entropy and divergence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharpness {
    /// Entropy over the whole vocabulary.
    pub entropy: Option<f64>,
    /// ln p of the most likely token less that of the second.
    pub top2_margin: Option<f64>,
    /// −(1/k) Σ ln p over the k = 20 most likely tokens.
    pub topk_confidence: Option<f64>,
    /// KL(U‖p).
    pub uniform_divergence: Option<f64>,
}

impl Sharpness {
    /// By the definitions, from the log-probabilities of all tokens.
    pub fn of_logprobs(logprobs: &[f64]) -> Self {
        let mut falling = logprobs.to_vec();
        falling.sort_by(|a, b| b.total_cmp(a));
        let k = TOP_K.min(falling.len());
        let n = logprobs.len() as f64;
        Self {
            entropy: Some(logprobs.iter().filter(|lp| lp.is_finite()).map(|lp| -lp * lp.exp()).sum()),
            top2_margin: Some(falling.get(1).map_or(f64::INFINITY, |second| falling[0] - second)),
            topk_confidence: Some(-falling[..k].iter().sum::<f64>() / k as f64),
            uniform_divergence: Some(-(logprobs.iter().sum::<f64>() / n + n.ln())),
        }
    }

    /// Its numbers with their names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("entropy", self.entropy),
            ("top-2 margin", self.top2_margin),
            ("top-k confidence", self.topk_confidence),
            ("divergence from the even distribution", self.uniform_divergence),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_even_distribution_is_not_sharp_at_all() {
        let even = Sharpness::of_logprobs(&[-(64f64.ln()); 64]);
        let expected = [64f64.ln(), 0.0, 64f64.ln(), 0.0];
        for ((name, found), expected) in even.named().into_iter().zip(expected) {
            let found = found.unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}: {found} against {expected}");
        }
    }

    #[test]
    fn small_cases_by_hand() {
        let p = [0.5f64, 0.125, 0.25, 0.125];
        let found = Sharpness::of_logprobs(&p.map(f64::ln));
        let ln2 = 2f64.ln();
        let expected = [1.75 * ln2, ln2, 2.25 * ln2, 0.25 * ln2];
        for ((name, found), expected) in found.named().into_iter().zip(expected) {
            let found = found.unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}: {found} against {expected}");
        }
        let certain = Sharpness::of_logprobs(&[f64::NEG_INFINITY, 0.0]);
        assert!(certain.entropy.unwrap().abs() < 1e-12 && certain.top2_margin.unwrap().is_infinite());
        assert!(certain.uniform_divergence.unwrap().is_infinite());
    }
}
