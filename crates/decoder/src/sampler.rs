//! Drawing one token from one row of logits.
//!
//! Temperature 0 takes the largest logit (ties: the lowest token), and so does one so low that float32 has no such factor. Otherwise logits are divided by the temperature, cut to the `top_k`
//! largest, then to the fewest whose mass reaches `top_p` (at least one), and one is drawn by inverting the cumulative distribution with
//! one uniform number. Uncut distributions are walked in the order of tokens, cut ones from the most likely down.

use crate::ops::reduce::largest;
use entrace_backend::Sampling;
use entrace_kernels::exp::exp;
use entrace_kernels::vectorised;
use entrace_measure::TokenId;

/// The token that the uniform number `u` in [0, 1) draws.
pub(crate) fn draw(logits: &[f32], sampling: &Sampling, u: f64) -> TokenId {
    let scale = 1.0 / sampling.temperature;
    if sampling.temperature <= 0.0 || !(scale as f32).is_finite() {
        return largest(logits, 1)[0].0;
    }
    if sampling.top_k == 0 && sampling.top_p >= 1.0 {
        return draw_uncut(logits, scale, u);
    }
    let limit = if sampling.top_k == 0 { logits.len() } else { sampling.top_k.min(logits.len()) };
    let candidates = nucleus(logits, limit, sampling.top_p, scale);
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    let mut left = u * total;
    for &(token, weight) in &candidates {
        left -= weight;
        if left < 0.0 {
            return token;
        }
    }
    candidates[candidates.len() - 1].0
}

fn draw_uncut(logits: &[f32], scale: f64, u: f64) -> TokenId {
    let max = logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
    let scale = scale as f32;
    let masses: Vec<f64> =
        logits.chunks(BLOCK).map(|block| f64::from(block_mass(block, max, scale))).collect();
    let mut left = u * masses.iter().sum::<f64>();
    let mut last = 0;
    for (block, mass) in masses.into_iter().enumerate().filter(|&(_, mass)| mass > 0.0) {
        if left >= mass {
            left -= mass;
            last = block;
            continue;
        }
        last = block;
        break;
    }
    let first = last * BLOCK;
    let mut token = first;
    for (at, &logit) in logits[first..].iter().take(BLOCK).enumerate() {
        let weight = weight(logit, max, scale);
        if weight > 0.0 {
            token = first + at;
            left -= f64::from(weight);
            if left < 0.0 {
                break;
            }
        }
    }
    token as TokenId
}

/// Logits whose weights are summed in float32, on vectors.
const BLOCK: usize = 512;

vectorised! {
    fn block_mass(block: &[f32], max: f32, scale: f32) -> f32 {
        let mut lanes = [0f32; 16];
        let (chunks, rest) = block.as_chunks::<16>();
        for chunk in chunks {
            for (lane, &logit) in lanes.iter_mut().zip(chunk) {
                *lane += weight(logit, max, scale);
            }
        }
        lanes.iter().sum::<f32>() + rest.iter().map(|&logit| weight(logit, max, scale)).sum::<f32>()
    }
}

/// e^((logit − max) · scale); what is below e^−80 counts as nothing.
#[inline(always)]
fn weight(logit: f32, max: f32, scale: f32) -> f32 {
    let x = (logit - max) * scale;
    if x > -80.0 { exp(x) } else { 0.0 }
}

/// The most likely tokens, falling, with unnormalised weights: at most `limit`, and of those the fewest whose share of their mass reaches
/// `top_p`.
fn nucleus(logits: &[f32], limit: usize, top_p: f64, scale: f64) -> Vec<(TokenId, f64)> {
    let max = f64::from(logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x)));
    let weight = |logit: f32| ((f64::from(logit) - max) * scale).exp();
    let total =
        if limit == logits.len() { Some(logits.iter().map(|&x| weight(x)).sum::<f64>()) } else { None };
    // A nucleus is usually small: look among the largest few first.
    let mut looked = 128.min(limit);
    loop {
        let mut candidates: Vec<(TokenId, f64)> =
            largest(logits, looked).into_iter().map(|(t, x)| (t, weight(x))).collect();
        if total.is_none() && looked < limit {
            looked = limit;
            continue;
        }
        let mass = total.unwrap_or_else(|| candidates.iter().map(|c| c.1).sum());
        let mut sum = 0.0;
        let reached = candidates.iter().position(|c| {
            sum += c.1;
            sum >= top_p * mass
        });
        match reached {
            Some(last) => {
                candidates.truncate(last + 1);
                return candidates;
            }
            None if looked == limit => return candidates,
            None => looked = (looked * 8).min(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f64, top_p: f64, top_k: usize) -> Sampling {
        Sampling { temperature, top_p, top_k, max_new_tokens: 1, stop: vec![] }
    }

    fn shares(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        let n = 20_000;
        let mut counts = vec![0.0; logits.len()];
        for i in 0..n {
            counts[draw(logits, sampling, (f64::from(i) + 0.5) / f64::from(n)) as usize] += 1.0;
        }
        counts.into_iter().map(|c| c / f64::from(n)).collect()
    }

    fn assert_shares(found: &[f64], expected: &[f64]) {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-3, "{found:?} against {expected:?}");
        }
    }

    #[test]
    fn shares_follow_temperature_and_cuts() {
        let p: [f32; 4] = [0.1, 0.5, 0.15, 0.25];
        let logits: Vec<f32> = p.iter().map(|p| p.ln() + 3.0).collect();
        assert_shares(&shares(&logits, &sampling(1.0, 1.0, 0)), &[0.1, 0.5, 0.15, 0.25]);
        assert_shares(&shares(&logits, &sampling(1.0, 1.0, 2)), &[0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_shares(&shares(&logits, &sampling(1.0, 0.7, 0)), &[0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_shares(&shares(&logits, &sampling(1.0, 0.01, 0)), &[0.0, 1.0, 0.0, 0.0]);
        let squares: f64 = p.iter().map(|p| f64::from(p * p)).sum();
        let cooled: Vec<f64> = p.iter().map(|p| f64::from(p * p) / squares).collect();
        assert_shares(&shares(&logits, &sampling(0.5, 1.0, 0)), &cooled);
    }

    #[test]
    fn many_tokens_are_drawn_by_their_share_and_impossible_ones_never() {
        let logits: Vec<f32> =
            (0..3000).map(|i| if i % 2 == 0 { f32::NEG_INFINITY } else { (i % 7) as f32 }).collect();
        let found = shares(&logits, &sampling(1.0, 1.0, 0));
        let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let (mut of_sevens, mut expected) = ([0.0; 7], [0.0; 7]);
        for (i, (share, &logit)) in found.iter().zip(&logits).enumerate() {
            of_sevens[i % 7] += share;
            expected[i % 7] += f64::from(logit).exp() / total;
        }
        assert_shares(&of_sevens, &expected);
        assert!(found.iter().step_by(2).all(|&share| share <= 0.0));
        assert_eq!(draw(&logits, &sampling(1.0, 1.0, 0), 1.0 - f64::EPSILON) % 2, 1);
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        for temperature in [0.0, 1e-320, 1e-40, 1e-38] {
            for top_p in [1.0, 0.5] {
                assert_eq!(draw(&[1.0, 2.0, 0.0], &sampling(temperature, top_p, 0), 0.9), 1, "{temperature}");
            }
        }
        assert_eq!(draw(&[1.0, 2.0, 2.0], &sampling(0.0, 1.0, 0), 0.9), 1);
    }

    #[test]
    fn a_wide_nucleus_is_found_in_full() {
        let logits = vec![0.0; 5000];
        let found = nucleus(&logits, 5000, 0.5, 1.0);
        assert_eq!(found.len(), 2500);
    }
}
