//! Choosing rules whose risk is at most epsilon.
//!
//! * Learn-then-test: a rule is valid if the claim "its risk is above epsilon" is rejected. [`fixed_sequence`] tests rules in an order that
//!   was fixed beforehand, each at delta, and stops at the first that is not rejected; [`bonferroni`] tests every one of m at delta/m, in no
//!   order. Either way all the rules that are returned are valid together with probability 1 - delta, so the best of them may be taken by any
//!   criterion, on the same data too. Along rules of rising risk the fixed sequence is the choice by upper bounds (RCPS). No loss needs to be
//!   monotone. Several risks at once: the p-value of a rule is the largest of its risks' ([`jointly`]).
//! * [`conformal`]: along rules from cautious to bold, the last at which (n r + 1)/(n + 1) <= epsilon, r the mean over units of the running
//!   maximum of a unit's losses. The expected loss of a new unit is then at most epsilon, on average over the n units: no statement about
//!   one choice. The running maximum makes losses monotone, as the method requires; it is never below the loss itself.
//!
//! Source: Angelopoulos et al. 2021, arXiv:2110.01052; Bates et al. 2021, arXiv:2101.02703; Angelopoulos et al. 2022, arXiv:2208.02814.

use crate::undefined::{Undefined, check_unit};

/// How many rules, from the first, are valid: tested in order at `delta` until one is not rejected.
#[must_use]
pub fn fixed_sequence(p_values: &[f64], delta: f64) -> usize {
    p_values.iter().take_while(|p| **p <= delta).count()
}

/// The positions of the rules that are valid when each is tested at `delta` divided by their number.
#[must_use]
pub fn bonferroni(p_values: &[f64], delta: f64) -> Vec<usize> {
    let level = delta / p_values.len() as f64;
    (0..p_values.len()).filter(|&rule| p_values[rule] <= level).collect()
}

/// The p-value of "one of the risks of this rule is too large".
#[must_use]
pub fn jointly(p_values: &[f64]) -> f64 {
    p_values.iter().copied().fold(0.0, f64::max)
}

/// The position of the boldest valid rule, or `None` if the first is not. `losses[rule][unit]`, from cautious to bold.
pub fn conformal(losses: &[Vec<f64>], epsilon: f64) -> Result<Option<usize>, Undefined> {
    let n_units = losses.first().map_or(0, Vec::len);
    if n_units == 0 {
        return Err(Undefined::Empty);
    }
    let mut running = vec![0.0_f64; n_units];
    let mut boldest = None;
    for (rule, losses) in losses.iter().enumerate() {
        if losses.len() != n_units {
            return Err(Undefined::LengthMismatch { left: n_units, right: losses.len() });
        }
        check_unit(losses)?;
        running.iter_mut().zip(losses).for_each(|(largest, loss)| *largest = largest.max(*loss));
        let sum: f64 = running.iter().sum();
        if (sum + 1.0) / (n_units as f64 + 1.0) > epsilon {
            break;
        }
        boldest = Some(rule);
    }
    Ok(boldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::Bound;
    use crate::stream::{Purpose, Stream};

    #[test]
    fn a_sequence_ends_at_the_first_that_is_not_rejected() {
        assert_eq!(fixed_sequence(&[0.01, 0.1, 0.11, 0.0], 0.1), 2);
        assert_eq!(bonferroni(&[0.01, 0.1, 0.02, 0.0], 0.1), [0, 2, 3]);
        assert_eq!(fixed_sequence(&[], 0.1), 0);
        assert!((jointly(&[0.2, 0.05]) - 0.2).abs() < 1e-15);
    }

    #[test]
    fn conformal_choice_counts_the_new_unit_as_lost() {
        let none = vec![0.0; 9];
        let mut one = none.clone();
        one[3] = 1.0;
        let rules = [none.clone(), one, none.clone()];
        assert_eq!(conformal(&rules, 0.2), Ok(Some(2)));
        // The loss of the second rule stays with the third.
        assert_eq!(conformal(&rules, 0.19), Ok(Some(0)));
        assert_eq!(conformal(&rules, 0.05), Ok(None));
        assert_eq!(
            conformal(&[none, vec![0.0; 8]], 0.5),
            Err(Undefined::LengthMismatch { left: 9, right: 8 })
        );
    }

    const EPSILON: f64 = 0.1;
    const DELTA: f64 = 0.1;
    const N_UNITS: usize = 200;
    const N_RULES: usize = 30;

    /// A world of rules from cautious to bold with known risks.
    #[derive(Clone, Copy, Debug)]
    enum World {
        /// Unit i is lost by every rule bolder than a uniform point of its own: losses 0 or 1, monotone.
        Monotone,
        /// Losses of different rules are independent, 0 or 1.
        Independent,
        /// Losses are shares of up to a half, and the risk rises and falls along the rules.
        Shares,
    }

    impl World {
        fn risk(self, rule: usize) -> f64 {
            let boldness = rule as f64 / (N_RULES - 1) as f64;
            match self {
                Self::Monotone | Self::Independent => 0.2 * boldness,
                Self::Shares => 0.1 * (boldness + 0.35 * (9.0 * boldness).sin().abs()),
            }
        }

        fn losses(self, stream: &mut Stream) -> Vec<Vec<f64>> {
            let mut losses = vec![vec![0.0; N_UNITS]; N_RULES];
            for unit in 0..N_UNITS {
                let (point, share) = (stream.uniform(), stream.uniform());
                for (rule, losses) in losses.iter_mut().enumerate() {
                    let risk = self.risk(rule);
                    losses[unit] = match self {
                        Self::Monotone => f64::from(u8::from(point < risk)),
                        Self::Independent => f64::from(u8::from(stream.uniform() < risk)),
                        Self::Shares => f64::from(u8::from(point < 2.0 * risk)) * share,
                    };
                }
            }
            losses
        }
    }

    /// The boldest rule that a method takes, if it takes any.
    fn chosen(method: &str, bound: Bound, losses: &[Vec<f64>]) -> Option<usize> {
        let p_values = || -> Vec<f64> {
            losses.iter().map(|losses| bound.p_value(losses, EPSILON, DELTA).unwrap()).collect()
        };
        match method {
            "fixed sequence" => fixed_sequence(&p_values(), DELTA).checked_sub(1),
            "bonferroni" => bonferroni(&p_values(), DELTA).last().copied(),
            "conformal" => conformal(losses, EPSILON).unwrap(),
            _ => losses.iter().rposition(|losses| losses.iter().sum::<f64>() <= EPSILON * N_UNITS as f64),
        }
    }

    /// Share of calibrations after which the risk is above epsilon, and the mean risk.
    fn simulated(world: World, method: &str, bound: Bound, n_calibrations: u64) -> (f64, f64) {
        let (mut broken, mut sum) = (0, 0.0);
        for seed in 0..n_calibrations {
            let losses = world.losses(&mut Stream::new(seed, Purpose::Permutation, 70));
            let risk = chosen(method, bound, &losses).map_or(0.0, |rule| world.risk(rule));
            broken += usize::from(risk > EPSILON + 1e-12);
            sum += risk;
        }
        (broken as f64 / n_calibrations as f64, sum / n_calibrations as f64)
    }

    #[test]
    fn the_guarantee_holds_over_2000_calibrations_where_the_naive_choice_breaks_it() {
        let n = 2_000;
        // delta and two standard errors of a share of 2,000.
        let most = DELTA + 2.0 * (DELTA * (1.0 - DELTA) / n as f64).sqrt();
        for world in [World::Monotone, World::Independent, World::Shares] {
            let (naive, _) = simulated(world, "naive", Bound::Betting, n);
            println!("{world:?}: naive threshold breaks epsilon in {:.1} %", 100.0 * naive);
            assert!(naive > 0.3, "{world:?}: {naive}");
            for method in ["fixed sequence", "bonferroni"] {
                for bound in [Bound::Binomial, Bound::HoeffdingBentkus, Bound::Betting] {
                    if matches!((world, bound), (World::Shares, Bound::Binomial)) {
                        continue;
                    }
                    let (broken, mean) = simulated(world, method, bound, n);
                    println!("{world:?}: {method}, {bound:?}: {:.1} %, mean risk {mean:.4}", 100.0 * broken);
                    assert!(broken <= most, "{world:?} {method} {bound:?}: {broken}");
                }
            }
            let (_, mean) = simulated(world, "conformal", Bound::Betting, n);
            println!("{world:?}: conformal: mean risk {mean:.4}");
            // The risk of one choice spreads by less than 0.03, so the mean of 2,000 has a standard error below 0.001.
            assert!(mean <= EPSILON + 0.002, "{world:?}: {mean}");
        }
    }
}
