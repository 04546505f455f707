//! The entropy of a distribution of which some mass has not been explored.
//!
//! Known are masses P_i of the answers found and a residual r = 1 − ΣP_i that belongs, in unknown shares, to the answers found and
//! to N others. The true distribution is some completion p_i = P_i + a_i, p_j = b_j with a, b ≥ 0 and Σa + Σb = r. Over all of them:
//!
//! * least entropy: H is concave, so it is least at a vertex of the completions, where all of r goes to one answer. Adding r to a
//!   mass x changes −x ln x by less the larger x is, so that answer is the most likely one found.
//! * greatest entropy: water-filling. The lowest masses, the unfound ones (at 0) first, are raised to a common level L until r is
//!   spent; then no transfer of mass evens the distribution any further.
//!
//! Input: masses found, their residual, and ln N (N can be astronomically large; `None` where every answer has been found). Output
//! in nats: the entropy of the found masses renormalised to one as the point value (it belongs to the completion in proportion, so
//! it lies within), and both ends. `None` where nothing found has any mass. The upper end is infinite only for infinite N.

use crate::entropy::{EntropyInterval, shannon_entropy, surprise};

/// The entropy interval over all completions of `found` by `residual`.
pub fn certified_interval(
    found: &[f64],
    residual: f64,
    ln_n_unfound: Option<f64>,
) -> Option<EntropyInterval> {
    let mut masses: Vec<f64> = found.to_vec();
    masses.sort_unstable_by(f64::total_cmp);
    let sum: f64 = masses.iter().sum();
    let (largest, rest) = masses.split_last().filter(|_| sum > 0.0)?;
    let nats = shannon_entropy(masses.iter().map(|p| p / sum));
    let lower = shannon_entropy(rest.iter().copied().chain([largest + residual])).min(nats);
    let upper = filled_entropy(&masses, residual, ln_n_unfound).max(nats);
    Some(EntropyInterval { nats, lower, upper })
}

/// Entropy after water-filling `residual` over `masses` (rising) and e^`ln_n_unfound` empty places.
fn filled_entropy(masses: &[f64], residual: f64, ln_n_unfound: Option<f64>) -> f64 {
    if residual <= 0.0 {
        return shannon_entropy(masses.iter().copied());
    }
    let ln_n = ln_n_unfound.unwrap_or(f64::NEG_INFINITY);
    let mut water = residual;
    let mut n_filled = 0;
    // The level, as a logarithm, once the unfound answers and the n_filled lowest found ones hold all the water.
    let mut ln_places = ln_n;
    while n_filled < masses.len() {
        let next = masses[n_filled];
        if ln_places > f64::NEG_INFINITY && water.ln() - ln_places <= next.ln() {
            break;
        }
        water += next;
        n_filled += 1;
        ln_places = ln_add(ln_n, (n_filled as f64).ln());
    }
    water * (ln_places - water.ln()) + masses[n_filled..].iter().map(|&p| surprise(p)).sum::<f64>()
}

/// ln(e^a + e^b) for finite b.
fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high.is_infinite() { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn without_a_residual_the_entropy_is_exact() {
        let h = certified_interval(&[0.25, 0.75], 0.0, Some(9.0)).unwrap();
        assert!((h.upper - h.lower).abs() < 1e-15 && (h.nats - shannon_entropy([0.25, 0.75])).abs() < 1e-15);
    }

    #[test]
    fn nothing_found_is_undefined() {
        assert_eq!(certified_interval(&[], 1.0, Some(2.0)), None);
        assert_eq!(certified_interval(&[0.0], 1.0, Some(2.0)), None);
    }

    #[test]
    fn closed_forms() {
        // The residual fills four empty places to 0.1 each, below the masses found.
        let h = certified_interval(&[0.4, 0.2], 0.4, Some(4_f64.ln())).unwrap();
        assert!((h.upper - shannon_entropy([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])).abs() < 1e-12);
        assert!((h.lower - shannon_entropy([0.8, 0.2])).abs() < 1e-12);
        assert!((h.nats - shannon_entropy([2.0 / 3.0, 1.0 / 3.0])).abs() < 1e-12);
        // The residual evens everything out: ln of the support.
        let h = certified_interval(&[0.3, 0.1], 0.6, Some(0.0)).unwrap();
        assert!((h.upper - 3_f64.ln()).abs() < 1e-12);
        // No further answers: only the found ones can be raised.
        let h = certified_interval(&[0.5, 0.2, 0.1], 0.2, None).unwrap();
        assert!((h.upper - shannon_entropy([0.5, 0.25, 0.25])).abs() < 1e-12);
    }

    #[test]
    fn numbers_of_answers_beyond_any_float() {
        let h = certified_interval(&[0.9], 0.1, Some(1e4)).unwrap();
        assert!((h.upper - (surprise(0.9) + 0.1 * (1e4 - 0.1_f64.ln()))).abs() < 1e-9);
        assert!(certified_interval(&[0.9], 0.1, Some(f64::INFINITY)).unwrap().upper.is_infinite());
        let tiny = certified_interval(&[1.0, 1e-300, 0.0], 1e-200, Some(3.0)).unwrap();
        assert!(
            tiny.lower >= 0.0 && tiny.upper < 1e-190 && tiny.lower <= tiny.nats && tiny.nats <= tiny.upper,
            "{tiny:?}"
        );
    }

    /// Every way of giving `units` indivisible parts of the residual to `n` answers.
    fn shares(units: usize, n: usize) -> Vec<Vec<usize>> {
        if n == 1 {
            return vec![vec![units]];
        }
        let first = (0..=units).flat_map(|own| {
            shares(units - own, n - 1).into_iter().map(move |mut rest| {
                rest.push(own);
                rest
            })
        });
        first.collect()
    }

    #[test]
    fn no_completion_of_a_tiny_alphabet_leaves_the_interval_and_both_ends_are_met() {
        let mut random = Random::new(23);
        for case in 0..40 {
            let n_found = 1 + random.below(3);
            let n_unfound = random.below(3);
            let parts = random.simplex(n_found + 1, 1.0 + 0.1 * f64::from(case));
            let (residual, found) = parts.split_last().unwrap();
            let ln_n = (n_unfound > 0).then(|| (n_unfound as f64).ln());
            let h = certified_interval(found, *residual, ln_n).unwrap();
            let units = 24;
            let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
            for share in shares(units, n_found + n_unfound) {
                let mass = |(i, &u): (usize, &usize)| {
                    found.get(i).unwrap_or(&0.0) + residual * u as f64 / units as f64
                };
                let entropy = shannon_entropy(share.iter().enumerate().map(mass));
                (least, most) = (least.min(entropy), most.max(entropy));
            }
            assert!((h.lower - least).abs() < 1e-9, "{h:?} {least}");
            assert!(h.upper >= most - 1e-9 && h.upper - most < 0.01, "{h:?} {most}");
        }
    }

    #[test]
    fn no_random_completion_leaves_the_interval() {
        let mut random = Random::new(29);
        for _ in 0..2000 {
            let (n_found, n_unfound) = (1 + random.below(6), 1 + random.below(40));
            let parts = random.simplex(n_found + 1, 4.0);
            let (residual, found) = parts.split_last().unwrap();
            let h = certified_interval(found, *residual, Some((n_unfound as f64).ln())).unwrap();
            let share = random.simplex(n_found + n_unfound, 3.0);
            let mass = |(i, s): (usize, &f64)| found.get(i).unwrap_or(&0.0) + residual * s;
            let entropy = shannon_entropy(share.iter().enumerate().map(mass));
            assert!(h.lower <= entropy + 1e-12 && entropy <= h.upper + 1e-12, "{h:?} {entropy}");
            assert!(h.upper <= ((n_found + n_unfound) as f64).ln() + 1e-12);
        }
    }
}
