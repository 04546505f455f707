//! Folds by cluster, and out-of-fold scores of a logistic regression by nested cross-validation.
//!
//! Clusters are shuffled by a seeded stream, ordered by their share of positive rows, and dealt to the folds in turn, so that folds have
//! about the same share of positives; all rows of a cluster share its fold. For each outer fold, the penalty is chosen by the summed
//! log-loss over inner folds of the remaining clusters (equal losses: the larger penalty), the model is refitted on all of them and scores
//! the rows of the outer fold. No row is scored by a model that saw its cluster, neither for the weights nor for the penalty.
//!
//! Logits of different folds are not to be compared: each fold has its own model, whose intercept is high where the fold itself holds few
//! positives. On noise and with folds dealt at random, areas of pooled logits lie far below one half (0.42 on average for 100 rows, a
//! quarter of them negative). So areas are those of ranks within folds, which are centred: [`OutOfFold::against_chance`], and against a
//! score that was not fitted [`OutOfFold::compare`], which ranks that score in the same folds.
//!
//! Folds are not independent either: the product of what two folds say about a feature enters twice, each being once in the training
//! set and once judged. On noise this doubles the variance, and with it that of what useless features add to a useful score; so standard
//! errors here are those of the rows times sqrt(2). Where the signal is strong that is too wide.
//!
//! A training set with one class only gives [`Undefined::SingleClass`]: use fewer folds.
//! Source: Stone 1974; Varma and Simon 2006, BMC Bioinform. 7 (nesting); Parker, Gunter and Bedo 2007, BMC Bioinform. 8 (pooling);
//! Bengio and Grandvalet 2004, J. Mach. Learn. Res. 5 (variance).

use rayon::prelude::*;

use crate::auroc::{ChanceTest, Comparison, widened_against_chance, widened_compare};
use crate::cluster::Clusters;
use crate::interval::Level;
use crate::logistic::{Features, Logistic, log_loss, sigmoid};
use crate::rank::midranks;
use crate::stream::{Purpose, Stream};
use crate::undefined::{Undefined, check_count, check_finite, check_paired};

/// By how much the standard error of an area over folds exceeds that of its rows: sqrt(2).
const SHARED_TRAINING: f64 = std::f64::consts::SQRT_2;

/// Numbers of folds, and the seed that deals clusters to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NestedFolds {
    /// Folds that judge, at least two.
    pub outer: usize,
    /// Folds that choose the penalty, at least two.
    pub inner: usize,
    /// Start of the random streams.
    pub seed: u64,
}

impl Default for NestedFolds {
    fn default() -> Self {
        Self { outer: 5, inner: 5, seed: 0 }
    }
}

/// What models that did not see a row's cluster say about the row.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    /// Logit of each row.
    pub logits: Vec<f64>,
    /// Probability of each row.
    pub probs: Vec<f64>,
    /// Outer fold of each row.
    pub folds: Vec<usize>,
    /// Penalty chosen for each outer fold.
    pub lambdas: Vec<f64>,
}

impl OutOfFold {
    /// The area of the scores within folds, and its evidence against 0.5.
    pub fn against_chance(
        &self,
        labels: &[bool],
        clusters: &Clusters,
        level: Level,
    ) -> Result<ChanceTest, Undefined> {
        check_paired(self.logits.len(), labels.len())?;
        widened_against_chance(&self.ranks(&self.logits), labels, clusters, level, SHARED_TRAINING)
    }

    /// The area of the scores within folds minus that of another score within the same folds.
    pub fn compare(
        &self,
        baseline: &[f64],
        labels: &[bool],
        clusters: &Clusters,
        level: Level,
    ) -> Result<Comparison, Undefined> {
        check_paired(self.logits.len(), baseline.len())?;
        check_finite(baseline)?;
        let ranks = [self.ranks(&self.logits), self.ranks(baseline)];
        widened_compare([&ranks[0], &ranks[1]], labels, clusters, level, SHARED_TRAINING)
    }

    /// The rank of each row's score among the rows of its fold, as a share in (0, 1); tied scores share their mean rank.
    fn ranks(&self, scores: &[f64]) -> Vec<f64> {
        let mut ranks = vec![0.0; scores.len()];
        for fold in 0..self.lambdas.len() {
            let rows: Vec<usize> = (0..scores.len()).filter(|&row| self.folds[row] == fold).collect();
            let own: Vec<f64> = rows.iter().map(|&row| scores[row]).collect();
            for (&row, rank) in rows.iter().zip(midranks(&own)) {
                ranks[row] = rank / (rows.len() + 1) as f64;
            }
        }
        ranks
    }
}

/// The fold of each cluster; sizes differ by at most one.
pub fn assign_folds(n_clusters: usize, n_folds: usize, seed: u64) -> Result<Vec<usize>, Undefined> {
    assign_even_folds(&vec![0.0; n_clusters], n_folds, seed)
}

/// The same for clusters with these rates, which are spread evenly over the folds.
fn assign_even_folds(rates: &[f64], n_folds: usize, seed: u64) -> Result<Vec<usize>, Undefined> {
    let clusters: Vec<usize> = (0..rates.len()).collect();
    let mut folds = vec![0; rates.len()];
    for (cluster, fold) in deal(clusters, rates, n_folds, &mut Stream::new(seed, Purpose::Folds, 0))? {
        folds[cluster] = fold;
    }
    Ok(folds)
}

/// Out-of-fold scores, with the penalty chosen among `lambdas` (all > 0).
pub fn out_of_fold(
    features: &Features,
    labels: &[bool],
    clusters: &Clusters,
    lambdas: &[f64],
    folds: &NestedFolds,
) -> Result<OutOfFold, Undefined> {
    check_paired(features.n_rows(), labels.len())?;
    check_paired(labels.len(), clusters.n_rows())?;
    check_count(lambdas.len(), 1)?;
    let data = Data { features, labels, clusters, rates: positive_rates(labels, clusters) };
    let fold_of_cluster = assign_even_folds(&data.rates, folds.outer, folds.seed)?;
    let judged: Vec<(f64, Vec<(usize, f64)>)> = (0..folds.outer)
        .into_par_iter()
        .map(|fold| {
            let training: Vec<usize> =
                (0..clusters.count()).filter(|&cluster| fold_of_cluster[cluster] != fold).collect();
            let mut stream = Stream::new(folds.seed, Purpose::Folds, fold as u64 + 1);
            let lambda = data.choose_lambda(training, lambdas, folds.inner, &mut stream)?;
            Ok((
                lambda,
                data.held_out_logits(&|cluster| fold_of_cluster[cluster] == fold, &|_| true, lambda)?,
            ))
        })
        .collect::<Result<_, Undefined>>()?;
    let mut logits = vec![0.0; labels.len()];
    for (row, logit) in judged.iter().flat_map(|(_, scored)| scored) {
        logits[*row] = *logit;
    }
    Ok(OutOfFold {
        probs: logits.iter().map(|&logit| sigmoid(logit)).collect(),
        logits,
        folds: clusters.ids().iter().map(|&cluster| fold_of_cluster[cluster]).collect(),
        lambdas: judged.into_iter().map(|(lambda, _)| lambda).collect(),
    })
}

/// The share of positive rows of each cluster; 0 for one without rows.
fn positive_rates(labels: &[bool], clusters: &Clusters) -> Vec<f64> {
    let mut counts = vec![(0_usize, 0_usize); clusters.count()];
    for (&label, &cluster) in labels.iter().zip(clusters.ids()) {
        counts[cluster].0 += usize::from(label);
        counts[cluster].1 += 1;
    }
    counts.into_iter().map(|(positive, all)| positive as f64 / all.max(1) as f64).collect()
}

/// Pairs of (cluster, fold), the clusters in order of their rates and at random among equal ones, the folds in turn.
fn deal(
    mut clusters: Vec<usize>,
    rates: &[f64],
    n_folds: usize,
    stream: &mut Stream,
) -> Result<Vec<(usize, usize)>, Undefined> {
    check_count(n_folds, 2)?;
    check_count(clusters.len(), n_folds)?;
    stream.shuffle(&mut clusters);
    clusters.sort_by(|&a, &b| rates[a].total_cmp(&rates[b]));
    Ok(clusters.into_iter().zip((0..n_folds).cycle()).collect())
}

/// Labelled rows in clusters.
struct Data<'a> {
    features: &'a Features,
    labels: &'a [bool],
    clusters: &'a Clusters,
    /// Share of positive rows of each cluster.
    rates: Vec<f64>,
}

impl Data<'_> {
    /// The penalty with the smallest log-loss over inner folds of the training clusters.
    fn choose_lambda(
        &self,
        training: Vec<usize>,
        lambdas: &[f64],
        n_folds: usize,
        stream: &mut Stream,
    ) -> Result<f64, Undefined> {
        let mut fold_of_cluster = vec![None; self.clusters.count()];
        for (cluster, fold) in deal(training, &self.rates, n_folds, stream)? {
            fold_of_cluster[cluster] = Some(fold);
        }
        let loss_of = |lambda: f64| -> Result<f64, Undefined> {
            let mut loss = 0.0;
            for fold in 0..n_folds {
                let held_out = |cluster: usize| fold_of_cluster[cluster] == Some(fold);
                let known = |cluster: usize| fold_of_cluster[cluster].is_some();
                for (row, logit) in self.held_out_logits(&held_out, &known, lambda)? {
                    loss += log_loss(logit, f64::from(u8::from(self.labels[row])));
                }
            }
            Ok(loss)
        };
        let mut best: Option<(f64, f64)> = None;
        for &lambda in lambdas {
            let loss = loss_of(lambda)?;
            let better = |&(least, chosen): &(f64, f64)| {
                loss < least || (loss.total_cmp(&least).is_eq() && lambda > chosen)
            };
            if best.as_ref().is_none_or(better) {
                best = Some((loss, lambda));
            }
        }
        best.map(|(_, lambda)| lambda).ok_or(Undefined::Empty)
    }

    /// Fits on the known clusters that are not held out; (row, logit) of the rows that are.
    fn held_out_logits(
        &self,
        held_out: &dyn Fn(usize) -> bool,
        known: &dyn Fn(usize) -> bool,
        lambda: f64,
    ) -> Result<Vec<(usize, f64)>, Undefined> {
        let ids = self.clusters.ids();
        let training: Vec<usize> =
            (0..ids.len()).filter(|&row| known(ids[row]) && !held_out(ids[row])).collect();
        let labels: Vec<bool> = training.iter().map(|&row| self.labels[row]).collect();
        let model = Logistic::fit(&self.features.select(&training)?, &labels, lambda)?;
        let scored = (0..ids.len()).filter(|&row| held_out(ids[row]));
        Ok(scored.map(|row| (row, model.logit(self.features.row(row)))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auroc::auroc;

    /// Three rows in each cluster; the first feature moves the label, the second is shared by the cluster.
    fn sample(seed: u64) -> (Features, Vec<bool>, Clusters) {
        let mut stream = Stream::new(seed, Purpose::Permutation, 20);
        let (mut values, mut labels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for cluster in 0..60 {
            let ease = stream.normal();
            for _ in 0..3 {
                let x = stream.normal() + ease;
                values.extend([x, ease]);
                labels.push(2.0 * x + stream.normal() > 0.0);
                ids.push(cluster);
            }
        }
        (Features::new(2, values).unwrap(), labels, Clusters::new(ids, 60).unwrap())
    }

    #[test]
    fn a_cluster_is_never_torn_apart() {
        let (features, labels, clusters) = sample(1);
        let folds = NestedFolds::default();
        let scored = out_of_fold(&features, &labels, &clusters, &[0.1, 1.0, 10.0], &folds).unwrap();
        assert!(scored.folds.chunks(3).all(|rows| rows.iter().all(|&fold| fold == rows[0])));
        assert_eq!(scored.lambdas.len(), 5);
        assert!(auroc(&scored.logits, &labels).unwrap().value > 0.8);
    }

    #[test]
    fn folds_have_equal_sizes() {
        let folds = assign_folds(23, 5, 9).unwrap();
        for fold in 0..5 {
            let size = folds.iter().filter(|&&f| f == fold).count();
            assert!(size == 4 || size == 5);
        }
        assert_eq!(assign_folds(3, 5, 0), Err(Undefined::TooFew { needed: 5, found: 3 }));
        assert_eq!(assign_folds(3, 1, 0), Err(Undefined::TooFew { needed: 2, found: 1 }));
    }

    #[test]
    fn labels_of_a_held_out_cluster_do_not_matter_to_it() {
        let (features, labels, clusters) = sample(2);
        let folds = NestedFolds::default();
        let before = out_of_fold(&features, &labels, &clusters, &[1.0], &folds).unwrap();
        // Two labels of one cluster change places, so that the dealing stays as it is.
        let row = (0..labels.len()).step_by(3).find(|&row| labels[row] != labels[row + 1]).unwrap();
        let mut changed = labels.clone();
        changed.swap(row, row + 1);
        let after = out_of_fold(&features, &changed, &clusters, &[1.0], &folds).unwrap();
        assert!((before.logits[row] - after.logits[row]).abs() < 1e-15);
        assert!(before.logits != after.logits);
    }

    #[test]
    fn folds_have_equal_shares_of_positives() {
        let labels: Vec<bool> = (0..100).map(|row| row % 4 == 0).collect();
        let rates = positive_rates(&labels, &Clusters::singletons(100));
        let folds = assign_even_folds(&rates, 5, 2).unwrap();
        for fold in 0..5 {
            let positive = (0..100).filter(|&row| folds[row] == fold && labels[row]).count();
            let all = folds.iter().filter(|&&f| f == fold).count();
            assert_eq!((positive, all), (5, 20));
        }
    }

    /// On noise: mean areas of pooled logits and of ranks within folds, and how often the interval of the latter misses 0.5.
    fn noise(n_rows: usize, n_positive: usize, simulations: u64) -> (f64, f64, f64) {
        let clusters = Clusters::singletons(n_rows);
        let (mut pooled, mut within, mut missed) = (0.0, 0.0, 0);
        for seed in 0..simulations {
            let mut stream = Stream::new(seed, Purpose::Permutation, 22);
            let features = Features::new(8, (0..n_rows * 8).map(|_| stream.normal()).collect()).unwrap();
            let labels: Vec<bool> = (0..n_rows).map(|row| row < n_positive).collect();
            let folds = NestedFolds { inner: 2, seed, ..NestedFolds::default() };
            let scored = out_of_fold(&features, &labels, &clusters, &[10.0], &folds).unwrap();
            let area = scored.against_chance(&labels, &clusters, Level::P95).unwrap().estimate;
            pooled += auroc(&scored.logits, &labels).unwrap().value;
            within += area.value;
            missed += usize::from(!area.interval.contains(0.5));
        }
        let n = simulations as f64;
        (pooled / n, within / n, missed as f64 / n)
    }

    #[test]
    fn noise_is_no_better_and_no_worse_than_chance() {
        // 400 simulations: the mean has standard error 0.004 or less; P(Binomial(400, 0.05) > 36) = 0.0006.
        for (n_rows, n_positive) in [(60, 30), (100, 75), (200, 150)] {
            let (pooled, within, missed) = noise(n_rows, n_positive, 400);
            println!(
                "{n_positive} of {n_rows}: pooled {pooled:.3}, within folds {within:.3}, missed {missed:.3}"
            );
            assert!((within - 0.5).abs() < 0.02, "{n_positive} of {n_rows}: {within}");
            assert!(missed <= 0.09, "{n_positive} of {n_rows}: {missed}");
        }
    }

    #[test]
    fn noise_adds_nothing_to_a_useful_score() {
        // The first of eight features is the baseline, and all that there is to know. 400 simulations as above, one tail of 2.5 %:
        // P(Binomial(400, 0.025) > 22) = 0.0004.
        let (n_rows, clusters) = (150, Clusters::singletons(150));
        let mut better = 0;
        for seed in 0..400 {
            let mut stream = Stream::new(seed, Purpose::Permutation, 23);
            let values: Vec<f64> = (0..n_rows * 8).map(|_| stream.normal()).collect();
            let labels: Vec<bool> =
                values.iter().step_by(8).map(|x| x + 1.5 * stream.normal() > -0.5).collect();
            let baseline: Vec<f64> = values.iter().step_by(8).copied().collect();
            let folds = NestedFolds { inner: 2, seed, ..NestedFolds::default() };
            let features = Features::new(8, values).unwrap();
            let scored = out_of_fold(&features, &labels, &clusters, &[10.0], &folds).unwrap();
            let compared = scored.compare(&baseline, &labels, &clusters, Level::P95).unwrap();
            better += usize::from(compared.difference.interval.low > 0.0);
        }
        println!("noise beats the baseline in {better} of 400");
        assert!(better <= 22, "{better}");
    }

    #[test]
    fn noise_prefers_the_strong_penalty() {
        let mut stream = Stream::new(3, Purpose::Permutation, 21);
        let features = Features::new(20, (0..100 * 20).map(|_| stream.normal()).collect()).unwrap();
        let labels: Vec<bool> = (0..100).map(|_| stream.uniform() < 0.5).collect();
        let clusters = Clusters::singletons(100);
        let folds = NestedFolds::default();
        let scored = out_of_fold(&features, &labels, &clusters, &[1e-3, 1e3], &folds).unwrap();
        assert!(scored.lambdas.iter().all(|&lambda| lambda > 1.0));
    }
}
