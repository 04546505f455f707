//! Reliability table and expected calibration error (ECE).
//!
//! A bin's gap is mean probability - observed rate; ECE = sum n_k/n |gap_k|. Observed rates carry Wilson intervals, which
//! take rows as independent. ECE is biased upwards for small bins: a perfectly calibrated score has ECE > 0 on any
//! finite sample, so compare it at equal sample size and binning only.
//! Source: Naeini, Cooper and Hauskrecht 2015 (ECE); Nguyen and O'Connor 2015 (equal mass).

use super::binning::{Binning, bins};
use crate::interval::{Interval, Level, wilson};
use crate::undefined::{Undefined, check_paired};

/// One row of the reliability table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Rows in the bin, at least one.
    pub n: usize,
    /// Smallest probability in the bin.
    pub min_prob: f64,
    /// Largest probability in the bin.
    pub max_prob: f64,
    /// Mean probability.
    pub mean_prob: f64,
    /// Share of positive labels.
    pub observed_rate: f64,
    /// Wilson interval of the rate.
    pub interval: Interval,
}

/// The reliability table, by ascending probability; empty bins are left out.
pub fn table(
    probs: &[f64],
    labels: &[bool],
    binning: Binning,
    level: Level,
) -> Result<Vec<ReliabilityBin>, Undefined> {
    check_paired(probs.len(), labels.len())?;
    bins(probs, binning)?.iter().map(|rows| summarise_bin(rows, probs, labels, level)).collect()
}

/// Expected calibration error, in [0, 1].
pub fn expected_calibration_error(
    probs: &[f64],
    labels: &[bool],
    binning: Binning,
) -> Result<f64, Undefined> {
    let table = table(probs, labels, binning, Level::P95)?;
    let sum: f64 = table.iter().map(|bin| bin.n as f64 * (bin.mean_prob - bin.observed_rate).abs()).sum();
    Ok(sum / probs.len() as f64)
}

/// Summarises the rows of one bin, which come in ascending order of probability.
fn summarise_bin(
    rows: &[usize],
    probs: &[f64],
    labels: &[bool],
    level: Level,
) -> Result<ReliabilityBin, Undefined> {
    let n = rows.len();
    let positives = rows.iter().filter(|&&row| labels[row]).count();
    Ok(ReliabilityBin {
        n,
        min_prob: probs[rows[0]],
        max_prob: probs[rows[n - 1]],
        mean_prob: rows.iter().map(|&row| probs[row]).sum::<f64>() / n as f64,
        observed_rate: positives as f64 / n as f64,
        interval: wilson(positives, n, level)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_by_hand() {
        let probs = [0.2, 0.2, 0.2, 0.2, 0.8, 1.0];
        let labels = [true, false, false, false, true, false];
        let table = table(&probs, &labels, Binning::EqualWidth(2), Level::P95).unwrap();
        assert_eq!((table.len(), table[0].n, table[1].n), (2, 4, 2));
        assert!((table[0].observed_rate - 0.25).abs() < 1e-15 && table[0].interval.contains(0.25));
        assert!((table[1].min_prob - 0.8).abs() < 1e-15 && (table[1].max_prob - 1.0).abs() < 1e-15);
        let ece = expected_calibration_error(&probs, &labels, Binning::EqualWidth(2)).unwrap();
        assert!((ece - (4.0 * 0.05 + 2.0 * 0.4) / 6.0).abs() < 1e-15);
    }

    #[test]
    fn unequal_lengths_are_said() {
        let ragged = expected_calibration_error(&[0.1], &[true, false], Binning::EqualMass(3));
        assert_eq!(ragged, Err(Undefined::LengthMismatch { left: 1, right: 2 }));
    }
}
