//! Isotonic regression: the rising step function that is closest in squared error.
//!
//! Minimises sum (y_i - g(x_i))^2 over non-decreasing g by pooling adjacent violators, after equal x have been averaged.
//! Between fitted points g is linear; outside their range it is the nearest end. Linear time after sorting.
//! Source: Barlow et al. 1972; Zadrozny and Elkan 2002 (as a calibrator). Conventions as in scikit-learn's
//! `IsotonicRegression(out_of_bounds="clip")`.

use crate::rank::{ascending, tie_runs};
use crate::undefined::{Undefined, check_finite, check_paired};

/// A fitted non-decreasing function.
#[derive(Debug, Clone, PartialEq)]
pub struct Isotonic {
    /// Corners (x, g(x)), x strictly rising, g not falling, at least one.
    corners: Vec<(f64, f64)>,
}

/// A maximal run of x values with one fitted value.
struct Pool {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Pool {
    fn value(&self) -> f64 {
        self.sum / self.weight
    }
}

impl Isotonic {
    /// Fits y on x.
    pub fn fit(x: &[f64], y: &[f64]) -> Result<Self, Undefined> {
        check_paired(x.len(), y.len())?;
        check_finite(x)?;
        check_finite(y)?;
        let mut corners = Vec::new();
        for pool in pool_violators(x, y) {
            corners.push((pool.first, pool.value()));
            if pool.last > pool.first {
                corners.push((pool.last, pool.value()));
            }
        }
        Ok(Self { corners })
    }

    /// Fits the probability of a positive label on a score.
    pub fn calibrate(scores: &[f64], labels: &[bool]) -> Result<Self, Undefined> {
        let outcomes: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        Self::fit(scores, &outcomes)
    }

    /// g(x) for a finite x.
    #[must_use]
    pub fn predict(&self, x: f64) -> f64 {
        let above = self.corners.partition_point(|corner| corner.0 < x);
        if above == 0 {
            return self.corners[0].1;
        }
        let (x0, y0) = self.corners[above - 1];
        match self.corners.get(above) {
            Some(&(x1, y1)) => y0 + (y1 - y0) * ((x - x0) / (x1 - x0)),
            None => y0,
        }
    }

    /// The corners (x, g(x)) between which g is linear.
    #[must_use]
    pub fn corners(&self) -> &[(f64, f64)] {
        &self.corners
    }
}

/// Pools of strictly rising value.
fn pool_violators(x: &[f64], y: &[f64]) -> Vec<Pool> {
    let order = ascending(x);
    let mut pools: Vec<Pool> = Vec::new();
    for run in tie_runs(x, &order) {
        let place = x[order[run.start]];
        let sum = order[run.clone()].iter().map(|&row| y[row]).sum();
        let mut pool = Pool { first: place, last: place, sum, weight: run.len() as f64 };
        while let Some(before) = pools.pop_if(|before| before.value() >= pool.value()) {
            pool.first = before.first;
            pool.sum += before.sum;
            pool.weight += before.weight;
        }
        pools.push(pool);
    }
    pools
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn violators_are_averaged_and_gaps_interpolated() {
        let fit = Isotonic::fit(&[1.0, 2.0, 3.0, 5.0], &[0.0, 1.0, 0.0, 2.0]).unwrap();
        assert_eq!(fit.corners(), [(1.0, 0.0), (2.0, 0.5), (3.0, 0.5), (5.0, 2.0)]);
        assert!((fit.predict(4.0) - 1.25).abs() < 1e-15);
        assert!(fit.predict(-9.0).abs() < 1e-15 && (fit.predict(9.0) - 2.0).abs() < 1e-15);
    }

    #[test]
    fn equal_x_are_one_point() {
        let fit = Isotonic::calibrate(&[0.3, 0.3, 0.3, 0.3], &[true, false, false, false]).unwrap();
        assert_eq!(fit.corners(), [(0.3, 0.25)]);
        assert_eq!(Isotonic::fit(&[], &[]), Err(Undefined::Empty));
    }

    proptest! {
        #[test]
        fn fits_rise_and_fitting_twice_changes_nothing(rows in prop::collection::vec((-9_i32..9, -3.0_f64..3.0), 1..60)) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let y: Vec<f64> = rows.iter().map(|row| row.1).collect();
            let once = Isotonic::fit(&x, &y).unwrap();
            prop_assert!(once.corners().windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
            let fitted: Vec<f64> = x.iter().map(|&x| once.predict(x)).collect();
            let twice = Isotonic::fit(&x, &fitted).unwrap();
            for &x in &x {
                prop_assert!((once.predict(x) - twice.predict(x)).abs() < 1e-12);
            }
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            prop_assert!((mean(&fitted) - mean(&y)).abs() < 1e-12);
        }
    }
}
