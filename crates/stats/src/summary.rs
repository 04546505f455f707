//! Mean, variance and quantiles, plain and with frequency weights.
//!
//! * variance divides by n - 1.
//! * quantile is type 7 of Hyndman and Fan 1996: position h = (n - 1) q in the sorted values, linear in between.
//! * A weight w stands for w copies of its value: integer weights give the same result as the repeated sample.
//!   Weights are finite, not negative, and add up to more than zero (more than one for the variance and quantile).

use crate::undefined::{Undefined, check_count, check_finite, check_paired};

/// Arithmetic mean.
pub fn mean(values: &[f64]) -> Result<f64, Undefined> {
    check_count(values.len(), 1)?;
    check_finite(values)?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample variance, sum (x - mean)^2 / (n - 1).
pub fn variance(values: &[f64]) -> Result<f64, Undefined> {
    check_count(values.len(), 2)?;
    let center = mean(values)?;
    Ok(values.iter().map(|x| (x - center).powi(2)).sum::<f64>() / (values.len() - 1) as f64)
}

/// Sample standard deviation, the square root of [`variance`].
pub fn standard_deviation(values: &[f64]) -> Result<f64, Undefined> {
    variance(values).map(f64::sqrt)
}

/// Type 7 quantile at q in [0, 1].
pub fn quantile(values: &[f64], q: f64) -> Result<f64, Undefined> {
    check_count(values.len(), 1)?;
    check_finite(values)?;
    check_fraction(q)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted_quantile(&sorted, q))
}

/// Type 7 quantile of values that are sorted, finite and not empty.
pub(crate) fn sorted_quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// The quantile at 1/2.
pub fn median(values: &[f64]) -> Result<f64, Undefined> {
    quantile(values, 0.5)
}

/// sum w x / sum w.
pub fn weighted_mean(values: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    let total = check_weights(values, weights)?;
    Ok(weighted_sum(values, weights) / total)
}

/// sum w (x - mean)^2 / (sum w - 1), for frequency weights that add up to more than one.
pub fn weighted_variance(values: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    let total = check_weights(values, weights)?;
    if total <= 1.0 {
        return Err(Undefined::TooFew { needed: 2, found: 1 });
    }
    let center = weighted_sum(values, weights) / total;
    let squares: f64 = values.iter().zip(weights).map(|(x, w)| w * (x - center).powi(2)).sum();
    Ok(squares / (total - 1.0))
}

/// Type 7 quantile of the sample in which each value occurs as often as its weight says.
pub fn weighted_quantile(values: &[f64], weights: &[f64], q: f64) -> Result<f64, Undefined> {
    let total = check_weights(values, weights)?;
    check_fraction(q)?;
    let mut pairs: Vec<(f64, f64)> =
        values.iter().copied().zip(weights.iter().copied()).filter(|&(_, w)| w > 0.0).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let position = q * (total - 1.0).max(0.0);
    let below = at_position(&pairs, position.floor());
    let above = at_position(&pairs, position.floor() + 1.0);
    Ok(below + (position - position.floor()) * (above - below))
}

/// The value at a 0-based position in the repeated sample, which is given as sorted (value, weight) pairs.
fn at_position(pairs: &[(f64, f64)], position: f64) -> f64 {
    let mut passed = 0.0;
    for &(value, weight) in pairs {
        passed += weight;
        if position < passed {
            return value;
        }
    }
    pairs[pairs.len() - 1].0
}

fn weighted_sum(values: &[f64], weights: &[f64]) -> f64 {
    values.iter().zip(weights).map(|(x, w)| x * w).sum()
}

fn check_fraction(q: f64) -> Result<(), Undefined> {
    if (0.0..=1.0).contains(&q) { Ok(()) } else { Err(Undefined::OutOfRange { index: 0 }) }
}

/// The sum of valid weights.
fn check_weights(values: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    check_paired(values.len(), weights.len())?;
    check_finite(values)?;
    check_finite(weights)?;
    if let Some(index) = weights.iter().position(|&w| w < 0.0) {
        return Err(Undefined::OutOfRange { index });
    }
    let total: f64 = weights.iter().sum();
    if total > 0.0 { Ok(total) } else { Err(Undefined::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_weights_repeat_values() {
        let (values, weights) = ([3.0, 1.0, 2.5, 7.0], [2.0, 3.0, 0.0, 1.0]);
        let repeated = [3.0, 3.0, 1.0, 1.0, 1.0, 7.0];
        let close = |a: Result<f64, Undefined>, b: Result<f64, Undefined>| {
            assert!((a.unwrap() - b.unwrap()).abs() < 1e-14);
        };
        close(weighted_mean(&values, &weights), mean(&repeated));
        close(weighted_variance(&values, &weights), variance(&repeated));
        for q in [0.0, 0.1, 0.5, 0.77, 1.0] {
            close(weighted_quantile(&values, &weights, q), quantile(&repeated, q));
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(mean(&[]), Err(Undefined::Empty));
        assert_eq!(variance(&[1.0]), Err(Undefined::TooFew { needed: 2, found: 1 }));
        assert_eq!(mean(&[1.0, f64::NAN]), Err(Undefined::NotFinite { index: 1 }));
        assert_eq!(quantile(&[1.0], 1.5), Err(Undefined::OutOfRange { index: 0 }));
        assert_eq!(weighted_mean(&[1.0], &[0.0]), Err(Undefined::Empty));
        assert_eq!(weighted_mean(&[1.0], &[-1.0]), Err(Undefined::OutOfRange { index: 0 }));
    }
}
