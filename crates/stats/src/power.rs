//! How many clusters a one-sided test of a mean needs.
//!
//! The smallest n >= 2 with n >= ((t_{1-alpha, n-1} + t_{power, n-1}) sd / (mean - threshold))^2: then the lower confidence
//! limit at level 1 - alpha exceeds the threshold with about the given power, if mean and standard deviation over
//! clusters are as stated. Within one or two clusters of the exact noncentral-t answer at the usual alpha and power.
//!
//! A plan from observed values is a guide, not a promise: it takes the observed mean as the truth.
//! Source: Cohen 1988, ch. 2; Guenther 1981, Am. Stat. 35.

use crate::distribution::{normal_quantile, t_quantile};
use crate::undefined::{Undefined, check_finite};

/// What a test should be able to show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Mean over clusters that is taken as true.
    pub mean: f64,
    /// Standard deviation over clusters, at least 0.
    pub standard_deviation: f64,
    /// What the mean is to be shown to exceed.
    pub threshold: f64,
    /// Probability of a false claim, in (0, 1).
    pub alpha: f64,
    /// Probability of making the claim when it is true, in (0, 1), above `alpha`.
    pub power: f64,
}

/// The number of clusters needed; [`Undefined::NoEffect`] if the mean is not above the threshold.
pub fn clusters_needed(plan: &Plan) -> Result<usize, Undefined> {
    check_finite(&[plan.mean, plan.standard_deviation, plan.threshold])?;
    if plan.standard_deviation < 0.0 {
        return Err(Undefined::OutOfRange { index: 1 });
    }
    let effect = plan.mean - plan.threshold;
    if effect <= 0.0 {
        return Err(Undefined::NoEffect);
    }
    let (confidence, power) = (1.0 - plan.alpha, plan.power);
    let out_of_range = Undefined::OutOfRange { index: 0 };
    if power.is_nan() || power <= plan.alpha {
        return Err(out_of_range);
    }
    let ratio = plan.standard_deviation / effect;
    let quantiles = |n: f64| Some(t_quantile(confidence, n - 1.0)? + t_quantile(power, n - 1.0)?);
    let normal =
        normal_quantile(confidence).zip(normal_quantile(power)).map(|(a, b)| a + b).ok_or(out_of_range)?;
    let mut n = (normal * ratio).powi(2).ceil().max(2.0);
    while n < (quantiles(n).ok_or(out_of_range)? * ratio).powi(2) {
        n += 1.0;
    }
    Ok(n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { mean: 0.5, standard_deviation: 1.0, threshold: 0.0, alpha: 0.05, power: 0.8 };

    #[test]
    fn a_textbook_case() {
        // d = 0.5, one-sided 5 %, power 80 %: 27 clusters by the noncentral t distribution.
        assert_eq!(clusters_needed(&PLAN), Ok(27));
        let half = Plan { mean: 0.25, ..PLAN };
        assert!((100..=103).contains(&clusters_needed(&half).unwrap()));
    }

    #[test]
    fn no_effect_needs_no_number() {
        assert_eq!(clusters_needed(&Plan { mean: 0.0, ..PLAN }), Err(Undefined::NoEffect));
        assert_eq!(clusters_needed(&Plan { power: 1.0, ..PLAN }), Err(Undefined::OutOfRange { index: 0 }));
        assert_eq!(clusters_needed(&Plan { standard_deviation: 0.0, ..PLAN }), Ok(2));
    }
}
