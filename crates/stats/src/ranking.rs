//! How well a score orders rows: average precision, risk-coverage, prediction-rejection ratio.
//!
//! A higher score ("confidence") means more likely positive, or less likely wrong. Tied rows are taken in random order
//! and the expectation is reported, so no result depends on the order of the input.
//!
//! * [`average_precision`] = sum_t (recall_t - recall_{t-1}) precision_t over the distinct thresholds, from high to low.
//! * [`risk_coverage`]: mean loss of the i most confident rows, i = 1..n; coverage is i/n. Its mean is the AURC. The
//!   oracle orders rows by their loss; excess = AURC - oracle AURC.
//! * [`prediction_rejection_ratio`] = (area - random)/(oracle - random), area = mean quality of the kept rows averaged over
//!   rejecting 0, 1, .. rows up to a largest share. 1 is the oracle, 0 a random order, below 0 worse than random.
//!   As in lm-polygraph, except that the random area is exact (the mean quality) where it is simulated there.
//!
//! Source: Geifman, Uziel and El-Yaniv 2019, sec. 3 (AURC); Malinin and Gales 2021 and lm-polygraph (PRR).

use crate::rank::{all_tied, ascending, tie_runs};
use crate::undefined::{Undefined, check_finite, check_paired};

/// Area under the risk-coverage curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aurc {
    /// Mean risk over the coverages 1/n, .., 1.
    pub aurc: f64,
    /// The smallest possible value on these losses.
    pub oracle: f64,
    /// aurc - oracle.
    pub excess: f64,
}

/// Area under the precision-recall curve as average precision.
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<f64, Undefined> {
    check_paired(scores.len(), labels.len())?;
    check_finite(scores)?;
    let n_positive = labels.iter().filter(|&&label| label).count();
    if n_positive == 0 || n_positive == labels.len() {
        return Err(Undefined::SingleClass);
    }
    let order = descending(scores);
    let (mut found, mut area) = (0, 0.0);
    for run in tie_runs(scores, &order) {
        let new = order[run.clone()].iter().filter(|&&row| labels[row]).count();
        found += new;
        area += new as f64 * found as f64 / run.end as f64;
    }
    Ok(area / n_positive as f64)
}

/// Mean loss of the i + 1 most confident rows, at index i.
pub fn risk_coverage(confidences: &[f64], losses: &[f64]) -> Result<Vec<f64>, Undefined> {
    check_paired(confidences.len(), losses.len())?;
    check_finite(confidences)?;
    check_finite(losses)?;
    Ok(running_means(confidences, losses))
}

/// Area under the risk-coverage curve, with the oracle's.
pub fn aurc(confidences: &[f64], losses: &[f64]) -> Result<Aurc, Undefined> {
    let aurc = average(&risk_coverage(confidences, losses)?);
    let sureness: Vec<f64> = losses.iter().map(|loss| -loss).collect();
    let oracle = average(&running_means(&sureness, losses));
    Ok(Aurc { aurc, oracle, excess: aurc - oracle })
}

/// Prediction-rejection ratio of a confidence for a quality (higher is better, for example 1 for correct).
///
/// Rejects at most the share `max_rejection` of rows, in (0, 1]; 1 is the usual choice.
pub fn prediction_rejection_ratio(
    confidences: &[f64],
    qualities: &[f64],
    max_rejection: f64,
) -> Result<f64, Undefined> {
    let kept = risk_coverage(confidences, qualities)?;
    let n_points = (max_rejection * kept.len() as f64) as usize;
    if n_points == 0 || n_points > kept.len() {
        return Err(Undefined::OutOfRange { index: 0 });
    }
    if all_tied(qualities) {
        return Err(Undefined::ConstantScore);
    }
    let first = kept.len() - n_points;
    let area = average(&kept[first..]);
    let oracle = average(&running_means(qualities, qualities)[first..]);
    let random = average(qualities);
    Ok((area - random) / (oracle - random))
}

/// Positions by descending score; tied rows keep their order.
fn descending(scores: &[f64]) -> Vec<usize> {
    let turned: Vec<f64> = scores.iter().map(|score| -score).collect();
    ascending(&turned)
}

/// Mean value of the i + 1 rows that score highest; within a tie every row counts as the mean of the tied rows.
fn running_means(scores: &[f64], values: &[f64]) -> Vec<f64> {
    let order = descending(scores);
    let mut means = Vec::with_capacity(values.len());
    let mut before = 0.0;
    for run in tie_runs(scores, &order) {
        let total: f64 = order[run.clone()].iter().map(|&row| values[row]).sum();
        let share = total / run.len() as f64;
        for taken in 1..=run.len() {
            means.push((before + taken as f64 * share) / (run.start + taken) as f64);
        }
        before += total;
    }
    means
}

/// Mean of values that are not empty.
fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oracle_and_a_constant_are_the_ends_of_the_scale() {
        let quality = [1.0, 0.0, 1.0, 0.5, 0.0];
        let best = prediction_rejection_ratio(&quality, &quality, 1.0).unwrap();
        assert!((best - 1.0).abs() < 1e-15);
        let nothing = prediction_rejection_ratio(&[0.7; 5], &quality, 1.0).unwrap();
        assert!(nothing.abs() < 1e-14);
        let losses: Vec<f64> = quality.iter().map(|q| 1.0 - q).collect();
        assert!(aurc(&quality, &losses).unwrap().excess.abs() < 1e-15);
        assert!((aurc(&[0.7; 5], &losses).unwrap().aurc - 0.5).abs() < 1e-15);
    }

    #[test]
    fn a_curve_by_hand() {
        let risks = risk_coverage(&[0.9, 0.5, 0.5, 0.1], &[0.0, 1.0, 0.0, 1.0]).unwrap();
        assert_eq!(risks, [0.0, 0.25, 1.0 / 3.0, 0.5]);
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(average_precision(&[0.1, 0.2], &[true, true]), Err(Undefined::SingleClass));
        assert_eq!(aurc(&[], &[]), Err(Undefined::Empty));
        let flat = prediction_rejection_ratio(&[0.1, 0.2], &[1.0, 1.0], 1.0);
        assert_eq!(flat, Err(Undefined::ConstantScore));
        let none = prediction_rejection_ratio(&[0.1, 0.2], &[1.0, 0.0], 0.2);
        assert_eq!(none, Err(Undefined::OutOfRange { index: 0 }));
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(rows in prop::collection::vec((0_u8..5, 0_u8..4), 2..30)) {
            let split = |rows: &[(u8, u8)]| -> (Vec<f64>, Vec<f64>) {
                rows.iter().map(|row| (f64::from(row.0), f64::from(row.1))).unzip()
            };
            let (confidences, losses) = split(&rows);
            let turned: Vec<(u8, u8)> = rows.iter().rev().copied().collect();
            let (turned_confidences, turned_losses) = split(&turned);
            let one = aurc(&confidences, &losses).unwrap();
            let two = aurc(&turned_confidences, &turned_losses).unwrap();
            prop_assert!((one.aurc - two.aurc).abs() < 1e-12);
            prop_assert!(one.excess > -1e-12);
        }
    }
}
