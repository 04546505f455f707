//! How large the mean of bounded losses may be: p-values and upper bounds from a finite sample.
//!
//! Input: n independent losses in [0, 1] of one rule. H is the claim that their mean R is above epsilon; its p-value is valid at every n.
//! The upper bound at level 1 - delta is the least epsilon at which H is rejected at delta, so it is >= R with probability 1 - delta.
//!
//! * [`Bound::Binomial`], for losses that are 0 or 1, k of them 1: P(Bin(n, epsilon) <= k), exact (Clopper and Pearson 1934).
//! * [`Bound::HoeffdingBentkus`]: the smaller of exp(-n h(min(r, epsilon), epsilon)) and e P(Bin(n, epsilon) <= ceil(n r)), r the mean loss
//!   and h(a, b) = a ln(a/b) + (1 - a) ln((1 - a)/(1 - b)). Bates et al. 2021, arXiv:2101.02703, sec. 3.1; Angelopoulos et al. 2021,
//!   arXiv:2110.01052, sec. 2.3.
//! * [`Bound::Betting`]: 1/max_t K_t with the wealth K_t = prod_{i <= t} (1 - nu_i (L_i - epsilon)) and the stakes
//!   nu_i = min(1, sqrt(2 ln(1/delta)/(n s_{i-1}^2))), s_i^2 = (1/4 + sum_{j <= i} (L_j - m_j)^2)/(1 + i), m_i = (1/2 + sum_{j <= i} L_j)/(1 + i).
//!   Waudby-Smith and Ramdas 2020, arXiv:2010.09686, as in Bates et al., sec. 3.1.3. The losses must be in an order that does not depend
//!   on them; delta tunes the stakes, and the p-value is valid for every choice of it.

use crate::special::beta_regularized;
use crate::undefined::{Undefined, check_unit};

/// A way to bound the mean of losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Exact, for losses that are 0 or 1.
    Binomial,
    /// From the mean alone.
    HoeffdingBentkus,
    /// From the losses one after the other; the sharper the smaller their variance.
    Betting,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Self; 3] = [Self::Binomial, Self::HoeffdingBentkus, Self::Betting];

    /// The name used in flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binomial => "binomial",
            Self::HoeffdingBentkus => "hoeffding-bentkus",
            Self::Betting => "betting",
        }
    }

    /// The p-value of a mean above `epsilon`; `delta` is the level at which it will be used.
    pub fn p_value(self, losses: &[f64], epsilon: f64, delta: f64) -> Result<f64, Undefined> {
        self.check(losses, delta)?;
        if !(0.0..=1.0).contains(&epsilon) {
            return Err(Undefined::OutOfRange { index: 0 });
        }
        Ok(self.p_value_of_checked(losses, epsilon, delta))
    }

    /// The upper bound of the mean at level 1 - `delta`.
    pub fn upper(self, losses: &[f64], delta: f64) -> Result<f64, Undefined> {
        self.check(losses, delta)?;
        // The p-value falls as epsilon rises.
        let (mut low, mut high) = (0.0, 1.0);
        while high - low > 1e-12 {
            let middle = 0.5 * (low + high);
            if self.p_value_of_checked(losses, middle, delta) <= delta { high = middle } else { low = middle }
        }
        Ok(high)
    }

    fn check(self, losses: &[f64], delta: f64) -> Result<(), Undefined> {
        if losses.is_empty() {
            return Err(Undefined::Empty);
        }
        if !(delta > 0.0 && delta < 1.0) {
            return Err(Undefined::OutOfRange { index: 0 });
        }
        check_unit(losses)?;
        match losses.iter().position(|loss| *loss > 0.0 && *loss < 1.0) {
            Some(index) if self == Self::Binomial => Err(Undefined::OutOfRange { index }),
            _ => Ok(()),
        }
    }

    fn p_value_of_checked(self, losses: &[f64], epsilon: f64, delta: f64) -> f64 {
        let n = losses.len();
        let sum: f64 = losses.iter().sum();
        // n r is a whole number for losses of 0 and 1, whatever rounding makes of the sum.
        let k = ((sum - 1e-9).ceil().max(0.0) as usize).min(n);
        match self {
            Self::Binomial => binomial_cdf(k, n, epsilon),
            Self::HoeffdingBentkus => {
                let mean = (sum / n as f64).min(epsilon);
                let hoeffding = (-(n as f64) * relative_entropy(mean, epsilon)).exp();
                hoeffding.min(std::f64::consts::E * binomial_cdf(k, n, epsilon)).min(1.0)
            }
            Self::Betting => 1.0 / largest_wealth(losses, epsilon, delta),
        }
    }
}

/// P(Bin(n, p) <= k).
fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_regularized((n - k) as f64, k as f64 + 1.0, 1.0 - p, p)
}

/// a ln(a/b) + (1 - a) ln((1 - a)/(1 - b)) for 0 <= a <= b <= 1.
fn relative_entropy(a: f64, b: f64) -> f64 {
    let term = |x: f64, y: f64| if x > 0.0 { x * (x / y).ln() } else { 0.0 };
    term(a, b) + term(1.0 - a, 1.0 - b)
}

/// max over t of the wealth of a gambler who bets that the mean is below `epsilon`, beginning with 1.
fn largest_wealth(losses: &[f64], epsilon: f64, delta: f64) -> f64 {
    let stake = (2.0 * (1.0 / delta).ln() / losses.len() as f64).sqrt();
    let (mut sum, mut squares) = (0.5, 0.25);
    let (mut log_wealth, mut largest) = (0.0_f64, 0.0_f64);
    for (i, loss) in losses.iter().enumerate() {
        let seen = (i + 1) as f64;
        let nu = (stake / (squares / seen).sqrt()).min(1.0);
        log_wealth += (-nu * (loss - epsilon)).ln_1p();
        largest = largest.max(log_wealth);
        sum += loss;
        squares += (loss - sum / (seen + 1.0)).powi(2);
    }
    largest.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Bound; 3] = [Bound::Binomial, Bound::HoeffdingBentkus, Bound::Betting];

    #[test]
    fn without_a_loss_the_exact_bound_has_its_closed_form() {
        let found = Bound::Binomial.upper(&[0.0; 50], 0.1).unwrap();
        assert!((found - (1.0 - 0.1_f64.powf(1.0 / 50.0))).abs() < 1e-10, "{found}");
        assert!(Bound::HoeffdingBentkus.upper(&[0.0; 50], 0.1).unwrap() >= found - 1e-10);
    }

    #[test]
    fn an_upper_bound_is_where_the_p_value_is_delta() {
        let losses: Vec<f64> = (0..120).map(|i| f64::from(u8::from(i % 11 == 3))).collect();
        for bound in ALL {
            let upper = bound.upper(&losses, 0.1).unwrap();
            assert!(bound.p_value(&losses, upper + 1e-6, 0.1).unwrap() <= 0.1, "{bound:?}");
            assert!(bound.p_value(&losses, upper - 1e-6, 0.1).unwrap() > 0.1, "{bound:?}");
            assert!(upper > 11.0 / 120.0 && upper < 0.25, "{bound:?}: {upper}");
        }
    }

    #[test]
    fn nothing_is_shown_about_a_risk_that_is_as_large_as_the_limit() {
        let losses: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 5 == 0))).collect();
        for bound in ALL {
            assert!(bound.p_value(&losses, 0.2, 0.1).unwrap() > 0.1, "{bound:?}");
            assert!((bound.p_value(&[1.0; 9], 1.0, 0.1).unwrap() - 1.0).abs() < 1e-12, "{bound:?}");
        }
    }

    #[test]
    fn bad_input_is_undefined() {
        assert_eq!(Bound::Betting.upper(&[], 0.1), Err(Undefined::Empty));
        assert_eq!(Bound::Betting.upper(&[0.5, 1.5], 0.1), Err(Undefined::OutOfRange { index: 1 }));
        assert_eq!(Bound::Betting.upper(&[0.5], 0.0), Err(Undefined::OutOfRange { index: 0 }));
        assert_eq!(Bound::Binomial.upper(&[1.0, 0.5], 0.1), Err(Undefined::OutOfRange { index: 1 }));
        assert_eq!(
            Bound::HoeffdingBentkus.p_value(&[0.0], 1.5, 0.1),
            Err(Undefined::OutOfRange { index: 0 })
        );
    }
}
