//! The cluster bootstrap: intervals for statistics of clustered rows.
//!
//! A replicate draws n of the n clusters with replacement, all rows of a drawn cluster together, and recomputes the
//! statistic. Replicates are given as multiplicities (how often each cluster was drawn); replicate r uses the random
//! stream (seed, r), so results do not depend on the number of threads.
//!
//! * Interval: the *expanded* percentile interval, quantiles of the replicates at a and 1 - a with
//!   a = Phi(-sqrt(n/(n-1)) t), t = t_{(1+level)/2, n-1}. The plain percentile interval is too narrow by about
//!   sqrt((n-1)/n) z/t. In simulations (normal, exponential and binary clusters; beta-binomial ones with sizes at random
//!   or related to the values), nominal 95 % covers 94 to 97 % from 40 clusters on, and 92 to 96 % with 20. The
//!   bootstrap-t interval covers about 1 % more for exponential values, but is infinite where replicates have no spread,
//!   as with rare events. No interval of this kind serves a binary mean near 0 or 1 with few clusters (92 % at a rate of
//!   0.9 and 40 clusters, 88 % with 20): there see [`crate::interval::wilson`].
//! * Below [`FEWEST_FOR_QUANTILES`] clusters replicates take so few values that these quantiles are hardly more than the smallest
//!   and the largest of them. There the interval is value ± t se, for a mean Student's interval of the clusters.
//! * Standard error: sqrt(n/(n-1)) times the standard deviation of the replicates.
//! * p-value of zero ([`against_zero`]): (b + 1)/(m + 1), where b of m replicates lie at least as far from the value
//!   (deviations times sqrt(n/(n-1))) as zero does; at least that of Student's t, and at least 2^(1-n), which is what n clusters
//!   can show that all change in one direction. Fewer than ten clusters are too few to rely on it all the same.
//! * Simultaneous band over the points of a curve: value ± c se, with c the quantile at the level of
//!   max_j |x*_j - x_j| / sd_j over replicates, times t/z.
//!
//! n is the number of clusters with weight in the statistic; fewer than two give [`Undefined::TooFew`]. Replicates
//! without a value are left out while they are at most one in twenty. A statistic that is the same in all replicates
//! has a zero standard error and an interval of zero width: the sample shows no spread.
//!
//! Source: Efron and Tibshirani 1993, ch. 8 and 13; Hesterberg 2015, Am. Stat. 69 (expansion); Montiel Olea and
//! Plagborg-Moller 2019, J. Appl. Econom. 34 (sup-t band).

mod draws;

use rayon::prelude::*;

pub use draws::{Kept, keep};

use crate::cluster::{ClusterSums, Clusters};
use crate::distribution::{normal_cdf, t_sf};
use crate::interval::{Estimate, Interval, Level};
use crate::summary::sorted_quantile;
use crate::undefined::{Undefined, check_count, check_finite};
use draws::{Draws, TOGETHER, draw};

/// Fewest clusters for intervals from the quantiles of replicates.
pub const FEWEST_FOR_QUANTILES: usize = 8;

/// Replicates that differ by less than this, relative to the value, differ by rounding only.
const ROUNDING: f64 = 1e-12;

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Number of replicates, at least two.
    pub replicates: usize,
    /// Start of all random streams.
    pub seed: u64,
    /// Level of the intervals.
    pub level: Level,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { replicates: 2_000, seed: 0, level: Level::P95 }
    }
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Value, standard error and the interval of this point alone.
    pub estimate: Estimate,
    /// Covers the whole curve at the level, all points at once.
    pub simultaneous: Interval,
}

/// A statistic whose null value is zero, with its evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZeroTest {
    /// The statistic with its interval.
    pub estimate: Estimate,
    /// Two-sided bootstrap p-value of zero, in (0, 1].
    pub p_value: f64,
}

/// The outcome of every replicate, in replicate order; `outcome` gets the multiplicity of each cluster.
pub fn replicates<T, F>(n_clusters: usize, resampling: &Resampling, outcome: F) -> Vec<T>
where
    T: Send,
    F: Fn(&[u32]) -> T + Sync,
{
    (0..resampling.replicates)
        .into_par_iter()
        .map_init(
            || vec![0; n_clusters],
            |multiplicities, replicate| {
                multiplicities.fill(0);
                draw(n_clusters, resampling.seed, replicate, |cluster| multiplicities[cluster] += 1);
                outcome(multiplicities)
            },
        )
        .collect()
}

/// The mean over rows, each row with weight one.
pub fn mean(values: &[f64], clusters: &Clusters, resampling: &Resampling) -> Result<Estimate, Undefined> {
    let sums = ClusterSums::from_rows(values, clusters)?;
    let n_clusters = sums.n_contributing(0);
    estimate(sums.n_clusters(), n_clusters, resampling, |multiplicities| {
        sums.resampled_ratios(multiplicities)[0]
    })
}

/// Any statistic that can be computed from how often each cluster is counted; all ones is the sample itself.
///
/// `None` from the statistic means undefined on that resample, for example a single class.
pub fn statistic<F>(n_clusters: usize, resampling: &Resampling, statistic: F) -> Result<Estimate, Undefined>
where
    F: Fn(&[u32]) -> Option<f64> + Sync,
{
    estimate(n_clusters, n_clusters, resampling, statistic)
}

/// As [`statistic`], with the two-sided p-value of zero: for differences.
pub fn against_zero<F>(
    n_clusters: usize,
    resampling: &Resampling,
    statistic: F,
) -> Result<ZeroTest, Undefined>
where
    F: Fn(&[u32]) -> Option<f64> + Sync,
{
    check_count(n_clusters, 2)?;
    let value = statistic(&vec![1; n_clusters]).ok_or(Undefined::Empty)?;
    let draws = replicates(n_clusters, resampling, statistic);
    let reach = value.abs() * (1.0 - ROUNDING);
    let as_far = |draw: &&f64| inflation(n_clusters) * (*draw - value).abs() >= reach;
    let extreme = draws.iter().flatten().filter(as_far).count();
    let defined = draws.iter().flatten().count();
    let estimate = summarise(value, draws, n_clusters, resampling)?;
    let p_value = (extreme + 1) as f64 / (defined + 1) as f64;
    Ok(ZeroTest { estimate, p_value: p_value.max(smallest_p(&estimate)) })
}

/// What a test of zero may give at least: the p-value of Student's t, and the share of sign patterns of all clusters that are as
/// one-sided as can be.
fn smallest_p(estimate: &Estimate) -> f64 {
    let n = estimate.n_clusters as f64;
    let one_sided = 2_f64.powf(1.0 - n);
    if estimate.standard_error > 0.0 {
        let t = (estimate.value / estimate.standard_error).abs();
        one_sided.max((2.0 * t_sf(t, n - 1.0)).min(1.0))
    } else {
        one_sided
    }
}

/// [`against_zero`] for the mean of one value for each cluster.
pub fn mean_against_zero(values: &[f64], resampling: &Resampling) -> Result<ZeroTest, Undefined> {
    check_finite(values)?;
    let n = values.len() as f64;
    against_zero(values.len(), resampling, |multiplicities| {
        let sum: f64 =
            values.iter().zip(multiplicities).map(|(value, &times)| f64::from(times) * value).sum();
        Some(sum / n)
    })
}

/// The statistic of every column of sums in every replicate.
#[derive(Debug)]
pub struct Resampled<'a> {
    sums: &'a ClusterSums,
    resampling: &'a Resampling,
    /// In replicate order.
    ratios: Vec<Vec<Option<f64>>>,
}

impl<'a> Resampled<'a> {
    /// Resamples the clusters.
    #[must_use]
    pub fn new(sums: &'a ClusterSums, resampling: &'a Resampling) -> Self {
        let draws = Draws::of(sums.n_clusters(), resampling);
        let same_denominators = sums.same_denominators();
        let of_block =
            |block| draws.with_block(block, |times| sums.resampled_ratios_of(times, &same_denominators));
        let mut ratios: Vec<Vec<Option<f64>>> =
            (0..resampling.replicates.div_ceil(TOGETHER)).into_par_iter().flat_map_iter(of_block).collect();
        ratios.truncate(resampling.replicates);
        Self { sums, resampling, ratios }
    }

    /// The statistic of every column as one curve, with pointwise and simultaneous intervals.
    #[must_use]
    pub fn curve(&self) -> Vec<Result<CurvePoint, Undefined>> {
        let counts: Vec<usize> =
            (0..self.sums.n_columns()).map(|column| self.sums.n_contributing(column)).collect();
        band(&self.sums.ratios(), &counts, &self.ratios, self.resampling)
    }

    /// The curve of differences first - second of two columns, one point for each pair of columns.
    ///
    /// # Panics
    /// If a pair names a column that does not exist.
    #[must_use]
    pub fn contrasts(&self, pairs: &[(usize, usize)]) -> Vec<Result<CurvePoint, Undefined>> {
        let differences = |ratios: &Vec<Option<f64>>| -> Vec<Option<f64>> {
            pairs.iter().map(|&(first, second)| Some(ratios[first]? - ratios[second]?)).collect()
        };
        let contributing = |column: usize| self.sums.n_contributing(column);
        let counts: Vec<usize> =
            pairs.iter().map(|&(first, second)| contributing(first).min(contributing(second))).collect();
        let draws: Vec<Vec<Option<f64>>> = self.ratios.iter().map(differences).collect();
        band(&differences(&self.sums.ratios()), &counts, &draws, self.resampling)
    }
}

/// The statistic of every column of the sums as one curve; see [`Resampled::curve`].
#[must_use]
pub fn curve(sums: &ClusterSums, resampling: &Resampling) -> Vec<Result<CurvePoint, Undefined>> {
    Resampled::new(sums, resampling).curve()
}

fn estimate<F>(
    n_clusters: usize,
    n_contributing: usize,
    resampling: &Resampling,
    statistic: F,
) -> Result<Estimate, Undefined>
where
    F: Fn(&[u32]) -> Option<f64> + Sync,
{
    check_count(n_contributing, 2)?;
    let value = statistic(&vec![1; n_clusters]).ok_or(Undefined::Empty)?;
    summarise(value, replicates(n_clusters, resampling, statistic), n_contributing, resampling)
}

/// Pointwise estimates and the simultaneous band of several statistics that share their replicates.
fn band(
    values: &[Option<f64>],
    counts: &[usize],
    draws: &[Vec<Option<f64>>],
    resampling: &Resampling,
) -> Vec<Result<CurvePoint, Undefined>> {
    let estimates: Vec<Result<Estimate, Undefined>> = values
        .iter()
        .zip(counts)
        .enumerate()
        .map(|(point, (value, &count))| {
            check_count(count, 2)?;
            let column = draws.iter().map(|draw| draw[point]).collect();
            summarise(value.ok_or(Undefined::Empty)?, column, count, resampling)
        })
        .collect();
    let reach = simultaneous_reach(&estimates, draws, resampling.level);
    let point = |estimate: Estimate| CurvePoint {
        estimate,
        simultaneous: Interval::around(estimate.value, reach * estimate.standard_error, resampling.level),
    };
    estimates.into_iter().map(|estimate| estimate.map(point)).collect()
}

/// The half-width of the simultaneous band in standard errors.
fn simultaneous_reach(
    estimates: &[Result<Estimate, Undefined>],
    draws: &[Vec<Option<f64>>],
    level: Level,
) -> f64 {
    let defined: Vec<(usize, &Estimate)> = estimates
        .iter()
        .enumerate()
        .filter_map(|(point, estimate)| Some((point, estimate.as_ref().ok()?)))
        .filter(|(_, estimate)| estimate.standard_error > 0.0)
        .collect();
    let Some(fewest) = defined.iter().map(|(_, estimate)| estimate.n_clusters).min() else {
        return 0.0;
    };
    let deviation = |draw: &Vec<Option<f64>>| {
        let standardised = |&(point, estimate): &(usize, &Estimate)| {
            Some(
                (draw[point]? - estimate.value).abs() / estimate.standard_error
                    * inflation(estimate.n_clusters),
            )
        };
        defined.iter().filter_map(standardised).fold(0.0, f64::max)
    };
    let mut largest: Vec<f64> = draws.iter().map(deviation).collect();
    largest.sort_by(f64::total_cmp);
    sorted_quantile(&largest, level.get()) * level.t_point(fewest - 1) / level.normal_point()
}

/// sqrt(n/(n-1)): by how much a bootstrap over n clusters understates the spread.
fn inflation(n: usize) -> f64 {
    (n as f64 / (n - 1) as f64).sqrt()
}

/// Standard error and expanded percentile interval from the replicates of one statistic of `n` >= 2 clusters.
fn summarise(
    value: f64,
    draws: Vec<Option<f64>>,
    n: usize,
    resampling: &Resampling,
) -> Result<Estimate, Undefined> {
    let replicates = draws.len();
    let mut sorted: Vec<f64> = draws.into_iter().flatten().collect();
    let undefined = replicates - sorted.len();
    if undefined * 20 > replicates {
        return Err(Undefined::UnstableResamples { undefined, replicates });
    }
    check_count(sorted.len(), 2)?;
    sorted.sort_by(f64::total_cmp);
    if sorted[sorted.len() - 1] - sorted[0] <= ROUNDING * value.abs() {
        let interval = Interval::around(value, 0.0, resampling.level);
        return Ok(Estimate { value, standard_error: 0.0, interval, n_clusters: n });
    }
    let spread = crate::summary::standard_deviation(&sorted)?;
    let (standard_error, t) = (inflation(n) * spread, resampling.level.t_point(n - 1));
    if n < FEWEST_FOR_QUANTILES {
        let interval = Interval::around(value, t * standard_error, resampling.level);
        return Ok(Estimate { value, standard_error, interval, n_clusters: n });
    }
    let tail = normal_cdf(-inflation(n) * t);
    let interval = Interval {
        low: sorted_quantile(&sorted, tail),
        high: sorted_quantile(&sorted, 1.0 - tail),
        level: resampling.level,
    };
    Ok(Estimate { value, standard_error, interval, n_clusters: n })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::stream::{Purpose, Stream};

    /// Clusters of 1 to 8 rows whose mean is normal around 1, with row noise; the mean is related to nothing.
    fn clustered_sample(n_clusters: usize, seed: u64) -> (Vec<f64>, Clusters) {
        let mut stream = Stream::new(seed, Purpose::Permutation, 99);
        let (mut values, mut ids) = (Vec::new(), Vec::new());
        for cluster in 0..n_clusters {
            let center = 1.0 + stream.normal();
            for _ in 0..=stream.below(8) {
                values.push(center + 0.5 * stream.normal());
                ids.push(cluster);
            }
        }
        let clusters = Clusters::new(ids, n_clusters).unwrap();
        (values, clusters)
    }

    #[test]
    fn nominal_95_percent_covers_93_to_97() {
        // 4,000 simulations for each n. Over 10,000 other simulations coverage was 93.9 % for 40 clusters and 94.2 % for
        // 100 (94.1 and 94.4 % with 2,000 replicates), so an outcome outside 93 to 97 % has probability 0.01 and 0.001.
        // The seeds are fixed: the outcome does not change from run to run.
        for n_clusters in [40, 100] {
            let simulations = 4_000;
            let covered = (0..simulations)
                .filter(|&seed| {
                    let (values, clusters) = clustered_sample(n_clusters, seed);
                    let resampling = Resampling { replicates: 600, seed, level: Level::P95 };
                    mean(&values, &clusters, &resampling).unwrap().interval.contains(1.0)
                })
                .count();
            let coverage = covered as f64 / simulations as f64;
            assert!((0.93..=0.97).contains(&coverage), "{n_clusters} clusters: {coverage}");
        }
    }

    #[test]
    fn few_clusters_are_covered_too() {
        // 2,000 simulations of normal values; Student's interval is exact but for the replicates' own noise, so outside 93.5 to
        // 96.5 % has probability 0.002.
        for n_clusters in [2, 3, 4, 7] {
            let simulations = 2_000;
            let clusters = Clusters::singletons(n_clusters);
            let covers = |seed: &u64| {
                let mut stream = Stream::new(*seed, Purpose::Permutation, 95);
                let values: Vec<f64> = (0..n_clusters).map(|_| stream.normal()).collect();
                let resampling = Resampling { replicates: 2_000, seed: *seed, level: Level::P95 };
                mean(&values, &clusters, &resampling).unwrap().interval.contains(0.0)
            };
            let coverage = (0..simulations).filter(covers).count() as f64 / simulations as f64;
            println!("{n_clusters} clusters: {coverage}");
            assert!((0.935..=0.965).contains(&coverage), "{n_clusters} clusters: {coverage}");
        }
    }

    #[test]
    fn two_clusters_show_no_change() {
        let two = mean_against_zero(&[0.2, 0.5], &Resampling::default()).unwrap();
        assert!(two.p_value >= 0.25 && two.estimate.interval.contains(0.0), "{two:?}");
        let equal = mean_against_zero(&[1.0, 1.0], &Resampling::default()).unwrap();
        assert!((equal.p_value - 0.5).abs() < 1e-12, "{equal:?}");
        let many = mean_against_zero(&[1.0; 12], &Resampling::default()).unwrap();
        assert!((many.p_value - 1.0 / 2001.0).abs() < 1e-12, "{many:?}");
    }

    #[test]
    fn a_simultaneous_band_covers_the_whole_curve() {
        // 2,500 simulations of correlated curves. Over 4,000 other simulations coverage was 94.1 %, so an outcome outside
        // 93 to 97 % has probability 0.01; the seeds are fixed.
        let (n_clusters, n_points, simulations) = (40, 10, 2_500_u64);
        let covered = (0..simulations)
            .filter(|&seed| {
                let mut stream = Stream::new(seed, Purpose::Permutation, 98);
                let mut sums = ClusterSums::new(n_clusters, n_points);
                for cluster in 0..n_clusters {
                    let mut level = stream.normal();
                    for point in 0..n_points {
                        level += 0.5 * stream.normal();
                        sums.add(cluster, point, level, 1.0);
                    }
                }
                let resampling = Resampling { replicates: 600, seed, level: Level::P95 };
                curve(&sums, &resampling).iter().all(|p| p.as_ref().unwrap().simultaneous.contains(0.0))
            })
            .count();
        let coverage = covered as f64 / simulations as f64;
        assert!((0.93..=0.97).contains(&coverage), "{coverage}");
    }

    #[test]
    fn rows_of_one_cluster_are_not_independent() {
        let (values, clusters) = clustered_sample(60, 3);
        let resampling = Resampling::default();
        let honest = mean(&values, &clusters, &resampling).unwrap();
        let naive = mean(&values, &Clusters::singletons(values.len()), &resampling).unwrap();
        assert!(honest.standard_error > 1.5 * naive.standard_error);
        assert!(honest.n_clusters == 60 && naive.n_clusters == values.len());
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (values, clusters) = clustered_sample(50, 11);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| mean(&values, &clusters, &Resampling::default()).unwrap())
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(5));
    }

    #[test]
    fn large_curves_take_seconds() {
        let (n_clusters, n_points) = (10_000, 20);
        let mut stream = Stream::new(5, Purpose::Permutation, 97);
        let mut sums = ClusterSums::new(n_clusters, n_points);
        for cluster in 0..n_clusters {
            for point in 0..n_points {
                sums.add(cluster, point, stream.uniform(), 1.0);
            }
        }
        let start = Instant::now();
        let points = curve(&sums, &Resampling::default());
        let elapsed = start.elapsed();
        assert!(points.iter().all(Result::is_ok));
        // 0.3 s on two idle cores; the bound leaves room for a busy machine.
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    }

    #[test]
    fn a_contrast_of_columns_keeps_their_correlation() {
        let mut stream = Stream::new(6, Purpose::Permutation, 96);
        let mut sums = ClusterSums::new(200, 2);
        for cluster in 0..200 {
            let shared = 10.0 * stream.normal();
            sums.add(cluster, 0, shared + 1.0 + 0.1 * stream.normal(), 1.0);
            sums.add(cluster, 1, shared, 1.0);
        }
        let points = Resampled::new(&sums, &Resampling::default()).contrasts(&[(0, 1), (1, 0)]);
        let up = points[0].unwrap().estimate;
        let down = points[1].unwrap().estimate;
        assert!(up.standard_error < 0.02 && up.interval.contains(1.0));
        assert!((up.value + down.value).abs() < 1e-12);
    }

    #[test]
    fn missing_points_and_lone_clusters_are_said() {
        let mut sums = ClusterSums::new(30, 3);
        for cluster in 0..30 {
            sums.add(cluster, 0, cluster as f64, 1.0);
        }
        sums.add(0, 1, 1.0, 1.0);
        let points = curve(&sums, &Resampling::default());
        assert!(points[0].is_ok());
        assert_eq!(points[1], Err(Undefined::TooFew { needed: 2, found: 1 }));
        assert_eq!(points[2], Err(Undefined::Empty));
        sums.add(1, 1, 3.0, 1.0);
        assert!(matches!(
            curve(&sums, &Resampling::default())[1],
            Err(Undefined::UnstableResamples { replicates: 2_000, .. })
        ));
    }

    #[test]
    fn no_spread_gives_a_point() {
        let estimate = mean(&[0.1; 12], &Clusters::singletons(12), &Resampling::default()).unwrap();
        assert!(estimate.standard_error < 1e-15 && estimate.interval.width() < 1e-15);
    }

    #[test]
    fn a_statistic_of_multiplicities_agrees_with_the_sums() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let clusters = Clusters::singletons(40);
        let by_hand = statistic(40, &Resampling::default(), |multiplicities| {
            let total: f64 = multiplicities.iter().zip(&values).map(|(&m, v)| f64::from(m) * v).sum();
            Some(total / 40.0)
        });
        assert_eq!(by_hand, mean(&values, &clusters, &Resampling::default()));
    }
}
