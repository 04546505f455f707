//! Logistic regression with an L2 penalty, by Newton's method.
//!
//! Minimises sum_i [ln(1 + exp(z_i)) - y_i z_i] + lambda/2 |w|^2 over w and b, z_i = b + w . x_i, where each feature has
//! been standardised to mean 0 and variance 1 (divided by n). The intercept is not penalised; the result is given on the
//! scale of the input. lambda = 1/C of scikit-learn. A constant feature gets weight 0.
//!
//! With lambda = 0 the fit is finite only if no hyperplane separates the classes; a fit that runs away is
//! [`Undefined::NotConverged`]. Standard errors are not given: rows are clustered, see [`crate::bootstrap`].
//! Source: Hastie, Tibshirani and Friedman 2009, sec. 4.4.

use crate::undefined::{Undefined, check_finite, check_paired};

const MAX_STEPS: usize = 100;

/// A feature matrix, `[rows, features]`, finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    n_features: usize,
    /// Row-major.
    values: Vec<f64>,
}

impl Features {
    /// From row-major values, `n_features` >= 1 in each row.
    pub fn new(n_features: usize, values: Vec<f64>) -> Result<Self, Undefined> {
        if n_features == 0 || values.is_empty() {
            return Err(Undefined::Empty);
        }
        if !values.len().is_multiple_of(n_features) {
            return Err(Undefined::LengthMismatch { left: values.len(), right: n_features });
        }
        check_finite(&values)?;
        Ok(Self { n_features, values })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.n_features
    }

    /// Number of features in each row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.n_features)
    }

    /// The features of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.n_features..(row + 1) * self.n_features]
    }

    /// The matrix of some of the rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Result<Self, Undefined> {
        Self::new(self.n_features, rows.iter().flat_map(|&row| self.row(row)).copied().collect())
    }
}

/// A fitted model on the scale of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    weights: Vec<f64>,
    intercept: f64,
}

impl Logistic {
    /// Fits labels with penalty `lambda` > 0.
    pub fn fit(features: &Features, labels: &[bool], lambda: f64) -> Result<Self, Undefined> {
        if !lambda.is_finite() || lambda <= 0.0 {
            return Err(Undefined::OutOfRange { index: 0 });
        }
        check_paired(features.n_rows(), labels.len())?;
        if labels.iter().all(|&label| label == labels[0]) {
            return Err(Undefined::SingleClass);
        }
        let targets: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        Self::fit_targets(features, &targets, lambda)
    }

    /// Fits targets in [0, 1]; with `lambda` = 0 they must leave the minimum finite.
    pub(crate) fn fit_targets(features: &Features, targets: &[f64], lambda: f64) -> Result<Self, Undefined> {
        let scaling = Scaling::of(features);
        let rows: Vec<Vec<f64>> = features.rows().map(|row| scaling.design_row(row)).collect();
        let beta = minimise(&Objective { rows: &rows, targets, lambda })?;
        let weights: Vec<f64> = beta[1..].iter().zip(&scaling.factors).map(|(b, f)| b * f).collect();
        let shift: f64 = weights.iter().zip(&scaling.means).map(|(w, m)| w * m).sum();
        Ok(Self { weights, intercept: beta[0] - shift })
    }

    /// ln P/(1 - P) of a positive label, for one row of features.
    #[must_use]
    pub fn logit(&self, row: &[f64]) -> f64 {
        self.intercept + self.weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
    }

    /// The probability of a positive label, for one row of features.
    #[must_use]
    pub fn probability(&self, row: &[f64]) -> f64 {
        sigmoid(self.logit(row))
    }

    /// Change of the logit for one unit of each feature.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Logit where all features are 0.
    #[must_use]
    pub fn intercept(&self) -> f64 {
        self.intercept
    }
}

/// 1/(1 + exp(-z)) without overflow.
pub(crate) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// ln(1 + exp(z)) - y z, the loss of target y at logit z.
pub(crate) fn log_loss(z: f64, y: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z
}

/// Mean and 1/(standard deviation) of each feature, 0 in place of the latter where a feature is constant.
struct Scaling {
    means: Vec<f64>,
    factors: Vec<f64>,
}

impl Scaling {
    fn of(features: &Features) -> Self {
        let n = features.n_rows() as f64;
        let mut means = vec![0.0; features.n_features()];
        for row in features.rows() {
            means.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / n);
        }
        let mut squares = vec![0.0; features.n_features()];
        for row in features.rows() {
            squares
                .iter_mut()
                .zip(row)
                .zip(&means)
                .for_each(|((sum, x), mean)| *sum += (x - mean).powi(2) / n);
        }
        let factor = |(square, mean): (&f64, &f64)| {
            let deviation = square.sqrt();
            if deviation > 1e-14 * mean.abs() { 1.0 / deviation } else { 0.0 }
        };
        let factors = squares.iter().zip(&means).map(factor).collect();
        Self { means, factors }
    }

    /// 1 and the standardised features.
    fn design_row(&self, row: &[f64]) -> Vec<f64> {
        let scaled =
            row.iter().zip(&self.means).zip(&self.factors).map(|((x, mean), factor)| (x - mean) * factor);
        std::iter::once(1.0).chain(scaled).collect()
    }
}

/// The penalised loss as a function of (intercept, weights).
struct Objective<'a> {
    rows: &'a [Vec<f64>],
    targets: &'a [f64],
    lambda: f64,
}

impl Objective<'_> {
    fn value(&self, beta: &[f64]) -> f64 {
        let loss: f64 = self.rows.iter().zip(self.targets).map(|(row, &y)| log_loss(dot(row, beta), y)).sum();
        loss + 0.5 * self.lambda * beta[1..].iter().map(|b| b * b).sum::<f64>()
    }

    /// Gradient, and lower triangle of the Hessian as rows.
    fn derivatives(&self, beta: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut gradient = vec![0.0; beta.len()];
        let mut hessian: Vec<Vec<f64>> = (0..beta.len()).map(|i| vec![0.0; i + 1]).collect();
        for (row, y) in self.rows.iter().zip(self.targets) {
            let p = sigmoid(dot(row, beta));
            for (i, x) in row.iter().enumerate() {
                gradient[i] += (p - y) * x;
                for (entry, other) in hessian[i].iter_mut().zip(row) {
                    *entry += p * (1.0 - p) * x * other;
                }
            }
        }
        for i in 1..beta.len() {
            gradient[i] += self.lambda * beta[i];
            // A constant feature has a zero column, which would make the matrix singular where there is no penalty.
            let free = hessian[i][i] + self.lambda <= 0.0;
            hessian[i][i] += if free { 1.0 } else { self.lambda };
        }
        (gradient, hessian)
    }
}

/// Newton's method with halved steps, from zero.
fn minimise(objective: &Objective<'_>) -> Result<Vec<f64>, Undefined> {
    let n_parameters = objective.rows.first().ok_or(Undefined::Empty)?.len();
    let mut beta = vec![0.0; n_parameters];
    let mut value = objective.value(&beta);
    for _ in 0..MAX_STEPS {
        let (gradient, hessian) = objective.derivatives(&beta);
        let step = solve(hessian, &gradient).ok_or(Undefined::NotConverged)?;
        let mut scale = 1.0;
        let (next, next_value) = loop {
            let next: Vec<f64> = beta.iter().zip(&step).map(|(b, s)| b - scale * s).collect();
            let next_value = objective.value(&next);
            if next_value <= value + 1e-13 * value.abs() {
                break (next, next_value);
            }
            scale *= 0.5;
            if scale < 1e-10 {
                return Err(Undefined::NotConverged);
            }
        };
        let largest = |values: &[f64]| values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let settled = largest(&step) <= 1e-12 * (1.0 + largest(&next));
        (beta, value) = (next, next_value);
        if settled {
            return Ok(beta);
        }
    }
    Err(Undefined::NotConverged)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Solves a symmetric system given by its lower triangle, by Cholesky's method; `None` unless positive definite.
fn solve(mut lower: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let sum = lower[i][j] - dot(&lower[i][..j], &lower[j][..j]);
            if i > j {
                lower[i][j] = sum / lower[j][j];
            } else if sum > 0.0 {
                lower[i][i] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = vec![0.0; n];
    for i in 0..n {
        x[i] = (right[i] - dot(&lower[i][..i], &x[..i])) / lower[i][i];
    }
    for i in (0..n).rev() {
        let later: f64 = (i + 1..n).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (x[i] - later) / lower[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_system_is_solved() {
        let x = solve(vec![vec![4.0], vec![2.0, 5.0], vec![1.0, 0.0, 3.0]], &[7.0, 7.0, 4.0]).unwrap();
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-14));
        assert_eq!(solve(vec![vec![1.0], vec![1.0, 1.0]], &[1.0, 1.0]), None);
    }

    #[test]
    fn the_fit_does_not_depend_on_units() {
        let values = vec![0.1, 5.0, 0.7, 3.0, 0.4, 2.0, 0.9, 4.0, 0.2, 1.0, 0.8, 6.0];
        let labels = [false, true, false, true, true, true];
        let scaled =
            values.iter().enumerate().map(|(i, x)| if i % 2 == 0 { 100.0 * x + 7.0 } else { *x }).collect();
        let one = Logistic::fit(&Features::new(2, values).unwrap(), &labels, 0.5).unwrap();
        let two = Logistic::fit(&Features::new(2, scaled).unwrap(), &labels, 0.5).unwrap();
        assert!((one.weights()[0] - 100.0 * two.weights()[0]).abs() < 1e-9);
        assert!((one.logit(&[0.5, 3.0]) - two.logit(&[57.0, 3.0])).abs() < 1e-9);
    }

    #[test]
    fn a_constant_feature_has_no_weight() {
        let features = Features::new(2, vec![1.0, 3.0, 2.0, 3.0, 3.0, 3.0, 4.0, 3.0]).unwrap();
        let fit = Logistic::fit(&features, &[false, true, false, true], 1.0).unwrap();
        assert!(fit.weights()[1].abs() < 1e-15 && fit.weights()[0] > 0.0);
        assert!((fit.probability(&[2.5, 3.0]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn bad_input_is_said() {
        let features = Features::new(1, vec![1.0, 2.0]).unwrap();
        assert_eq!(Logistic::fit(&features, &[true, true], 1.0), Err(Undefined::SingleClass));
        assert_eq!(Logistic::fit(&features, &[true, false], 0.0), Err(Undefined::OutOfRange { index: 0 }));
        let ragged = Logistic::fit(&features, &[true], 1.0);
        assert_eq!(ragged, Err(Undefined::LengthMismatch { left: 2, right: 1 }));
        assert_eq!(Features::new(2, vec![1.0; 3]), Err(Undefined::LengthMismatch { left: 3, right: 2 }));
        let apart = Logistic::fit_targets(&features, &[0.0, 1.0], 0.0);
        assert_eq!(apart, Err(Undefined::NotConverged));
    }
}
