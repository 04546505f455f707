//! Platt scaling: P(positive | s) = 1/(1 + exp(-(slope s + intercept))).
//!
//! Maximum likelihood with Platt's targets, which keep the fit finite even when a threshold separates the classes:
//! (m + 1)/(m + 2) for the m positive rows and 1/(n + 2) for the n negative rows. Both classes and two distinct scores
//! are needed. Platt writes A = -slope and B = -intercept.
//! Source: Platt 1999, sec. 2.2; Lin, Lin and Weng 2007, Mach. Learn. 68 (Newton's method).

use crate::logistic::{Features, Logistic};
use crate::rank::all_tied;
use crate::undefined::{Undefined, check_finite, check_paired};

/// A fitted logistic mapping of one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platt {
    /// Change of the logit for one unit of score.
    pub slope: f64,
    /// Logit at score 0.
    pub intercept: f64,
}

impl Platt {
    /// Fits the mapping on scores and labels.
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self, Undefined> {
        check_paired(scores.len(), labels.len())?;
        check_finite(scores)?;
        let m = labels.iter().filter(|&&label| label).count() as f64;
        let n = labels.len() as f64 - m;
        if m < 1.0 || n < 1.0 {
            return Err(Undefined::SingleClass);
        }
        if all_tied(scores) {
            return Err(Undefined::ConstantScore);
        }
        let target = |&label: &bool| if label { (m + 1.0) / (m + 2.0) } else { 1.0 / (n + 2.0) };
        let targets: Vec<f64> = labels.iter().map(target).collect();
        let fit = Logistic::fit_targets(&Features::new(1, scores.to_vec())?, &targets, 0.0)?;
        Ok(Self { slope: fit.weights()[0], intercept: fit.intercept() })
    }

    /// The probability of a positive label at a score.
    #[must_use]
    pub fn predict(&self, score: f64) -> f64 {
        crate::logistic::sigmoid(self.slope * score + self.intercept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_classes_stay_finite() {
        let fit = Platt::fit(&[0.0, 1.0, 2.0, 3.0], &[false, false, true, true]).unwrap();
        assert!(fit.slope > 0.0 && fit.slope.is_finite());
        assert!(fit.predict(3.0) > 0.7 && fit.predict(0.0) < 0.3);
    }

    #[test]
    fn degenerate_fits_are_said() {
        assert_eq!(Platt::fit(&[1.0, 2.0], &[true, true]), Err(Undefined::SingleClass));
        assert_eq!(Platt::fit(&[1.0, 1.0], &[true, false]), Err(Undefined::ConstantScore));
    }
}
