//! Entropy from counts of draws, and the log-probability of one answer from them.
//!
//! Input: how often each answer was drawn, n_i with m = Σ n_i; zeros are ignored. Output in nats, `None` without draws. With D
//! answers seen, f_1 of them once and f_2 twice:
//!
//! * plug-in: the entropy of n_i/m. Too low by about (K − 1)/2m.
//! * Miller–Madow: plug-in + (D − 1)/2m. Takes most of that bias away while nearly all answers have been seen.
//! * Chao–Shen: C = 1 − f_1/m estimates the mass of the answers seen; with p_i = C n_i/m, H = −Σ p_i ln p_i / (1 − (1 − p_i)^m),
//!   which makes up for the unseen ones. Where all draws differ, f_1 counts one less, so that C > 0.
//!
//! Sources: Miller 1955; Chao and Shen 2003, Environmental and Ecological Statistics 10; for the number of unseen answers Chao 1984.

use crate::entropy::shannon_entropy;

/// Entropy of the observed frequencies.
pub fn plug_in(counts: &[usize]) -> Option<f64> {
    let m = total(counts)?;
    Some(shannon_entropy(counts.iter().map(|&n| n as f64 / m)))
}

/// Plug-in entropy with the Miller–Madow correction.
pub fn miller_madow(counts: &[usize]) -> Option<f64> {
    let m = total(counts)?;
    Some(plug_in(counts)? + (n_seen(counts) - 1) as f64 / (2.0 * m))
}

/// Coverage-adjusted entropy of Chao and Shen.
pub fn chao_shen(counts: &[usize]) -> Option<f64> {
    let m = total(counts)?;
    let n_once = counts_equal(counts, 1) as f64;
    let n_once = if n_once < m { n_once } else { m - 1.0 };
    let coverage = 1.0 - n_once / m;
    let term = |n: f64| {
        let p = coverage * n / m;
        let seen = if p < 1.0 { -(m * (-p).ln_1p()).exp_m1() } else { 1.0 };
        -p * p.ln() / seen
    };
    Some(counts.iter().filter(|&&n| n > 0).map(|&n| term(n as f64)).sum::<f64>().max(0.0))
}

/// How many answers there are, where that is not known: those seen, an estimate of those not seen, and one more, since another
/// answer is always possible. The estimate is Chao's f_1(f_1 − 1)/(2(f_2 + 1)), or f_1 where that is more: Chao's is a lower bound,
/// and on few draws too low for intervals to hold what they promise.
pub fn assumed_support(counts: &[usize]) -> usize {
    let (once, twice) = (counts_equal(counts, 1), counts_equal(counts, 2));
    let chao = (once * once.saturating_sub(1)).div_ceil(2 * (twice + 1));
    n_seen(counts) + once.max(chao) + 1
}

/// ln((n + ½)/(m + K/2)): the log-probability of an answer drawn `count` times out of `n_draws`, smoothed after Jeffreys over
/// `support` ≥ 2 outcomes, so that it is finite when the answer was never drawn.
///
/// With K = 2 the outcomes are this answer and any other, which needs no knowledge of the others. The same m and K at every prefix
/// make the denominator cancel in the gain g_k = ℓ_k − ℓ_0, which then is ln((n_k + ½)/(n_0 + ½)): adding ½ removes the bias of
/// order 1/m from the logarithm of a count, so what is left of it in g_k is of order 1/m². A gain can be no larger than
/// ln(2m + 1).
pub fn smoothed_logprob(count: usize, n_draws: usize, support: usize) -> f64 {
    ((count as f64 + 0.5) / (n_draws as f64 + support as f64 / 2.0)).ln()
}

/// m as a float, if there are draws.
pub(super) fn total(counts: &[usize]) -> Option<f64> {
    let m: usize = counts.iter().sum();
    (m > 0).then_some(m as f64)
}

fn n_seen(counts: &[usize]) -> usize {
    counts.iter().filter(|&&n| n > 0).count()
}

fn counts_equal(counts: &[usize], value: usize) -> usize {
    counts.iter().filter(|&&n| n == value).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    type Estimate = fn(&[usize]) -> Option<f64>;

    /// Mean of an estimate over 2,000 samples of m draws.
    fn mean_estimate(probs: &[f64], m: usize, estimate: Estimate) -> f64 {
        let mut random = Random::new(7);
        (0..2000).map(|_| estimate(&random.counts(probs, m)).unwrap()).sum::<f64>() / 2000.0
    }

    #[test]
    fn known_values() {
        for estimate in [plug_in as Estimate, miller_madow, chao_shen] {
            assert_eq!(estimate(&[]), None);
            assert_eq!(estimate(&[0, 0]), None);
            assert_eq!(estimate(&[0, 9]), Some(0.0));
            assert!(estimate(&[1, 1, 1]).unwrap().is_finite());
        }
        assert!((plug_in(&[2, 2]).unwrap() - 2_f64.ln()).abs() < 1e-12);
        assert!((miller_madow(&[2, 2]).unwrap() - 2_f64.ln() - 0.125).abs() < 1e-12);
        // By hand: m = 4, C = 3/4, p = 9/16 and 3/16.
        let term = |p: f64| -p * p.ln() / (1.0 - (1.0 - p).powi(4));
        assert!((chao_shen(&[3, 1]).unwrap() - term(9.0 / 16.0) - term(3.0 / 16.0)).abs() < 1e-12);
    }

    #[test]
    fn the_plug_in_estimate_is_too_low_and_the_others_repair_it() {
        let uniform = [0.25; 4];
        // Four equally likely answers have 1.386 nats; the plug-in estimate reads less, and the less the fewer the draws.
        for (m, reads) in [(5, 1.01), (16, 1.29), (64, 1.36)] {
            assert!((mean_estimate(&uniform, m, plug_in) - reads).abs() < 0.01, "{m} draws");
        }
        for (m, tolerance) in [(16, 0.03), (64, 0.005)] {
            assert!((mean_estimate(&uniform, m, miller_madow) - 4_f64.ln()).abs() < tolerance);
            assert!((mean_estimate(&uniform, m, chao_shen) - 4_f64.ln()).abs() < 0.05);
        }
    }

    #[test]
    fn coverage_adjustment_sees_a_long_tail() {
        let tail: Vec<f64> = std::iter::once(0.5).chain(std::iter::repeat_n(0.02, 25)).collect();
        let truth = shannon_entropy(tail.iter().copied());
        let error = |estimate| (mean_estimate(&tail, 16, estimate) - truth).abs();
        assert!(error(chao_shen) < error(miller_madow) && error(miller_madow) < error(plug_in));
    }

    #[test]
    fn support_grows_with_answers_seen_once() {
        assert_eq!(assumed_support(&[5, 0, 3]), 3);
        assert_eq!(assumed_support(&[5, 1]), 4);
        assert_eq!(assumed_support(&[5, 1, 1]), 6);
        assert_eq!(assumed_support(&[5, 2, 1, 1, 1]), 9);
        assert_eq!(assumed_support(&[1, 1, 1, 1]), 11);
    }

    #[test]
    fn smoothing_keeps_logarithms_finite_and_nearly_unbiased() {
        assert!((smoothed_logprob(0, 15, 2) - (0.5_f64 / 16.0).ln()).abs() < 1e-12);
        let mut random = Random::new(11);
        for p in [0.2, 0.5, 0.9] {
            let draws = (0..20_000).map(|_| smoothed_logprob(random.counts(&[p, 1.0 - p], 64)[0], 64, 2));
            let gain = draws.sum::<f64>() / 20_000.0 - f64::ln(64.0 * p / 65.0);
            // Standard error of the mean below 0.003; the unsmoothed bias would be −0.03 at p = 0.2.
            assert!((gain - 0.5 / (64.0 * p) + (1.0 - p) / (2.0 * 64.0 * p)).abs() < 0.012, "{p}: {gain}");
        }
    }
}
