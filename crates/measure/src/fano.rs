//! How often a guess of the answer must be wrong, given how uncertain the answer is.
//!
//! With P_e the least error with which A can be guessed, H the (conditional) entropy of A in nats and n possible answers, Fano's
//! inequality reads h2(P_e) + P_e ln(n − 1) ≥ H, with h2(p) = −p ln p − (1 − p) ln(1 − p).
//!
//! * `error_bound`: the smallest P_e that satisfies it. The left side rises on [0, 1 − 1/n] from 0 to ln n, so it is inverted by
//!   bisection; H = ln n gives 1 − 1/n.
//! * `weak_error_bound`: (H − ln 2)/ln(n − 1), from h2 ≤ ln 2. Never above the exact one. It needs n ≥ 3 and says nothing for
//!   H ≤ ln 2.
//!
//! The bound is on the error averaged under the joint distribution whose entropy is used, not on the error of one trace: a trace can
//! be right while its own H is large. Source: Fano 1961; Cover and Thomas 2006, theorem 2.10.1; the weak form is Theorem 1 of
//! arXiv:2604.06192.

use std::f64::consts::LN_2;

use crate::entropy::surprise;

/// Why there is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBound {
    /// The weak form needs at least 3 answers, the exact one at least 1.
    #[error("there are too few answers for this bound")]
    TooFewAnswers,
    /// H ≤ ln 2: the weak form says only that errors are not negative.
    #[error("the entropy is at most ln 2, where the weak bound is empty")]
    Empty,
    /// H > ln n: no distribution over so few answers has this entropy.
    #[error("the entropy is above the logarithm of the number of answers")]
    EntropyTooLarge,
}

/// Rounding by which H may exceed ln n.
const TOLERANCE: f64 = 1e-9;

/// h2(p) in nats for p in [0, 1].
pub fn binary_entropy(p: f64) -> f64 {
    surprise(p) + surprise(1.0 - p)
}

/// The smallest error probability that Fano's inequality allows at entropy `entropy_nats` over `n_answers`.
pub fn error_bound(entropy_nats: f64, n_answers: usize) -> Result<f64, NoBound> {
    check(entropy_nats, n_answers, 1)?;
    if entropy_nats <= 0.0 {
        return Ok(0.0);
    }
    let (mut low, mut high) = (0.0, 1.0 - 1.0 / n_answers as f64);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if uncertainty_at(middle, n_answers) >= entropy_nats {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// (H − ln 2)/ln(n − 1), where it says something.
pub fn weak_error_bound(entropy_nats: f64, n_answers: usize) -> Result<f64, NoBound> {
    check(entropy_nats, n_answers, 3)?;
    if entropy_nats <= LN_2 {
        return Err(NoBound::Empty);
    }
    Ok((entropy_nats - LN_2) / ((n_answers - 1) as f64).ln())
}

/// h2(p) + p ln(n − 1): the largest entropy of n answers that can be guessed with error `p` ≤ 1 − 1/n.
pub(crate) fn uncertainty_at(p: f64, n_answers: usize) -> f64 {
    let spread = if n_answers > 2 { p * ((n_answers - 1) as f64).ln() } else { 0.0 };
    binary_entropy(p) + spread
}

fn check(entropy_nats: f64, n_answers: usize, at_least: usize) -> Result<(), NoBound> {
    if n_answers < at_least {
        return Err(NoBound::TooFewAnswers);
    }
    if entropy_nats > (n_answers as f64).ln() + TOLERANCE {
        return Err(NoBound::EntropyTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::shannon_entropy;
    use crate::testing::Random;

    #[test]
    fn outcomes_without_a_bound() {
        assert_eq!(error_bound(0.1, 0), Err(NoBound::TooFewAnswers));
        assert_eq!(weak_error_bound(0.69, 2), Err(NoBound::TooFewAnswers));
        assert_eq!(weak_error_bound(LN_2, 4), Err(NoBound::Empty));
        assert_eq!(error_bound(1.2, 3), Err(NoBound::EntropyTooLarge));
        assert_eq!(error_bound(0.0, 1), Ok(0.0));
    }

    #[test]
    fn the_even_distribution_is_guessed_worst() {
        for n in 2..30 {
            let bound = error_bound((n as f64).ln(), n).unwrap();
            assert!((bound - (1.0 - 1.0 / n as f64)).abs() < 1e-6, "{n}");
        }
    }

    #[test]
    fn the_inverse_solves_the_equation_and_exceeds_the_weak_form() {
        for n in [2, 3, 5, 100] {
            for i in 1..20 {
                let h = (n as f64).ln() * f64::from(i) / 20.0;
                let exact = error_bound(h, n).unwrap();
                assert!((uncertainty_at(exact, n) - h).abs() < 1e-9);
                if let Ok(weak) = weak_error_bound(h, n) {
                    assert!(weak > 0.0 && weak <= exact + 1e-12, "{n} {h}: {weak} {exact}");
                }
            }
        }
    }

    #[test]
    fn no_distribution_beats_the_bound_and_one_meets_it() {
        let mut random = Random::new(43);
        for _ in 0..2000 {
            let n = 2 + random.below(6);
            let probs = random.simplex(n, 2.0);
            let error = 1.0 - probs.iter().copied().fold(0.0, f64::max);
            assert!(error_bound(shannon_entropy(probs), n).unwrap() <= error + 1e-9);
        }
        let flat_rest = [0.7, 0.1, 0.1, 0.1];
        assert!((error_bound(shannon_entropy(flat_rest), 4).unwrap() - 0.3).abs() < 1e-9);
    }
}
