//! Monte-Carlo permutation tests, p = (b + 1)/(m + 1).
//!
//! b of m random rearrangements give a statistic at least as extreme as the observed one; the observed arrangement
//! counts as one more, so p is in (0, 1] and the test is exact at any m. Two-sided p is twice the smaller one-sided p, at
//! most 1. Statistics that differ by rounding only (1e-12 of the largest) count as equal.
//!
//! The units that are rearranged must be independent: give one value for each cluster, not one for each row.
//! Source: Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9; Ernst 2004, Stat. Sci. 19.

use rayon::prelude::*;

use crate::stream::{Purpose, Stream};
use crate::summary::mean;
use crate::undefined::{Undefined, check_count, check_finite};

/// Which outcomes count against the null hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Far from the centre on either side.
    TwoSided,
    /// Large values.
    Greater,
    /// Small values.
    Less,
}

/// How many rearrangements to draw, and the start of their random streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutations {
    /// Number of random rearrangements m, at least one.
    pub count: usize,
    /// Start of all random streams.
    pub seed: u64,
}

impl Default for Permutations {
    fn default() -> Self {
        Self { count: 9_999, seed: 0 }
    }
}

/// Outcome of a permutation test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PermutationTest {
    /// The statistic as observed.
    pub statistic: f64,
    /// (b + 1)/(m + 1), in (0, 1].
    pub p_value: f64,
    /// Number of random rearrangements m.
    pub permutations: usize,
}

/// Tests whether differences are symmetric around zero; the statistic is their mean, one difference for each cluster.
pub fn sign_flip(
    differences: &[f64],
    alternative: Alternative,
    permutations: &Permutations,
) -> Result<PermutationTest, Undefined> {
    let observed = mean(differences)?;
    rearrange(observed, alternative, permutations, Purpose::SignFlip, |stream| {
        flipped_mean(differences, stream)
    })
}

/// Tests any statistic of `n` exchangeable units; it gets the units' positions in random order (0..n as observed).
///
/// A statistic that is NaN or infinite, as observed or on a rearrangement, gives [`Undefined::NotFinite`].
pub fn shuffled<F>(
    n: usize,
    alternative: Alternative,
    permutations: &Permutations,
    statistic: F,
) -> Result<PermutationTest, Undefined>
where
    F: Fn(&[usize]) -> f64 + Sync,
{
    check_count(n, 2)?;
    let identity: Vec<usize> = (0..n).collect();
    let observed = statistic(&identity);
    rearrange(observed, alternative, permutations, Purpose::Permutation, |stream| {
        let mut order = identity.clone();
        stream.shuffle(&mut order);
        statistic(&order)
    })
}

/// The mean after every difference has kept or lost its sign at random.
fn flipped_mean(differences: &[f64], stream: &mut Stream) -> f64 {
    let mut sum = 0.0;
    for block in differences.chunks(64) {
        let mut bits = stream.bits();
        for difference in block {
            sum += if bits & 1 == 0 { *difference } else { -difference };
            bits >>= 1;
        }
    }
    sum / differences.len() as f64
}

/// Draws rearranged statistics, each from its own stream, and compares them with the observed one.
fn rearrange<F>(
    observed: f64,
    alternative: Alternative,
    permutations: &Permutations,
    purpose: Purpose,
    draw: F,
) -> Result<PermutationTest, Undefined>
where
    F: Fn(&mut Stream) -> f64 + Sync,
{
    check_count(permutations.count, 1)?;
    let draws: Vec<f64> = (0..permutations.count as u64)
        .into_par_iter()
        .map(|index| draw(&mut Stream::new(permutations.seed, purpose, index)))
        .collect();
    check_finite(&[observed])?;
    check_finite(&draws)?;
    let tolerance = 1e-12 * draws.iter().fold(observed.abs(), |scale, draw| scale.max(draw.abs()));
    let share = |extreme: usize| (extreme + 1) as f64 / (draws.len() + 1) as f64;
    let greater = share(draws.iter().filter(|&&draw| draw >= observed - tolerance).count());
    let less = share(draws.iter().filter(|&&draw| draw <= observed + tolerance).count());
    let p_value = match alternative {
        Alternative::Greater => greater,
        Alternative::Less => less,
        Alternative::TwoSided => (2.0 * greater.min(less)).min(1.0),
    };
    Ok(PermutationTest { statistic: observed, p_value, permutations: draws.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANY: Permutations = Permutations { count: 40_000, seed: 4 };

    #[test]
    fn sign_flips_approach_the_exact_test() {
        // All 2^6 sign patterns of 1..6: a mean at least as large as observed with one minus at "1" happens for 2.
        let differences = [-1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let test = sign_flip(&differences, Alternative::Greater, &MANY).unwrap();
        // The standard error of the share 2/64 is 0.0009; six of them are a false alarm below 1e-8.
        assert!((test.p_value - 2.0 / 64.0).abs() < 0.006, "{}", test.p_value);
    }

    #[test]
    fn no_difference_is_no_evidence() {
        let test = sign_flip(&[0.0; 5], Alternative::TwoSided, &Permutations::default()).unwrap();
        assert!((test.p_value - 1.0).abs() < 1e-15);
        assert_eq!(sign_flip(&[], Alternative::Less, &MANY), Err(Undefined::Empty));
    }

    #[test]
    fn rounding_does_not_break_ties() {
        // Every arrangement has the same statistic up to rounding.
        let order =
            shuffled(3, Alternative::Greater, &MANY, |order| order.iter().map(|&i| 0.1 * i as f64).sum());
        assert!((order.unwrap().p_value - 1.0).abs() < 1e-15);
    }

    #[test]
    fn any_statistic_of_an_order() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let test = shuffled(4, Alternative::Greater, &MANY, |order| {
            order.iter().zip(x).map(|(&position, x)| position as f64 * x).sum()
        });
        assert!((test.unwrap().p_value - 1.0 / 24.0).abs() < 0.007);
        let undefined = shuffled(2, Alternative::Greater, &MANY, |_| f64::NAN);
        assert_eq!(undefined, Err(Undefined::NotFinite { index: 0 }));
    }

    proptest! {
        #[test]
        fn p_values_are_probabilities(differences in prop::collection::vec(-3.0_f64..3.0, 1..20), seed in any::<u64>()) {
            let permutations = Permutations { count: 50, seed };
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                let p = sign_flip(&differences, alternative, &permutations).unwrap().p_value;
                prop_assert!(p > 0.0 && p <= 1.0);
            }
        }
    }
}
