//! Drawing one token from probabilities.
//!
//! Temperature 0 takes the most likely token (ties: the lowest). Otherwise weights are p^(1/temperature), cut to the `top_k` largest,
//! then to the fewest whose share of those reaches `top_p`, and the cumulative distribution is inverted at one uniform number: over
//! the tokens in their order where nothing is cut, from the most likely down where something is.

use crate::Sampling;
use entrace_measure::TokenId;

/// The token that the uniform number `u` in [0, 1) draws.
pub(super) fn draw(probs: &[f64], sampling: &Sampling, u: f64) -> TokenId {
    let candidates = candidates(probs, sampling);
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    let mut left = u * total;
    for &(token, weight) in &candidates {
        left -= weight;
        if left < 0.0 {
            return token;
        }
    }
    // Rounding may leave a little: the last token that can be drawn.
    candidates.iter().rev().find(|c| c.1 > 0.0).map_or(0, |c| c.0)
}

/// Tokens that can be drawn, with their weights.
pub(crate) fn candidates(probs: &[f64], sampling: &Sampling) -> Vec<(TokenId, f64)> {
    let by_token = (0..).zip(probs.iter().copied());
    let falling = || {
        let mut sorted: Vec<(TokenId, f64)> = by_token.clone().collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sorted
    };
    if sampling.temperature <= 0.0 {
        return falling().into_iter().take(1).collect();
    }
    let largest = probs.iter().copied().fold(0.0, f64::max);
    let weight = |(token, p): (TokenId, f64)| (token, (p / largest).powf(1.0 / sampling.temperature));
    if sampling.top_k == 0 && sampling.top_p >= 1.0 {
        return by_token.map(weight).collect();
    }
    let mut kept: Vec<(TokenId, f64)> = falling().into_iter().map(weight).collect();
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k);
    }
    let mass: f64 = kept.iter().map(|c| c.1).sum();
    let mut sum = 0.0;
    let reached = kept.iter().position(|c| {
        sum += c.1;
        sum >= sampling.top_p * mass
    });
    kept.truncate(reached.map_or(kept.len(), |last| last + 1));
    kept
}
