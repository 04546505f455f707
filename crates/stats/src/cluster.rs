//! Clusters: which rows belong together, and the sums that resampling needs.
//!
//! Rows of one cluster may depend on each other in any way; clusters are independent. Every method of this crate that
//! resamples or estimates a variance takes the clusters explicitly; [`Clusters::singletons`] says that rows are
//! independent.
//!
//! [`ClusterSums`] holds, for each cluster and each column, a numerator sum_i w_i x_i and a denominator sum_i w_i. A
//! column's statistic is the ratio of the totals, sum_c num_c / sum_c den_c: the mean over all rows, or over all clusters
//! after [`ClusterSums::with_equal_clusters`]. A cluster without rows in a column has denominator 0 there and takes no
//! part in it. With the sums at hand, one bootstrap replicate costs clusters * columns, however many rows there are.

use std::collections::BTreeMap;

use crate::undefined::{Undefined, check_finite, check_paired};

/// The cluster of each row, numbered 0..count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    ids: Vec<usize>,
    count: usize,
}

impl Clusters {
    /// Numbers the keys of the rows in the order in which they first appear.
    #[must_use]
    pub fn of<K: Ord>(keys: &[K]) -> Self {
        let mut numbers = BTreeMap::new();
        let ids = keys
            .iter()
            .map(|key| {
                let next = numbers.len();
                *numbers.entry(key).or_insert(next)
            })
            .collect();
        Self { ids, count: numbers.len() }
    }

    /// Takes numbers as they are, all below `count`; two samples numbered alike can be resampled together.
    pub fn new(ids: Vec<usize>, count: usize) -> Result<Self, Undefined> {
        match ids.iter().position(|&id| id >= count) {
            Some(index) => Err(Undefined::OutOfRange { index }),
            None => Ok(Self { ids, count }),
        }
    }

    /// One cluster for each of `n_rows` independent rows.
    #[must_use]
    pub fn singletons(n_rows: usize) -> Self {
        Self { ids: (0..n_rows).collect(), count: n_rows }
    }

    /// The cluster number of each row.
    #[must_use]
    pub fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Number of clusters, those without rows included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.ids.len()
    }
}

/// Numerators and denominators per cluster and column.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSums {
    n_clusters: usize,
    n_columns: usize,
    /// `[columns, clusters]`
    numerators: Vec<f64>,
    /// `[columns, clusters]`
    denominators: Vec<f64>,
}

/// Clusters whose multiplicities are turned into numbers at once, for all columns.
const TOGETHER: usize = 256;

impl ClusterSums {
    /// Empty sums, to be filled with [`ClusterSums::add`].
    #[must_use]
    pub fn new(n_clusters: usize, n_columns: usize) -> Self {
        let zeros = || vec![0.0; n_clusters * n_columns];
        Self { n_clusters, n_columns, numerators: zeros(), denominators: zeros() }
    }

    /// One column: the mean of the rows' values.
    pub fn from_rows(values: &[f64], clusters: &Clusters) -> Result<Self, Undefined> {
        check_paired(values.len(), clusters.n_rows())?;
        check_finite(values)?;
        let mut sums = Self::new(clusters.count(), 1);
        for (&value, &cluster) in values.iter().zip(clusters.ids()) {
            sums.add(cluster, 0, value, 1.0);
        }
        Ok(sums)
    }

    /// Adds a finite value with a weight >= 0.
    ///
    /// # Panics
    /// If `cluster` or `column` is out of range.
    pub fn add(&mut self, cluster: usize, column: usize, value: f64, weight: f64) {
        assert!(cluster < self.n_clusters, "cluster {cluster} of {}", self.n_clusters);
        let place = column * self.n_clusters + cluster;
        self.numerators[place] += weight * value;
        self.denominators[place] += weight;
    }

    /// Gives every cluster weight one in each column where it has any: the statistic becomes the mean of cluster means.
    #[must_use]
    pub fn with_equal_clusters(mut self) -> Self {
        for (numerator, denominator) in self.numerators.iter_mut().zip(&mut self.denominators) {
            if *denominator > 0.0 {
                *numerator /= *denominator;
                *denominator = 1.0;
            }
        }
        self
    }

    /// Number of clusters, those without weight included.
    #[must_use]
    pub fn n_clusters(&self) -> usize {
        self.n_clusters
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Number of clusters that have weight in a column.
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn n_contributing(&self, column: usize) -> usize {
        self.denominators_of(column).iter().filter(|denominator| **denominator > 0.0).count()
    }

    /// The ratio of each cluster that has weight in a column, in cluster order.
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn cluster_values(&self, column: usize) -> Vec<f64> {
        let sums = self.numerators_of(column).iter().zip(self.denominators_of(column));
        sums.filter(|sum| *sum.1 > 0.0).map(|(numerator, denominator)| numerator / denominator).collect()
    }

    /// The statistic of every column, each cluster counted once; `None` where no cluster has weight.
    #[must_use]
    pub fn ratios(&self) -> Vec<Option<f64>> {
        self.resampled_ratios(&vec![1; self.n_clusters])
    }

    /// The statistic of every column when cluster c is counted `multiplicities[c]` times.
    ///
    /// # Panics
    /// If there are not `n_clusters` multiplicities.
    #[must_use]
    pub fn resampled_ratios(&self, multiplicities: &[u32]) -> Vec<Option<f64>> {
        assert!(multiplicities.len() == self.n_clusters, "one multiplicity for each cluster");
        let total = |sums: &[f64]| {
            sums.iter().zip(multiplicities).fold(0.0, |total, (sum, &times)| total + f64::from(times) * sum)
        };
        let columns = 0..self.n_columns;
        columns
            .map(|column| ratio(total(self.numerators_of(column)), total(self.denominators_of(column))))
            .collect()
    }

    /// The same for several resamples, whose multiplicities stand side by side for each cluster, with the first column that has the same
    /// denominators for each column.
    pub(crate) fn resampled_ratios_of<const N: usize>(
        &self,
        multiplicities: &[[u8; N]],
        same_denominators: &[usize],
    ) -> [Vec<Option<f64>>; N] {
        let (mut numerators, mut denominators) =
            (vec![[0.0; N]; self.n_columns], vec![[0.0; N]; self.n_columns]);
        for (part, multiplicities) in multiplicities.chunks(TOGETHER).enumerate() {
            let times: Vec<[f64; N]> = multiplicities.iter().map(|times| times.map(f64::from)).collect();
            let clusters = part * TOGETHER..part * TOGETHER + times.len();
            for column in 0..self.n_columns {
                add_times(&mut numerators[column], &self.numerators_of(column)[clusters.clone()], &times);
                if same_denominators[column] == column {
                    add_times(
                        &mut denominators[column],
                        &self.denominators_of(column)[clusters.clone()],
                        &times,
                    );
                }
            }
        }
        let totals = || numerators.iter().zip(same_denominators);
        std::array::from_fn(|resample| {
            totals().map(|(total, &same)| ratio(total[resample], denominators[same][resample])).collect()
        })
    }

    /// For each column the first one that has the same denominators, as most have where no row lacks a value.
    pub(crate) fn same_denominators(&self) -> Vec<usize> {
        let mut first: Vec<usize> = Vec::with_capacity(self.n_columns);
        for column in 0..self.n_columns {
            let denominators = self.denominators_of(column);
            let is_same =
                |other: &usize| first[*other] == *other && self.denominators_of(*other) == denominators;
            first.push((0..column).find(is_same).unwrap_or(column));
        }
        first
    }

    fn numerators_of(&self, column: usize) -> &[f64] {
        &self.numerators[column * self.n_clusters..(column + 1) * self.n_clusters]
    }

    fn denominators_of(&self, column: usize) -> &[f64] {
        &self.denominators[column * self.n_clusters..(column + 1) * self.n_clusters]
    }
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

/// Adds to each total the sums of some clusters, so many times.
fn add_times<const N: usize>(totals: &mut [f64; N], sums: &[f64], times: &[[f64; N]]) {
    let mut added = *totals;
    for (sum, times) in sums.iter().zip(times) {
        for (total, times) in added.iter_mut().zip(times) {
            *total += times * sum;
        }
    }
    *totals = added;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_by_first_appearance() {
        let clusters = Clusters::of(&["b", "a", "b", "c"]);
        assert_eq!(clusters.ids(), [0, 1, 0, 2]);
        assert_eq!(clusters.count(), 3);
        assert_eq!(Clusters::new(vec![0, 2], 2), Err(Undefined::OutOfRange { index: 1 }));
    }

    #[test]
    fn rows_or_clusters_are_weighed_equally() {
        let clusters = Clusters::of(&[0, 0, 0, 1]);
        let sums = ClusterSums::from_rows(&[1.0, 1.0, 1.0, 0.0], &clusters).unwrap();
        assert_eq!(sums.ratios(), [Some(0.75)]);
        assert_eq!(sums.resampled_ratios(&[0, 2]), [Some(0.0)]);
        assert_eq!(sums.cluster_values(0), [1.0, 0.0]);
        assert_eq!(sums.with_equal_clusters().ratios(), [Some(0.5)]);
    }

    #[test]
    fn a_column_without_weight_has_no_ratio() {
        let mut sums = ClusterSums::new(2, 2);
        sums.add(0, 0, 3.0, 2.0);
        assert_eq!(sums.ratios(), [Some(3.0), None]);
        assert_eq!(sums.resampled_ratios(&[0, 1]), [None, None]);
        assert_eq!((sums.n_contributing(0), sums.n_contributing(1)), (1, 0));
    }
}
