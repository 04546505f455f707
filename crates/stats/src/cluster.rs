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
    /// `[cluster, column]`, row-major; a pair is (numerator, denominator).
    sums: Vec<(f64, f64)>,
}

impl ClusterSums {
    /// Empty sums, to be filled with [`ClusterSums::add`].
    #[must_use]
    pub fn new(n_clusters: usize, n_columns: usize) -> Self {
        Self { n_clusters, n_columns, sums: vec![(0.0, 0.0); n_clusters * n_columns] }
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
        assert!(column < self.n_columns, "column {column} of {}", self.n_columns);
        let (numerator, denominator) = &mut self.sums[cluster * self.n_columns + column];
        *numerator += weight * value;
        *denominator += weight;
    }

    /// Gives every cluster weight one in each column where it has any: the statistic becomes the mean of cluster means.
    #[must_use]
    pub fn with_equal_clusters(mut self) -> Self {
        for (numerator, denominator) in &mut self.sums {
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
    #[must_use]
    pub fn n_contributing(&self, column: usize) -> usize {
        (0..self.n_clusters).filter(|cluster| self.sums[cluster * self.n_columns + column].1 > 0.0).count()
    }

    /// The ratio of each cluster that has weight in a column, in cluster order.
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn cluster_values(&self, column: usize) -> Vec<f64> {
        assert!(column < self.n_columns, "column {column} of {}", self.n_columns);
        let sums = self.sums.iter().skip(column).step_by(self.n_columns);
        sums.filter(|sum| sum.1 > 0.0).map(|(numerator, denominator)| numerator / denominator).collect()
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
        self.resampled_ratios_of(&[multiplicities]).swap_remove(0)
    }

    /// The same for several resamples in one pass over the sums.
    pub(crate) fn resampled_ratios_of<M: AsRef<[u32]>>(&self, resamples: &[M]) -> Vec<Vec<Option<f64>>> {
        let fits = resamples.iter().all(|resample| resample.as_ref().len() == self.n_clusters);
        assert!(fits, "one multiplicity for each cluster");
        let mut totals = vec![vec![(0.0, 0.0); self.n_columns]; resamples.len()];
        if self.n_columns > 0 {
            for (cluster, row) in self.sums.chunks_exact(self.n_columns).enumerate() {
                for (totals, resample) in totals.iter_mut().zip(resamples) {
                    let times = resample.as_ref()[cluster];
                    if times > 0 {
                        add_times(totals, row, f64::from(times));
                    }
                }
            }
        }
        let ratio =
            |&(numerator, denominator): &(f64, f64)| (denominator > 0.0).then(|| numerator / denominator);
        totals.iter().map(|totals| totals.iter().map(ratio).collect()).collect()
    }
}

/// Adds a row of sums to the totals, `times` times.
fn add_times(totals: &mut [(f64, f64)], row: &[(f64, f64)], times: f64) {
    for (total, sum) in totals.iter_mut().zip(row) {
        total.0 += times * sum.0;
        total.1 += times * sum.1;
    }
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
