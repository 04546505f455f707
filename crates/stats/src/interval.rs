//! Intervals, their level, and the closed-form ones.
//!
//! * Wilson, for k successes in n independent trials with z = z_{(1+level)/2}:
//!   (p + z^2/2n ± z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Stays in [0, 1] and is not empty at k = 0 or n.
//! * Student t and normal, value ± quantile * standard error.
//!
//! Trials must be independent: rows that share a cluster need [`crate::bootstrap`].
//! Source: Wilson 1927, J. Am. Stat. Assoc. 22.

use crate::distribution::{normal_quantile, t_quantile};
use crate::undefined::{Undefined, check_count};

/// The coverage that an interval aims at, strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Level(f64);

impl Level {
    /// 95 %.
    pub const P95: Level = Level(0.95);

    /// `None` unless 0 < level < 1.
    #[must_use]
    pub fn new(level: f64) -> Option<Self> {
        (level > 0.0 && level < 1.0).then_some(Self(level))
    }

    /// The level as a number in (0, 1).
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The probability outside, on one side: (1 - level)/2.
    #[must_use]
    pub fn tail(self) -> f64 {
        0.5 * (1.0 - self.0)
    }

    /// z with P(|Z| <= z) = level.
    #[must_use]
    pub fn normal_point(self) -> f64 {
        normal_quantile(0.5 + 0.5 * self.0).unwrap_or(f64::INFINITY)
    }

    /// t with P(|T| <= t) = level, for `dof` degrees of freedom; infinite for `dof` = 0.
    #[must_use]
    pub fn t_point(self, dof: usize) -> f64 {
        t_quantile(0.5 + 0.5 * self.0, dof as f64).unwrap_or(f64::INFINITY)
    }
}

/// A closed interval with the coverage that it aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end, at least `low`.
    pub high: f64,
    /// Nominal coverage.
    pub level: Level,
}

impl Interval {
    /// centre ± half_width.
    #[must_use]
    pub fn around(center: f64, half_width: f64, level: Level) -> Self {
        Self { low: center - half_width, high: center + half_width, level }
    }

    /// Whether low <= value <= high.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// high - low.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// Both ends moved into [low, high], for statistics with a natural range.
    #[must_use]
    pub fn clamp(self, low: f64, high: f64) -> Self {
        Self { low: self.low.clamp(low, high), high: self.high.clamp(low, high), ..self }
    }
}

/// A statistic with its uncertainty over independent clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The statistic on the whole sample.
    pub value: f64,
    /// Its standard error over clusters.
    pub standard_error: f64,
    /// Its interval.
    pub interval: Interval,
    /// Clusters that took part.
    pub n_clusters: usize,
}

/// Wilson's interval for a proportion.
pub fn wilson(successes: usize, trials: usize, level: Level) -> Result<Interval, Undefined> {
    if trials == 0 {
        return Err(Undefined::Empty);
    }
    if successes > trials {
        return Err(Undefined::OutOfRange { index: 0 });
    }
    let (k, n) = (successes as f64, trials as f64);
    let p = k / n;
    let z = level.normal_point();
    let center = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half_width = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    let low = if successes == 0 { 0.0 } else { center - half_width };
    let high = if successes == trials { 1.0 } else { center + half_width };
    Ok(Interval { low, high, level })
}

/// Student's interval for the mean of independent values.
pub fn t_mean(values: &[f64], level: Level) -> Result<Estimate, Undefined> {
    check_count(values.len(), 2)?;
    let value = crate::summary::mean(values)?;
    let standard_error = (crate::summary::variance(values)? / values.len() as f64).sqrt();
    let half_width = level.t_point(values.len() - 1) * standard_error;
    let interval = Interval::around(value, half_width, level);
    Ok(Estimate { value, standard_error, interval, n_clusters: values.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_exact_at_the_ends_and_symmetric() {
        let none = wilson(0, 20, Level::P95).unwrap();
        let all = wilson(20, 20, Level::P95).unwrap();
        assert!(none.low.abs() < 1e-15 && (all.high - 1.0).abs() < 1e-15);
        assert!((none.high - (1.0 - all.low)).abs() < 1e-14);
        assert!(none.high > 0.1);
    }

    #[test]
    fn impossible_counts_are_undefined() {
        assert_eq!(wilson(0, 0, Level::P95), Err(Undefined::Empty));
        assert_eq!(wilson(3, 2, Level::P95), Err(Undefined::OutOfRange { index: 0 }));
        assert_eq!(t_mean(&[1.0], Level::P95), Err(Undefined::TooFew { needed: 2, found: 1 }));
    }

    #[test]
    fn levels_outside_the_unit_interval_do_not_exist() {
        assert_eq!(Level::new(1.0), None);
        assert_eq!(Level::new(0.0), None);
        assert_eq!(Level::new(f64::NAN), None);
        assert!((Level::P95.normal_point() - 1.959_963_984_540_054).abs() < 1e-13);
    }
}
