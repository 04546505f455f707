//! Order, ties and midranks.
//!
//! Tied values share the mean of the ranks that they occupy, counted from 1. 0.0 and -0.0 are tied. Inputs are finite.

use std::cmp::Ordering;
use std::ops::Range;

/// The order of two finite numbers, 0.0 equal to -0.0.
pub(crate) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}

/// Positions of the values in ascending order; tied values keep their order.
pub(crate) fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| compare(values[a], values[b]));
    order
}

/// Maximal runs of tied values in an order made by [`ascending`] or its reverse.
pub(crate) fn tie_runs(values: &[f64], order: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for position in 0..order.len() {
        match runs.last_mut() {
            Some(run) if compare(values[order[run.start]], values[order[position]]).is_eq() => run.end += 1,
            _ => runs.push(position..position + 1),
        }
    }
    runs
}

/// The midrank of each value, from 1.
pub(crate) fn midranks(values: &[f64]) -> Vec<f64> {
    let order = ascending(values);
    let mut ranks = vec![0.0; values.len()];
    for run in tie_runs(values, &order) {
        let midrank = 0.5 * (run.start + 1 + run.end) as f64;
        for &position in &order[run] {
            ranks[position] = midrank;
        }
    }
    ranks
}

/// Whether all values are tied.
pub(crate) fn all_tied(values: &[f64]) -> bool {
    values.windows(2).all(|pair| compare(pair[0], pair[1]).is_eq())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(midranks(&[2.0, -0.0, 0.0, 5.0, 2.0, 2.0]), [4.0, 1.5, 1.5, 6.0, 4.0, 4.0]);
        assert_eq!(midranks(&[]), [0.0; 0]);
        assert!(all_tied(&[0.0, -0.0]) && !all_tied(&[0.0, 1.0]));
    }
}
