//! Mean, variance and quantiles.
//!
//! * variance divides by n - 1.
//! * quantile is type 7 of Hyndman and Fan 1996: position h = (n - 1) q in the sorted values, linear in between.

use crate::undefined::{Undefined, check_count, check_finite};

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

fn check_fraction(q: f64) -> Result<(), Undefined> {
    if (0.0..=1.0).contains(&q) { Ok(()) } else { Err(Undefined::OutOfRange { index: 0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(mean(&[]), Err(Undefined::Empty));
        assert_eq!(variance(&[1.0]), Err(Undefined::TooFew { needed: 2, found: 1 }));
        assert_eq!(mean(&[1.0, f64::NAN]), Err(Undefined::NotFinite { index: 1 }));
        assert_eq!(quantile(&[1.0], 1.5), Err(Undefined::OutOfRange { index: 0 }));
    }
}
