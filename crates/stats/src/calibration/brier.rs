//! Brier score and its decomposition.
//!
//! BS = mean (f - o)^2 for probability f and outcome o in {0, 1}. With bins k of n_k rows, means f_k and o_k, and base
//! rate o:
//!
//! BS = reliability - resolution + uncertainty + within_variance - within_covariance
//!
//! * reliability = sum n_k/n (f_k - o_k)^2, resolution = sum n_k/n (o_k - o)^2, uncertainty = o (1 - o);
//! * within_variance = mean (f - f_k)^2 and within_covariance = 2 mean (f - f_k)(o - o_k), both zero when each bin holds one
//!   distinct probability. Without them the parts do not add up.
//!
//! Source: Murphy 1973, J. Appl. Meteorol. 12; Stephenson, Coelho and Jolliffe 2008, Weather Forecast. 23 (within-bin terms).

use super::binning::{Binning, bins};
use crate::undefined::{Undefined, check_paired, check_unit};

/// The parts of a Brier score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrierDecomposition {
    /// The score itself, 0 at best.
    pub brier: f64,
    /// Distance between the probabilities and the rates of their bins, 0 at best.
    pub reliability: f64,
    /// Distance between the rates of the bins and the base rate, at most `uncertainty`.
    pub resolution: f64,
    /// Variance of the outcome.
    pub uncertainty: f64,
    /// Variance of the probabilities within bins.
    pub within_variance: f64,
    /// Twice the covariance of probabilities and outcomes within bins.
    pub within_covariance: f64,
}

/// Mean squared distance between probability and outcome.
pub fn brier(probs: &[f64], labels: &[bool]) -> Result<f64, Undefined> {
    check_paired(probs.len(), labels.len())?;
    check_unit(probs)?;
    let sum: f64 = probs.iter().zip(labels).map(|(f, &label)| (f - outcome(label)).powi(2)).sum();
    Ok(sum / probs.len() as f64)
}

/// The Brier score and its parts over bins.
pub fn decompose(probs: &[f64], labels: &[bool], binning: Binning) -> Result<BrierDecomposition, Undefined> {
    let brier = brier(probs, labels)?;
    let n = probs.len() as f64;
    let base_rate = labels.iter().filter(|&&label| label).count() as f64 / n;
    let mut parts = BrierDecomposition {
        brier,
        reliability: 0.0,
        resolution: 0.0,
        uncertainty: base_rate * (1.0 - base_rate),
        within_variance: 0.0,
        within_covariance: 0.0,
    };
    for rows in bins(probs, binning)? {
        let share = rows.len() as f64 / n;
        let prob = rows.iter().map(|&row| probs[row]).sum::<f64>() / rows.len() as f64;
        let rate = rows.iter().map(|&row| outcome(labels[row])).sum::<f64>() / rows.len() as f64;
        parts.reliability += share * (prob - rate).powi(2);
        parts.resolution += share * (rate - base_rate).powi(2);
        for row in rows {
            let deviation = probs[row] - prob;
            parts.within_variance += deviation * deviation / n;
            parts.within_covariance += 2.0 * deviation * (outcome(labels[row]) - rate) / n;
        }
    }
    Ok(parts)
}

fn outcome(label: bool) -> f64 {
    f64::from(u8::from(label))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_add_up(rows in prop::collection::vec((0.0_f64..=1.0, any::<bool>()), 1..60), n_bins in 1_usize..12) {
            let (probs, labels): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
            for binning in [Binning::EqualWidth(n_bins), Binning::EqualMass(n_bins)] {
                let p = decompose(&probs, &labels, binning).unwrap();
                let sum = p.reliability - p.resolution + p.uncertainty + p.within_variance - p.within_covariance;
                prop_assert!((p.brier - sum).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_certain_right_answer_costs_nothing() {
        let parts = decompose(&[1.0, 0.0], &[true, false], Binning::EqualWidth(10)).unwrap();
        assert!(parts.brier.abs() < 1e-15 && (parts.resolution - parts.uncertainty).abs() < 1e-15);
        assert_eq!(brier(&[1.5], &[true]), Err(Undefined::OutOfRange { index: 0 }));
    }
}
