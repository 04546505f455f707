//! AUROC: the probability that a positive row scores higher than a negative one, ties counting one half.
//!
//! A = (sum of positive midranks - m(m+1)/2) / (m n) for m positive and n negative rows; a higher score predicts the
//! positive label.
//!
//! Three ways to an interval:
//! * [`delong`]: independent rows. Var = S10/m + S01/n from the structural components V10(x) = P(Y < x) + P(Y = x)/2 of the
//!   positive and V01(y) of the negative rows.
//! * [`clustered`]: several rows in a cluster, possibly of both labels. Components are summed per cluster; with
//!   one row in each cluster this is DeLong's variance.
//! * [`bootstrap()`]: resamples clusters.
//!
//! The first two give value ± t se clamped to [0, 1]; a perfect separation has standard error 0 there, and its width says
//! nothing. [`against_chance`] tests an area of 0.5, [`compare`] two scores on the same labels; [`bootstrap_difference`] also
//! compares samples with different labels that share clusters.
//!
//! The spread within the rarer class is estimated from its clusters alone, so intervals and tests take Student's t with as many
//! degrees of freedom as that class has clusters, less one. With fewer than [`FEWEST_CLUSTERS`] of them even that is far off (of
//! two positives among 200 rows a third is "significant" by chance), and the answer is [`Undefined::FewOfClass`]. With 10 or 12 of 200,
//! 3 to 6 % are at the nominal 5 %.
//!
//! One class gives [`Undefined::SingleClass`]; a constant score gives 0.5 with `constant_score` set.
//! Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44; Obuchowski 1997, Biometrics 53, sec. 2.

use crate::bootstrap::{self, Resampling, ZeroTest};
use crate::cluster::Clusters;
use crate::distribution::t_sf;
use crate::interval::{Estimate, Interval, Level};
use crate::rank::{all_tied, ascending, midranks, tie_runs};
use crate::undefined::{Undefined, check_count, check_finite, check_paired};

/// Fewest clusters with rows of a class for an interval or a test.
pub const FEWEST_CLUSTERS: usize = 10;

/// The area with what it was computed on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auroc {
    /// The area in [0, 1].
    pub value: f64,
    /// Rows with a positive label.
    pub n_positive: usize,
    /// Rows with a negative label.
    pub n_negative: usize,
    /// All scores are tied: the area is 0.5 because the score says nothing.
    pub constant_score: bool,
}

/// Two areas on the same rows, and their difference first - second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Area of the first score.
    pub first: f64,
    /// Area of the second score.
    pub second: f64,
    /// Their difference with its interval.
    pub difference: Estimate,
    /// Two-sided p-value of no difference, by Student's t; `None` where the difference has no variance.
    pub p_value: Option<f64>,
}

/// An area with its evidence against one half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChanceTest {
    /// The area with its interval.
    pub estimate: Estimate,
    /// Two-sided p-value of an area of 0.5, by Student's t; `None` where the area has no variance.
    pub p_value: Option<f64>,
}

/// Labelled scores with their clusters; all three have one length.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Score of each row.
    pub scores: &'a [f64],
    /// Label of each row.
    pub labels: &'a [bool],
    /// Cluster of each row.
    pub clusters: &'a Clusters,
}

/// The area under the ROC curve.
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<Auroc, Undefined> {
    let (n_positive, n_negative) = check_classes(scores, labels)?;
    let ranks = midranks(scores);
    let positive_ranks: f64 =
        ranks.iter().zip(labels).filter(|&(_, &label)| label).map(|(rank, _)| rank).sum();
    let (m, n) = (n_positive as f64, n_negative as f64);
    let value = (positive_ranks - 0.5 * m * (m + 1.0)) / (m * n);
    Ok(Auroc { value, n_positive, n_negative, constant_score: all_tied(scores) })
}

/// DeLong's interval, for independent rows.
pub fn delong(scores: &[f64], labels: &[bool], level: Level) -> Result<Estimate, Undefined> {
    clustered(scores, labels, &Clusters::singletons(scores.len()), level)
}

/// Obuchowski's interval, for rows in clusters.
pub fn clustered(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> Result<Estimate, Undefined> {
    Ok(against_chance(scores, labels, clusters, level)?.estimate)
}

/// [`clustered`], with the test of an area of 0.5.
pub fn against_chance(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> Result<ChanceTest, Undefined> {
    widened_against_chance(scores, labels, clusters, level, 1.0)
}

/// [`against_chance`] with the standard error times a factor.
pub(crate) fn widened_against_chance(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
    factor: f64,
) -> Result<ChanceTest, Undefined> {
    check_classes(scores, labels)?;
    check_class_clusters(labels, clusters)?;
    let (value, spread) = area_spread(scores, labels, clusters)?;
    let spread = spread.widened(factor);
    let estimate = spread.estimate(value, level);
    let interval = estimate.interval.clamp(0.0, 1.0);
    Ok(ChanceTest { estimate: Estimate { interval, ..estimate }, p_value: spread.p_value(value - 0.5) })
}

/// The standard error alone, which needs two clusters of each class and is too small for few.
pub fn standard_error(scores: &[f64], labels: &[bool], clusters: &Clusters) -> Result<f64, Undefined> {
    Ok(area_spread(scores, labels, clusters)?.1.standard_error)
}

fn area_spread(scores: &[f64], labels: &[bool], clusters: &Clusters) -> Result<(f64, Spread), Undefined> {
    check_paired(scores.len(), clusters.n_rows())?;
    let value = auroc(scores, labels)?.value;
    let components = structural_components(scores, labels);
    Ok((value, Spread::of(value, &components, labels, clusters)?))
}

/// The difference of the areas of two scores on the same labelled rows: DeLong's test when clusters are singletons.
pub fn compare(
    first: &[f64],
    second: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> Result<Comparison, Undefined> {
    widened_compare([first, second], labels, clusters, level, 1.0)
}

/// [`compare`] with the standard error times a factor.
pub(crate) fn widened_compare(
    [first, second]: [&[f64]; 2],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
    factor: f64,
) -> Result<Comparison, Undefined> {
    check_paired(first.len(), second.len())?;
    check_paired(first.len(), clusters.n_rows())?;
    let (one, two) = (auroc(first, labels)?.value, auroc(second, labels)?.value);
    check_class_clusters(labels, clusters)?;
    let components: Vec<f64> = structural_components(first, labels)
        .iter()
        .zip(structural_components(second, labels))
        .map(|(a, b)| a - b)
        .collect();
    let spread = Spread::of(one - two, &components, labels, clusters)?.widened(factor);
    let difference = spread.estimate(one - two, level);
    Ok(Comparison { first: one, second: two, difference, p_value: spread.p_value(one - two) })
}

/// The cluster bootstrap of one area.
pub fn bootstrap(sample: &Sample<'_>, resampling: &Resampling) -> Result<Estimate, Undefined> {
    let sweep = Sweep::new(sample)?;
    check_class_clusters(sample.labels, sample.clusters)?;
    bootstrap::statistic(sample.clusters.count(), resampling, |multiplicities| sweep.area(multiplicities))
}

/// The cluster bootstrap of area(first) - area(second) for samples whose clusters are numbered alike.
///
/// Rows and labels may differ; a drawn cluster brings its rows of both samples. The p-value is at least that of Student's t for the
/// rarest class of either sample.
pub fn bootstrap_difference(
    first: &Sample<'_>,
    second: &Sample<'_>,
    resampling: &Resampling,
) -> Result<ZeroTest, Undefined> {
    check_paired(first.clusters.count(), second.clusters.count())?;
    let (one, two) = (Sweep::new(first)?, Sweep::new(second)?);
    let count = |sample: &Sample<'_>| check_class_clusters(sample.labels, sample.clusters);
    let rarest = count(first)?.min(count(second)?);
    let test = bootstrap::against_zero(first.clusters.count(), resampling, |multiplicities| {
        Some(one.area(multiplicities)? - two.area(multiplicities)?)
    })?;
    let (value, standard_error) = (test.estimate.value, test.estimate.standard_error);
    let by_t = student_two_sided(value, standard_error, rarest - 1).unwrap_or(test.p_value);
    Ok(ZeroTest { p_value: test.p_value.max(by_t), ..test })
}

/// Two-sided p-value of a value with this standard error; `None` for a standard error of zero.
fn student_two_sided(value: f64, standard_error: f64, dof: usize) -> Option<f64> {
    (standard_error > 0.0).then(|| (2.0 * t_sf((value / standard_error).abs(), dof as f64)).min(1.0))
}

/// The number of clusters with rows of the rarer class, at least [`FEWEST_CLUSTERS`].
fn check_class_clusters(labels: &[bool], clusters: &Clusters) -> Result<usize, Undefined> {
    check_paired(labels.len(), clusters.n_rows())?;
    let mut present = vec![[false; 2]; clusters.count()];
    for (&label, &cluster) in labels.iter().zip(clusters.ids()) {
        present[cluster][usize::from(label)] = true;
    }
    let count = |class: usize| present.iter().filter(|cluster| cluster[class]).count();
    let found = count(0).min(count(1));
    if found < FEWEST_CLUSTERS {
        return Err(Undefined::FewOfClass { needed: FEWEST_CLUSTERS, found });
    }
    Ok(found)
}

/// Checks scores and labels; the numbers of positive and negative rows, neither zero.
fn check_classes(scores: &[f64], labels: &[bool]) -> Result<(usize, usize), Undefined> {
    check_paired(scores.len(), labels.len())?;
    check_finite(scores)?;
    let n_positive = labels.iter().filter(|&&label| label).count();
    let n_negative = labels.len() - n_positive;
    if n_positive == 0 || n_negative == 0 {
        Err(Undefined::SingleClass)
    } else {
        Ok((n_positive, n_negative))
    }
}

/// For each row, the share of the other class that it beats (V10 of positive rows, V01 of negative rows).
fn structural_components(scores: &[f64], labels: &[bool]) -> Vec<f64> {
    let ranks = midranks(scores);
    let mut components = vec![0.0; scores.len()];
    for class in [false, true] {
        let rows: Vec<usize> = (0..scores.len()).filter(|&row| labels[row] == class).collect();
        let own: Vec<f64> = rows.iter().map(|&row| scores[row]).collect();
        let others = (scores.len() - rows.len()) as f64;
        for (&row, own_rank) in rows.iter().zip(midranks(&own)) {
            let below = (ranks[row] - own_rank) / others;
            components[row] = if class { below } else { 1.0 - below };
        }
    }
    components
}

/// How far a statistic with structural components spreads between clusters.
struct Spread {
    standard_error: f64,
    n_clusters: usize,
    /// Clusters with rows of the rarer class.
    rarest: usize,
}

impl Spread {
    /// Components are summed per cluster.
    fn of(value: f64, components: &[f64], labels: &[bool], clusters: &Clusters) -> Result<Self, Undefined> {
        // Per cluster and class: the number of rows, and the sum of their components minus `value`.
        let mut positive = vec![(0_usize, 0.0); clusters.count()];
        let mut negative = positive.clone();
        for ((component, &label), &cluster) in components.iter().zip(labels).zip(clusters.ids()) {
            let (rows, sum) = if label { &mut positive[cluster] } else { &mut negative[cluster] };
            *rows += 1;
            *sum += component - value;
        }
        let n_clusters = positive.iter().zip(&negative).filter(|(p, n)| p.0 + n.0 > 0).count();
        let (up, down) = (ClassSpread::of(&positive)?, ClassSpread::of(&negative)?);
        let covariance: f64 = positive.iter().zip(&negative).map(|(p, n)| p.1 * n.1).sum();
        let s11 = n_clusters as f64 / (n_clusters - 1) as f64 * covariance;
        let variance = up.spread / up.rows + down.spread / down.rows + 2.0 * s11 / (up.rows * down.rows);
        let rarest = up.clusters.min(down.clusters);
        Ok(Self { standard_error: variance.max(0.0).sqrt(), n_clusters, rarest })
    }

    fn widened(self, factor: f64) -> Self {
        Self { standard_error: factor * self.standard_error, ..self }
    }

    fn estimate(&self, value: f64, level: Level) -> Estimate {
        let half_width = level.t_point(self.rarest - 1) * self.standard_error;
        let interval = Interval::around(value, half_width, level);
        Estimate { value, standard_error: self.standard_error, interval, n_clusters: self.n_clusters }
    }

    /// Of no distance.
    fn p_value(&self, distance: f64) -> Option<f64> {
        student_two_sided(distance, self.standard_error, self.rarest - 1)
    }
}

/// What the rows of one class contribute.
struct ClassSpread {
    /// S = I/((I-1) m) sum of squared cluster sums over the I clusters with this class and its m rows.
    spread: f64,
    rows: f64,
    clusters: usize,
}

impl ClassSpread {
    fn of(sums: &[(usize, f64)]) -> Result<Self, Undefined> {
        let clusters = sums.iter().filter(|(rows, _)| *rows > 0).count();
        check_count(clusters, 2)?;
        let rows = sums.iter().map(|(rows, _)| rows).sum::<usize>() as f64;
        let squares: f64 = sums.iter().map(|(_, sum)| sum * sum).sum();
        let spread = clusters as f64 / (clusters - 1) as f64 / rows * squares;
        Ok(Self { spread, rows, clusters })
    }
}

/// Rows sorted once, so that the area of a resample is one pass over them.
struct Sweep {
    /// (cluster, label) of each row, by ascending score.
    rows: Vec<(usize, bool)>,
    /// End of each run of tied scores in `rows`.
    run_ends: Vec<usize>,
}

impl Sweep {
    fn new(sample: &Sample<'_>) -> Result<Self, Undefined> {
        check_classes(sample.scores, sample.labels)?;
        check_paired(sample.scores.len(), sample.clusters.n_rows())?;
        let order = ascending(sample.scores);
        let run_ends = tie_runs(sample.scores, &order).into_iter().map(|run| run.end).collect();
        let rows = order.iter().map(|&row| (sample.clusters.ids()[row], sample.labels[row])).collect();
        Ok(Self { rows, run_ends })
    }

    /// The area when cluster c is counted `multiplicities[c]` times; `None` for a single class.
    fn area(&self, multiplicities: &[u32]) -> Option<f64> {
        let (mut positives, mut negatives, mut twice_wins) = (0_u64, 0_u64, 0_u64);
        let mut start = 0;
        for &end in &self.run_ends {
            let (mut up, mut down) = (0, 0);
            for &(cluster, label) in &self.rows[start..end] {
                let times = u64::from(multiplicities[cluster]);
                if label { up += times } else { down += times }
            }
            twice_wins += up * (2 * negatives + down);
            positives += up;
            negatives += down;
            start = end;
        }
        (positives > 0 && negatives > 0)
            .then(|| twice_wins as f64 / (2.0 * positives as f64 * negatives as f64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stream::{Purpose, Stream};

    const SCORES: [f64; 8] = [0.1, 0.4, 0.4, 0.8, 0.7, 0.4, 0.2, 0.9];
    const LABELS: [bool; 8] = [false, false, true, true, true, true, false, false];

    /// Clusters of two or three rows that share a difficulty; labels and scores depend on it.
    fn clustered_sample(n_clusters: usize, seed: u64) -> (Vec<f64>, Vec<bool>, Clusters) {
        let mut stream = Stream::new(seed, Purpose::Permutation, 50);
        let (mut scores, mut labels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for cluster in 0..n_clusters {
            let ease = stream.normal();
            for _ in 0..2 + stream.below(2) {
                labels.push(ease + stream.normal() > 0.0);
                scores.push(ease + stream.normal());
                ids.push(cluster);
            }
        }
        let clusters = Clusters::new(ids, n_clusters).unwrap();
        (scores, labels, clusters)
    }

    #[test]
    fn pairs_counted_by_hand() {
        let mut wins = 0.0;
        for (x, _) in SCORES.iter().zip(LABELS).filter(|(_, l)| *l) {
            for (y, _) in SCORES.iter().zip(LABELS).filter(|(_, l)| !*l) {
                wins += if x > y {
                    1.0
                } else if x < y {
                    0.0
                } else {
                    0.5
                };
            }
        }
        let area = auroc(&SCORES, &LABELS).unwrap();
        assert!((area.value - wins / 16.0).abs() < 1e-15);
        assert_eq!((area.n_positive, area.n_negative, area.constant_score), (4, 4, false));
    }

    #[test]
    fn every_degenerate_case_has_a_name() {
        assert_eq!(auroc(&[], &[]), Err(Undefined::Empty));
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), Err(Undefined::SingleClass));
        assert_eq!(auroc(&[1.0], &[true, false]), Err(Undefined::LengthMismatch { left: 1, right: 2 }));
        assert_eq!(auroc(&[1.0, f64::NAN], &[true, false]), Err(Undefined::NotFinite { index: 1 }));
        let constant = auroc(&[0.3; 4], &[true, false, true, false]).unwrap();
        assert!(constant.constant_score && (constant.value - 0.5).abs() < 1e-15);
        let lone = delong(&[1.0, 2.0, 3.0], &[true, false, false], Level::P95);
        assert_eq!(lone, Err(Undefined::FewOfClass { needed: 10, found: 1 }));
    }

    #[test]
    fn a_score_does_not_differ_from_itself() {
        let (scores, labels, clusters) = clustered_sample(60, 2);
        let same = compare(&scores, &scores, &labels, &clusters, Level::P95).unwrap();
        assert_eq!(same.p_value, None);
        assert!(same.difference.value.abs() < 1e-15);
    }

    #[test]
    fn the_sample_counted_once_is_the_sample() {
        let clusters = Clusters::of(&[0, 0, 1, 1, 2, 3, 3, 4]);
        let sample = Sample { scores: &SCORES, labels: &LABELS, clusters: &clusters };
        let area = Sweep::new(&sample).unwrap().area(&[1; 5]).unwrap();
        assert!((area - auroc(&SCORES, &LABELS).unwrap().value).abs() < 1e-15);
    }

    #[test]
    fn clustered_and_bootstrap_errors_agree() {
        let (scores, labels, clusters) = clustered_sample(300, 1);
        let sample = Sample { scores: &scores, labels: &labels, clusters: &clusters };
        let closed = clustered(&scores, &labels, &clusters, Level::P95).unwrap();
        let resampled = bootstrap(&sample, &Resampling::default()).unwrap();
        assert!((closed.standard_error / resampled.standard_error - 1.0).abs() < 0.1);
        assert_eq!(closed.n_clusters, 300);
        let difference = bootstrap_difference(&sample, &sample, &Resampling::default()).unwrap();
        assert!(difference.estimate.standard_error < 1e-15 && difference.estimate.value.abs() < 1e-15);
        assert!((difference.p_value - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_useless_score_differs_from_a_good_one() {
        let (scores, labels, clusters) = clustered_sample(100, 4);
        let mut stream = Stream::new(4, Purpose::Permutation, 51);
        let noise: Vec<f64> = scores.iter().map(|_| stream.normal()).collect();
        let good = Sample { scores: &scores, labels: &labels, clusters: &clusters };
        let useless = Sample { scores: &noise, ..good };
        let resampled = bootstrap_difference(&good, &useless, &Resampling::default()).unwrap();
        let closed = compare(&scores, &noise, &labels, &clusters, Level::P95).unwrap();
        assert!((resampled.estimate.value - closed.difference.value).abs() < 1e-12);
        assert!((closed.difference.standard_error / resampled.estimate.standard_error - 1.0).abs() < 0.1);
        assert!(resampled.p_value < 0.01 && closed.p_value.unwrap() < 0.01);
    }

    /// Two hundred rows of noise of which `n_positive` are positive: shares of p < 0.05 and of intervals without 0.5.
    fn false_alarms(n_positive: usize, simulations: u64) -> (f64, f64) {
        let clusters = Clusters::singletons(200);
        let labels: Vec<bool> = (0..200).map(|row| row < n_positive).collect();
        let (mut small, mut missed) = (0, 0);
        for seed in 0..simulations {
            let mut stream = Stream::new(seed, Purpose::Permutation, 52);
            let scores: Vec<f64> = (0..200).map(|_| stream.normal()).collect();
            let test = against_chance(&scores, &labels, &clusters, Level::P95).unwrap();
            small += usize::from(test.p_value.unwrap() < 0.05);
            missed += usize::from(!test.estimate.interval.contains(0.5));
        }
        (small as f64 / simulations as f64, missed as f64 / simulations as f64)
    }

    #[test]
    fn few_of_a_class_are_no_false_alarm() {
        // 4,000 simulations: standard error 0.34 % at 5 %.
        for n_positive in [10, 12, 20, 100] {
            let (small, missed) = false_alarms(n_positive, 4_000);
            println!("{n_positive} of 200: p < 0.05 in {small}, interval without 0.5 in {missed}");
            assert!((0.03..=0.065).contains(&small), "{n_positive} positives: {small}");
            assert!((0.03..=0.065).contains(&missed), "{n_positive} positives: {missed}");
        }
    }

    #[test]
    fn areas_of_few_positives_do_not_differ_by_chance() {
        // 400 simulations of two scores of noise, 12 of 120 rows positive: P(Binomial(400, 0.05) > 34) = 0.002.
        let clusters = Clusters::singletons(120);
        let labels: Vec<bool> = (0..120).map(|row| row < 12).collect();
        let differs = |seed: &u64| {
            let mut stream = Stream::new(*seed, Purpose::Permutation, 53);
            let scores: Vec<f64> = (0..240).map(|_| stream.normal()).collect();
            let sample = |scores| Sample { scores, labels: &labels, clusters: &clusters };
            let resampling = Resampling { replicates: 400, seed: *seed, level: Level::P95 };
            let test = bootstrap_difference(&sample(&scores[..120]), &sample(&scores[120..]), &resampling);
            test.unwrap().p_value < 0.05
        };
        let count = (0..400).filter(differs).count();
        println!("differences of areas with p < 0.05: {count} of 400");
        assert!(count <= 34, "{count}");
    }

    #[test]
    fn too_few_of_a_class_have_an_area_and_no_interval() {
        let scores: Vec<f64> = (0..40).map(f64::from).collect();
        let few = Err(Undefined::FewOfClass { needed: 10, found: 9 });
        let labels: Vec<bool> = (0..40).map(|row| row % 4 == 1 && row < 36).collect();
        let clusters = Clusters::singletons(40);
        assert_eq!(delong(&scores, &labels, Level::P95), few);
        assert_eq!(compare(&scores, &scores, &labels, &clusters, Level::P95).map(|_| ()), few.map(|_| ()));
        let sample = Sample { scores: &scores, labels: &labels, clusters: &clusters };
        assert_eq!(bootstrap(&sample, &Resampling::default()), few);
        assert!(bootstrap_difference(&sample, &sample, &Resampling::default()).is_err());
        assert!(auroc(&scores, &labels).is_ok() && standard_error(&scores, &labels, &clusters).is_ok());
        // Ten rows of one class in nine clusters.
        let labels: Vec<bool> = (0..40).map(|row| row % 4 == 1).collect();
        let ids = (0..40).map(|row| if row == 5 { 1 } else { row }).collect();
        let shared = Clusters::new(ids, 40).unwrap();
        assert_eq!(clustered(&scores, &labels, &shared, Level::P95), few);
        assert!(delong(&scores, &labels, Level::P95).is_ok());
    }

    #[test]
    fn clustered_intervals_cover() {
        // Score and latent label are normal with correlation 1/2; the orthant probability of (latent of one row, minus
        // latent of the other, difference of their scores) gives the area 1/2 + 2 asin(1/(2 sqrt 2))/pi.
        // 1,500 simulations of 60 clusters: standard error 0.56 %, false alarm below 0.001.
        let truth = 0.5 + 2.0 * (0.5 / 2_f64.sqrt()).asin() / std::f64::consts::PI;
        let simulations = 1_500;
        let covered = (0..simulations)
            .filter(|&seed| {
                let (scores, labels, clusters) = clustered_sample(60, seed);
                clustered(&scores, &labels, &clusters, Level::P95).unwrap().interval.contains(truth)
            })
            .count();
        let coverage = covered as f64 / simulations as f64;
        assert!((0.93..=0.97).contains(&coverage), "{coverage}");
    }

    proptest! {
        #[test]
        fn monotone_maps_change_nothing(rows in prop::collection::vec((-8_i32..8, any::<bool>()), 2..40)) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let mapped: Vec<f64> = scores.iter().map(|s| (0.3 * s).exp() + 4.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            prop_assert_eq!(auroc(&scores, &labels), auroc(&mapped, &labels));
        }

        #[test]
        fn turning_the_score_around_mirrors_the_area(rows in prop::collection::vec((-8_i32..8, any::<bool>()), 2..40)) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let turned: Vec<f64> = scores.iter().map(|s| -s).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            if let (Ok(area), Ok(mirror)) = (auroc(&scores, &labels), auroc(&turned, &labels)) {
                prop_assert!((area.value + mirror.value - 1.0).abs() < 1e-12);
            }
        }
    }
}
