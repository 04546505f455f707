//! Rows grouped by their probability.
//!
//! * Equal width, m bins: (i/m, (i+1)/m], with 0 in the first.
//! * Equal mass, m bins: rows in ascending order, the tied rows at positions s..e go to bin floor(m (s + e)/2 / n), so
//!   equal probabilities are never torn apart; without ties sizes differ by at most one.
//!
//! Empty bins are left out. Bins come in ascending order of probability.

use crate::rank::{ascending, tie_runs};
use crate::undefined::{Undefined, check_count, check_unit};

/// How to form bins; the number is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binning {
    /// Bins that split [0, 1] into equal lengths.
    EqualWidth(usize),
    /// Bins that hold about equally many rows.
    EqualMass(usize),
}

/// The rows of each bin that is not empty, by ascending probability.
pub(crate) fn bins(probs: &[f64], binning: Binning) -> Result<Vec<Vec<usize>>, Undefined> {
    let (Binning::EqualWidth(n_bins) | Binning::EqualMass(n_bins)) = binning;
    check_count(probs.len(), 1)?;
    check_count(n_bins, 1)?;
    check_unit(probs)?;
    let order = ascending(probs);
    let mut bins = vec![Vec::new(); n_bins];
    for run in tie_runs(probs, &order) {
        let bin = match binning {
            Binning::EqualWidth(_) => width_bin(probs[order[run.start]], n_bins),
            Binning::EqualMass(_) => n_bins * (run.start + run.end) / (2 * probs.len()),
        };
        bins[bin].extend_from_slice(&order[run]);
    }
    bins.retain(|rows| !rows.is_empty());
    Ok(bins)
}

/// The number of inner edges i/m below the probability.
fn width_bin(prob: f64, n_bins: usize) -> usize {
    let guess = (prob * n_bins as f64) as usize;
    let edge = |i: usize| i as f64 / n_bins as f64;
    // The product may be off by one rounding, so the neighbours are compared with the edges themselves.
    (guess.saturating_sub(1)..=guess + 1)
        .rev()
        .find(|&i| i < n_bins && (i == 0 || edge(i) < prob))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_belong_to_the_lower_bin() {
        for i in 0..=10_usize {
            let prob = i as f64 / 10.0;
            assert_eq!(width_bin(prob, 10), i.saturating_sub(1));
            assert_eq!(width_bin((prob + 1e-9).min(1.0), 10), i.min(9));
        }
    }

    #[test]
    fn masses_are_equal_without_ties() {
        let probs: Vec<f64> = (0..10).map(|i| f64::from(i) / 20.0).collect();
        let sizes: Vec<usize> = bins(&probs, Binning::EqualMass(4)).unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(sizes.iter().all(|&size| size == 2 || size == 3));
    }

    #[test]
    fn ties_stay_together() {
        let grouped = bins(&[0.9, 0.2, 0.2, 0.2, 0.2, 0.95], Binning::EqualMass(3)).unwrap();
        assert_eq!(grouped, [vec![1, 2, 3, 4], vec![0, 5]]);
        assert_eq!(bins(&[0.5; 7], Binning::EqualMass(3)).unwrap().len(), 1);
    }

    #[test]
    fn more_bins_than_rows_are_fine() {
        assert_eq!(bins(&[0.1, 0.2], Binning::EqualMass(5)).unwrap().len(), 2);
        assert_eq!(bins(&[0.1], Binning::EqualWidth(0)), Err(Undefined::Empty));
        assert_eq!(bins(&[0.1, 1.1], Binning::EqualWidth(5)), Err(Undefined::OutOfRange { index: 1 }));
    }
}
