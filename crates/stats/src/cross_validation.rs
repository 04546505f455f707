//! Folds by cluster, and out-of-fold scores of a logistic regression by nested cross-validation.
//!
//! Clusters are shuffled by a seeded stream and dealt to the folds in turn; all rows of a cluster share its fold. For
//! each outer fold, the penalty is chosen by the summed log-loss over inner folds of the remaining clusters (equal
//! losses: the larger penalty), the model is refitted on all of them and scores the rows of the outer fold. No row is
//! scored by a model that saw its cluster, neither for the weights nor for the penalty.
//!
//! A training set with one class only gives [`Undefined::SingleClass`]: use fewer folds.
//! Source: Stone 1974; Varma and Simon 2006, BMC Bioinform. 7 (nesting).

use rayon::prelude::*;

use crate::cluster::Clusters;
use crate::logistic::{Features, Logistic, log_loss, sigmoid};
use crate::stream::{Purpose, Stream};
use crate::undefined::{Undefined, check_count, check_paired};

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

/// The fold of each cluster; sizes differ by at most one.
pub fn assign_folds(n_clusters: usize, n_folds: usize, seed: u64) -> Result<Vec<usize>, Undefined> {
    let clusters: Vec<usize> = (0..n_clusters).collect();
    let mut folds = vec![0; n_clusters];
    for (cluster, fold) in deal(clusters, n_folds, &mut Stream::new(seed, Purpose::Folds, 0))? {
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
    let data = Data { features, labels, clusters };
    let fold_of_cluster = assign_folds(clusters.count(), folds.outer, folds.seed)?;
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

/// Pairs of (cluster, fold), the clusters in random order and the folds in turn.
fn deal(
    mut clusters: Vec<usize>,
    n_folds: usize,
    stream: &mut Stream,
) -> Result<Vec<(usize, usize)>, Undefined> {
    check_count(n_folds, 2)?;
    check_count(clusters.len(), n_folds)?;
    stream.shuffle(&mut clusters);
    Ok(clusters.into_iter().zip((0..n_folds).cycle()).collect())
}

/// Labelled rows in clusters.
struct Data<'a> {
    features: &'a Features,
    labels: &'a [bool],
    clusters: &'a Clusters,
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
        for (cluster, fold) in deal(training, n_folds, stream)? {
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
        let mut changed = labels.clone();
        changed[0] = !changed[0];
        let after = out_of_fold(&features, &changed, &clusters, &[1.0], &folds).unwrap();
        assert!((before.logits[0] - after.logits[0]).abs() < 1e-15);
        assert!(before.logits != after.logits);
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
