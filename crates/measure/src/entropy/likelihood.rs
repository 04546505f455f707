//! A 95 % interval for the entropy behind counts of draws.
//!
//! The interval is the range of H over the distributions q that the counts do not speak against, by the likelihood ratio
//! Λ(q) = Σ n_i ln((n_i/m)/q_i):
//!
//! * lower end: min H(q) with 2Λ(q) ≤ the 97.5 % quantile of χ² with 1 degree of freedom. Frequencies look sharper than the truth
//!   on average, so this end is on the safe side.
//! * upper end: max H(q) over a support of K answers with 2Λ(q) ≤ the 97.5 % quantile of χ² with K − 1 degrees of freedom: a region
//!   for all probabilities at once. One degree would be too few here, because near the even distribution H changes only to second
//!   order: what makes a sample of it look sharper comes from all K − 1 directions.
//!
//! Both ends lie on one-parameter families, so a bisection finds them. Where H is stationary on Λ = constant, with y_i = e^μ q_i,
//! * at the maximum y_i ln y_i = c n_i for one c ≥ 0: all y_i ≥ 1, and every unseen answer has y = 1;
//! * at the minimum y_i ln y_i = −c n_i: the most frequent answer takes any y_1 in (0, 1), which fixes c; the others take the
//!   smaller root y_i < 1/e, and unseen answers have no mass.
//!
//! Input: counts, zeros ignored; the number of possible answers where it is known (the options of a question, and one for what
//! cannot be read), else it is assumed (`assumed_support`). Point value: Miller–Madow, kept within the interval. `None` without
//! draws. All draws alike give [0, upper]; an upper end of ln K means that the counts do not speak against the even distribution.
//!
//! Coverage by simulation (the test below; 400 samples for each of 14 distributions over 1 to 16 answers and m = 16, 32, 64, so a
//! standard error of about one point): with a known support at least 94 % everywhere; with an assumed support at least 94 % for up
//! to four answers and, from m = 32 on, for all; down to 91 % for ten or more answers at m = 16, where the misses are answers that
//! nobody saw. In return it is long: at m = 16 on two or three answers, 0.6 to 1.1 nats with an assumed support and 0.2 to 0.8 with
//! a known one. No random numbers are drawn.

use crate::entropy::counts::{assumed_support, miller_madow, total};
use crate::entropy::{EntropyInterval, shannon_entropy, surprise};

/// 97.5 % quantile of χ² with one degree of freedom.
const CHI_SQUARE_1: f64 = 5.023_886;
/// 97.5 % quantile of the standard normal distribution.
const NORMAL: f64 = 1.959_964;

/// Entropy of the answers behind `counts` with a 95 % interval.
pub fn sampled_interval(counts: &[usize], n_support: Option<usize>) -> Option<EntropyInterval> {
    let m = total(counts)?;
    let mut seen: Vec<f64> = counts.iter().filter(|&&n| n > 0).map(|&n| n as f64).collect();
    seen.sort_unstable_by(|a, b| b.total_cmp(a));
    let support = n_support.unwrap_or_else(|| assumed_support(counts)).max(seen.len());
    let lower = least_entropy(&seen, m, CHI_SQUARE_1 / 2.0);
    let upper = most_entropy(&seen, m, support, chi_square_quantile(support - 1) / 2.0);
    Some(EntropyInterval { nats: miller_madow(counts)?.clamp(lower, upper), lower, upper })
}

/// 97.5 % quantile of χ² by Wilson and Hilferty's cube, within 0.6 % from two degrees of freedom on.
fn chi_square_quantile(degrees: usize) -> f64 {
    match degrees {
        0 => 0.0,
        1 => CHI_SQUARE_1,
        _ => {
            let n = degrees as f64;
            let shrink = 2.0 / (9.0 * n);
            n * (1.0 - shrink + NORMAL * shrink.sqrt()).powi(3)
        }
    }
}

/// The largest entropy over `support` answers with Λ ≤ `limit`.
fn most_entropy(seen: &[f64], m: f64, support: usize, limit: f64) -> f64 {
    let n_unseen = (support - seen.len()) as f64;
    // Probabilities of the seen answers and of each unseen one, for ln c.
    let family = |ln_c: f64| {
        let logs: Vec<f64> = seen.iter().map(|n| upper_root(ln_c + n.ln())).collect();
        let top = logs[0];
        let sum = logs.iter().map(|v| (v - top).exp()).sum::<f64>() + n_unseen * (-top).exp();
        let probs: Vec<f64> = logs.iter().map(|v| (v - top).exp() / sum).collect();
        (probs, (-top).exp() / sum)
    };
    if lambda(seen, &vec![1.0 / support as f64; seen.len()], m) <= limit {
        return (support as f64).ln();
    }
    // Λ falls as c grows: c = 0 is the even distribution, c = ∞ the frequencies.
    let ln_c = bisect(-40.0, 1e6, |ln_c| lambda(seen, &family(ln_c).0, m) <= limit);
    let (probs, unseen) = family(ln_c);
    (shannon_entropy(probs) + n_unseen * surprise(unseen)).min((support as f64).ln())
}

/// The smallest entropy with Λ ≤ `limit`; `seen` falls.
fn least_entropy(seen: &[f64], m: f64, limit: f64) -> f64 {
    if seen.len() == 1 {
        return 0.0;
    }
    // y_1 = e^(−v) with v = e^x: x = ∞ gives the frequencies, x = −∞ all mass to the first answer.
    let family = |x: f64| {
        let v = x.exp();
        let first = v - x;
        let others = seen[1..].iter().map(|n| (v - lower_root(first + (seen[0] / n).ln())).exp());
        let weights: Vec<f64> = std::iter::once(1.0).chain(others).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect::<Vec<f64>>()
    };
    let x = bisect(-40.0, 20.0, |x| lambda(seen, &family(x), m) <= limit);
    shannon_entropy(family(x))
}

/// Σ n ln((n/m)/q).
fn lambda(seen: &[f64], probs: &[f64], m: f64) -> f64 {
    seen.iter().zip(probs).map(|(n, q)| n * (n / (m * q)).ln()).sum()
}

/// The least argument at which `holds` is true, for a condition that is false below it and true above.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// v > 0 with v e^v = e^l, by Newton's method on s = ln v.
fn upper_root(l: f64) -> f64 {
    let mut s = if l < 1.0 { l } else { l.ln() };
    for _ in 0..40 {
        let step = (s.exp() + s - l) / (s.exp() + 1.0);
        s -= step;
        if step.abs() < 1e-15 * (1.0 + s.abs()) {
            break;
        }
    }
    s.exp()
}

/// v ≥ 1 with v − ln v = q, for q ≥ 1, by Newton's method from above.
fn lower_root(q: f64) -> f64 {
    let beyond = (q - 1.0).max(0.0);
    let mut v = 1.0 + (2.0 * beyond).sqrt() + beyond;
    for _ in 0..40 {
        let slope = 1.0 - 1.0 / v;
        if slope <= 0.0 {
            break;
        }
        let step = (v - v.ln() - 1.0 - beyond) / slope;
        v = (v - step).max(1.0);
        if step.abs() < 1e-15 * v {
            break;
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn roots_solve_their_equations() {
        for l in [-40.0, -3.0, 0.0, 1.0, 30.0, 1e5] {
            let v = upper_root(l);
            assert!((v + v.ln() - l).abs() < 1e-9 * (1.0 + l.abs()), "{l}");
        }
        for q in [1.0, 1.0 + 1e-9, 1.5, 20.0, 1e6] {
            let v = lower_root(q);
            assert!(v >= 1.0 && (v - v.ln() - q).abs() < 1e-9 * q, "{q}");
        }
    }

    /// Range of H over a fine grid of distributions of three answers with Λ ≤ limit.
    fn grid_range(counts: [usize; 3], limit: f64) -> (f64, f64) {
        let m = counts.iter().sum::<usize>() as f64;
        let n = 600;
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for i in 0..=n {
            for j in 0..=n - i {
                let q = [i, j, n - i - j].map(|k| f64::from(k) / f64::from(n));
                let terms = counts.iter().zip(q).filter(|(c, _)| **c > 0);
                let ratio: f64 = terms.map(|(&c, q)| c as f64 * (c as f64 / m / q).ln()).sum();
                if ratio <= limit {
                    let h = shannon_entropy(q);
                    (least, most) = (least.min(h), most.max(h));
                }
            }
        }
        (least, most)
    }

    #[test]
    fn the_ends_are_the_extremes_over_all_distributions() {
        for counts in
            [[10, 4, 2], [16, 0, 0], [8, 8, 0], [6, 5, 5], [15, 1, 0], [20, 20, 1], [1, 1, 1], [3, 1, 0]]
        {
            let m = counts.iter().sum::<usize>() as f64;
            let seen: Vec<f64> = counts.into_iter().filter(|&n| n > 0).map(|n| n as f64).collect();
            for limit in [0.5, 1.9, 4.0] {
                let (least, most) = grid_range(counts, limit);
                let (low, high) = (least_entropy(&seen, m, limit), most_entropy(&seen, m, 3, limit));
                assert!(
                    low <= least + 1e-9 && least - low < 0.02,
                    "{counts:?} {limit}: {low} against {least}"
                );
                assert!(
                    high >= most - 1e-9 && high - most < 0.02,
                    "{counts:?} {limit}: {high} against {most}"
                );
            }
        }
    }

    #[test]
    fn the_point_lies_within() {
        let mut random = Random::new(5);
        for _ in 0..300 {
            let n = 1 + random.below(8);
            let m = 1 + random.below(80);
            let probs = random.simplex(n, 3.0);
            let counts = random.counts(&probs, m);
            for support in [None, Some(n), Some(n + 5)] {
                let h = sampled_interval(&counts, support).unwrap();
                assert!(
                    0.0 <= h.lower && h.lower <= h.nats && h.nats <= h.upper && h.upper.is_finite(),
                    "{counts:?} {h:?}"
                );
            }
        }
        assert_eq!(sampled_interval(&[0, 0], None), None);
        assert_eq!(sampled_interval(&[9], Some(1)), Some(EntropyInterval::exact(0.0)));
    }

    #[test]
    fn large_samples_give_short_intervals() {
        let h = sampled_interval(&[60_000, 30_000, 10_000], None).unwrap();
        let truth = shannon_entropy([0.6, 0.3, 0.1]);
        assert!(h.lower < truth && truth < h.upper && h.upper - h.lower < 0.03, "{h:?}");
    }

    /// Percentage of 400 samples whose interval holds the truth.
    fn coverage(probs: &[f64], m: usize, support: Option<usize>) -> f64 {
        let mut random = Random::new(17 + m as u64);
        let truth = shannon_entropy(probs.iter().copied());
        let hits = (0..400).filter(|_| {
            let h = sampled_interval(&random.counts(probs, m), support).unwrap();
            h.lower <= truth + 1e-12 && truth <= h.upper + 1e-12
        });
        hits.count() as f64 / 4.0
    }

    #[test]
    fn intervals_cover_the_truth() {
        let few: [&[f64]; 10] = [
            &[1.0],
            &[0.99, 0.01],
            &[0.95, 0.05],
            &[0.9, 0.1],
            &[0.8, 0.2],
            &[0.5, 0.5],
            &[0.6, 0.3, 0.1],
            &[0.25; 4],
            &[0.4, 0.3, 0.2, 0.1],
            &[0.7, 0.1, 0.1, 0.1],
        ];
        let geometric: Vec<f64> = (0..10).map(|i| 0.4 * 0.6_f64.powi(i) / (1.0 - 0.6_f64.powi(10))).collect();
        let tail: Vec<f64> = std::iter::once(0.7).chain(std::iter::repeat_n(0.02, 15)).collect();
        let many: [&[f64]; 4] = [&[0.9, 0.05, 0.05], &[0.125; 8], &geometric, &tail];
        for m in [16, 32, 64] {
            for (i, probs) in few.iter().chain(&many).enumerate() {
                let known = coverage(probs, m, Some(probs.len().max(2)));
                let assumed = coverage(probs, m, None);
                let promised = if m == 16 && i >= few.len() { 91.0 } else { 94.0 };
                assert!(known >= 94.0 && assumed >= promised, "{m} draws of {probs:?}: {known} {assumed}");
            }
        }
    }

    #[test]
    fn sixteen_draws_leave_much_open() {
        let length = |counts: &[usize], support| {
            let h = sampled_interval(counts, support).unwrap();
            h.upper - h.lower
        };
        for counts in [vec![15, 1], vec![10, 6], vec![10, 4, 2]] {
            let (known, assumed) = (length(&counts, Some(counts.len())), length(&counts, None));
            assert!(
                (0.2..0.8).contains(&known) && (0.6..1.1).contains(&assumed),
                "{counts:?} {known} {assumed}"
            );
        }
    }
}
