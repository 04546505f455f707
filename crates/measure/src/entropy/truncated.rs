//! Bounds on an entropy of which only the most likely entries are known.
//!
//! Servers list the k most likely tokens. With p_1 ≥ … ≥ p_k listed, r = 1 − Σp_i and n = V − k tokens not listed, each of which
//! has at most p_k, the tail adds to −Σ p_i ln p_i over the listed ones
//!
//! * at most r ln(n/r), when it is spread evenly;
//! * at least what ⌊r/p_k⌋ tokens at p_k and one with the remainder add, when it is as uneven as the order allows.
//!
//! Input: listed probabilities in any order, and the size V of the vocabulary. Output: lower and upper bound in nats. `None` where
//! no distribution fits: nothing listed, more entries than the vocabulary has, a sum above 1, or more mass left than n tokens of
//! p_k can hold. Tolerance on these is 1e-6, for servers round. Not a point value: nothing is renormalised, and a token that is not
//! listed is not taken to be impossible. The listed entries must be the most likely ones, without a sampled token from below them.

use crate::entropy::{shannon_entropy, surprise};

const TOLERANCE: f64 = 1e-6;

/// Lower and upper bound on the entropy of a distribution over `vocab_size` entries, of which `top_probs` are the most likely.
pub fn truncated_bounds(top_probs: &[f64], vocab_size: usize) -> Option<(f64, f64)> {
    let n_unlisted = vocab_size.checked_sub(top_probs.len())? as f64;
    let least = top_probs.iter().copied().reduce(f64::min).filter(|p| *p >= 0.0)?;
    let left = 1.0 - top_probs.iter().sum::<f64>();
    if !(-TOLERANCE..=n_unlisted * least + TOLERANCE).contains(&left) {
        return None;
    }
    let rest = left.clamp(0.0, n_unlisted * least);
    let listed = shannon_entropy(top_probs.iter().copied());
    if rest <= 0.0 {
        return Some((listed, listed));
    }
    let n_full = (rest / least).floor();
    let sharp = n_full * surprise(least) + surprise((rest - n_full * least).max(0.0));
    let even = rest * (n_unlisted / rest).ln();
    Some((listed + sharp, listed + even.max(sharp)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn what_fits_no_distribution_is_undefined() {
        assert_eq!(truncated_bounds(&[], 5), None);
        assert_eq!(truncated_bounds(&[0.5, 0.6], 5), None);
        assert_eq!(truncated_bounds(&[0.5, 0.5], 1), None);
        assert_eq!(truncated_bounds(&[0.5, 0.1], 4), None);
        assert_eq!(truncated_bounds(&[0.5, f64::NAN], 4), None);
    }

    #[test]
    fn a_complete_list_is_exact() {
        let (lower, upper) = truncated_bounds(&[0.5, 0.25, 0.25], 3).unwrap();
        assert!((lower - upper).abs() < 1e-15 && (lower - shannon_entropy([0.5, 0.25, 0.25])).abs() < 1e-15);
        assert!(truncated_bounds(&[0.5, 0.5 + 1e-8], 9).is_some());
    }

    #[test]
    fn closed_forms() {
        let (lower, upper) = truncated_bounds(&[0.5, 0.2], 100).unwrap();
        assert!((lower - shannon_entropy([0.5, 0.2, 0.2, 0.1])).abs() < 1e-12);
        let even: Vec<f64> = [0.5, 0.2].into_iter().chain(std::iter::repeat_n(0.3 / 98.0, 98)).collect();
        assert!((upper - shannon_entropy(even)).abs() < 1e-12);
    }

    #[test]
    fn every_distribution_lies_between_its_bounds() {
        let mut random = Random::new(31);
        for _ in 0..3000 {
            let vocab_size = 1 + random.below(30);
            let mut probs = random.simplex(vocab_size, 3.0);
            probs.sort_unstable_by(|a, b| b.total_cmp(a));
            let truth = shannon_entropy(probs.iter().copied());
            let n_listed = 1 + random.below(vocab_size);
            let (lower, upper) = truncated_bounds(&probs[..n_listed], vocab_size).unwrap();
            assert!(lower <= truth + 1e-9 && truth <= upper + 1e-9, "{lower} {truth} {upper}");
        }
    }

    #[test]
    fn the_bounds_are_met_on_a_grid_of_tails() {
        // Three listed, three not, in units of 1/40: brute force over all tails that keep the order.
        let (listed, units, cap) = ([16, 10, 6], 8, 6);
        let unit = |n: usize| n as f64 / 40.0;
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for i in 0..=units {
            for j in 0..=units - i {
                let tail = [i, j, units - i - j];
                if tail.iter().all(|&t| t <= cap) {
                    let h = shannon_entropy(listed.into_iter().chain(tail).map(unit));
                    (least, most) = (least.min(h), most.max(h));
                }
            }
        }
        let (lower, upper) = truncated_bounds(&listed.map(unit), 6).unwrap();
        assert!((lower - least).abs() < 1e-12 && upper >= most && upper - most < 0.005);
    }
}
