//! Negative log-likelihood of binary outcomes, in nats per row: -mean ln P(outcome).
//!
//! A probability of exactly 0 for what happened makes the loss infinite; it is reported as [`Undefined::InfiniteLoss`], not
//! clipped. Mappings that can return 0 or 1 ([`super::isotonic`]) need a floor that the caller chooses and states.

use crate::undefined::{Undefined, check_paired, check_unit};

/// Mean negative log-likelihood in nats.
pub fn negative_log_likelihood(probs: &[f64], labels: &[bool]) -> Result<f64, Undefined> {
    check_paired(probs.len(), labels.len())?;
    check_unit(probs)?;
    let mut sum = 0.0;
    for (index, (&prob, &label)) in probs.iter().zip(labels).enumerate() {
        let log_prob = if label { prob.ln() } else { (-prob).ln_1p() };
        if log_prob.is_infinite() {
            return Err(Undefined::InfiniteLoss { index });
        }
        sum -= log_prob;
    }
    Ok(sum / probs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_costs_ln_two() {
        let nll = negative_log_likelihood(&[0.5, 0.5], &[true, false]).unwrap();
        assert!((nll - 2_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn certainty_is_free_or_infinite() {
        assert!(negative_log_likelihood(&[1.0, 0.0], &[true, false]).unwrap().abs() < 1e-15);
        let wrong = negative_log_likelihood(&[0.5, 0.0], &[true, true]);
        assert_eq!(wrong, Err(Undefined::InfiniteLoss { index: 1 }));
    }
}
