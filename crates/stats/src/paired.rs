//! Paired differences between two conditions on the same clusters.
//!
//! Rows are measured under both conditions. The rows of a cluster are averaged first, so that clusters have equal weight;
//! the statistic is the mean over clusters of second - first. Its interval and one p-value come from the cluster
//! bootstrap, the other p-value from random sign flips of whole clusters.
//!
//! The bootstrap ([`bootstrap::against_zero`]) tests a mean of zero; the sign flips test symmetry around zero.
//!
//! Values must be present under both conditions: what to do with a cluster measured under one only is the caller's
//! decision. Several tests at once: [`crate::multiplicity`]. Differences of areas: [`crate::auroc::bootstrap_difference`].

use crate::bootstrap::{self, Resampling};
use crate::cluster::{ClusterSums, Clusters};
use crate::interval::Estimate;
use crate::permutation::{Alternative, PermutationTest, Permutations, sign_flip};
use crate::undefined::{Undefined, check_finite, check_paired};

/// A mean difference with its evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Mean over clusters of second - first.
    pub difference: Estimate,
    /// Two-sided test by sign flips of clusters.
    pub sign_flip: PermutationTest,
    /// Two-sided bootstrap p-value, in (0, 1].
    pub bootstrap_p: f64,
}

/// Compares two conditions; `first[i]` and `second[i]` are one row of cluster `clusters.ids()[i]`.
///
/// Sign flips use as many rearrangements as there are bootstrap replicates, and the same seed.
pub fn difference(
    first: &[f64],
    second: &[f64],
    clusters: &Clusters,
    resampling: &Resampling,
) -> Result<PairedDifference, Undefined> {
    check_paired(first.len(), second.len())?;
    check_finite(first)?;
    check_finite(second)?;
    let rows: Vec<f64> = first.iter().zip(second).map(|(a, b)| b - a).collect();
    let per_cluster = ClusterSums::from_rows(&rows, clusters)?.cluster_values(0);
    let test = bootstrap::mean_against_zero(&per_cluster, resampling)?;
    let permutations = Permutations { count: resampling.replicates, seed: resampling.seed };
    let sign_flip = sign_flip(&per_cluster, Alternative::TwoSided, &permutations)?;
    Ok(PairedDifference { difference: test.estimate, sign_flip, bootstrap_p: test.p_value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Purpose, Stream};

    fn conditions(shift: f64, seed: u64) -> (Vec<f64>, Vec<f64>, Clusters) {
        let mut stream = Stream::new(seed, Purpose::Permutation, 40);
        let (mut first, mut second, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for cluster in 0..50 {
            let ease = 5.0 * stream.normal();
            for _ in 0..=stream.below(3) {
                first.push(ease + stream.normal());
                second.push(ease + stream.normal() + shift);
                ids.push(cluster);
            }
        }
        (first, second, Clusters::new(ids, 50).unwrap())
    }

    #[test]
    fn pairing_removes_what_the_conditions_share() {
        let (first, second, clusters) = conditions(1.0, 1);
        let paired = difference(&first, &second, &clusters, &Resampling::default()).unwrap();
        assert!(paired.difference.interval.contains(1.0) && paired.difference.standard_error < 0.4);
        assert!(paired.sign_flip.p_value < 0.01 && paired.bootstrap_p < 0.01);
        assert_eq!(paired.difference.n_clusters, 50);
    }

    #[test]
    fn p_values_are_uniform_without_a_difference() {
        // 400 simulations: P(p <= 0.1) should be 0.1 with standard error 0.015; beyond 0.04 to 0.16 a false alarm has
        // probability 1e-4 for each of the two.
        let resampling = |seed| Resampling { replicates: 400, seed, ..Resampling::default() };
        let (mut flips, mut boots) = (0, 0);
        for seed in 0..400 {
            let (first, second, clusters) = conditions(0.0, seed);
            let paired = difference(&first, &second, &clusters, &resampling(seed)).unwrap();
            flips += usize::from(paired.sign_flip.p_value <= 0.1);
            boots += usize::from(paired.bootstrap_p <= 0.1);
        }
        assert!((16..=64).contains(&flips) && (16..=64).contains(&boots), "{flips} {boots}");
    }

    #[test]
    fn a_single_cluster_is_too_few() {
        let clusters = Clusters::of(&["a", "a"]);
        let lone = difference(&[1.0, 2.0], &[2.0, 3.0], &clusters, &Resampling::default());
        assert_eq!(lone, Err(Undefined::TooFew { needed: 2, found: 1 }));
        let ragged = difference(&[1.0], &[2.0, 3.0], &clusters, &Resampling::default());
        assert_eq!(ragged, Err(Undefined::LengthMismatch { left: 1, right: 2 }));
    }
}
