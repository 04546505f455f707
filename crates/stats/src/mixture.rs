//! Mixtures of experts with adjustable variants, fitted by maximum likelihood and judged on clusters that the fit has not seen.
//!
//! An [`Expert`] gave every row a likelihood (the probability it had given to what happened), in one or more variants, such as the same
//! forecast at several temperatures. A mixture picks one variant of each expert and weighs them:
//!
//!   f(row) = Σ_e w_e L_e(row, v_e),   w on the simplex.
//!
//! [`fit`] maximises Σ_rows weight · ln f(row) + ½ Σ_e ln w_e. The last term is half an observation for every expert: it keeps all weights
//! above zero, so that one row that a dropped expert alone had foreseen does not cost everything. For given variants the objective is
//! concave and its maximum is found by expectation maximisation; variants are chosen one expert at a time, from the given start, until no
//! choice changes.
//!
//! [`cross_fitted`] gives the log-density of every row under mixtures that were fitted without its cluster: clusters are dealt to folds by a
//! seeded stream, several times, and the logarithms averaged over the repetitions.
//!
//! Means of such values, and mean differences between nested families, are means over clusters whose spread has two parts. The values
//! themselves spread with s²/n. The fit adds nothing to first order, since at the maximum the expected log-density does not change with the
//! weights (the envelope theorem), but the weights of a fold's mixture multiply the scores of the rows that it judges: a term of mean zero and
//! variance p/(n·m), with p weights that the data decide and m clusters in each fit ([`CrossFitted::fit_variance`]). It matters where values
//! hardly spread and for few clusters: without it nominal 95 % intervals cover 86 % of forty, with it 95 %. The expectation is below that
//! of the best member of the family by about p/(2n), which errs on the cautious side for the richer of two families.
//!
//! Source: Dempster, Laird and Rubin 1977 (EM); Chernozhukov et al. 2018, Econom. J. 21 (cross-fitting).

use rayon::prelude::*;

use crate::cluster::Clusters;
use crate::cross_validation::assign_folds;
use crate::undefined::{Undefined, check_count, check_finite, check_paired};

/// Floor of f; a row that no expert allows costs ln of it in every family alike.
const LEAST_DENSITY: f64 = 1e-300;

/// Observations that every expert is credited with before any is seen.
const PRIOR_COUNT: f64 = 0.5;

/// Steps of expectation maximisation while variants are compared, and at most for the final weights.
const SEARCH_STEPS: usize = 12;
const FINAL_STEPS: usize = 200;

/// Largest change of a weight at which the final weights stand.
const CONVERGED: f64 = 1e-7;

/// Weights that the data decide in the gain of one expert, and its weight from which all of them count.
const FITTED_WEIGHTS: f64 = 2.0;
const DECIDED_WEIGHT: f64 = 0.25;

/// Passes over all experts in search of better variants.
const MOST_PASSES: usize = 5;

/// What one expert gave to each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Expert {
    n_rows: usize,
    n_variants: usize,
    /// `[variants, rows]`.
    likelihoods: Vec<f64>,
    start: usize,
}

impl Expert {
    /// From likelihoods `[rows, variants]`, each ≥ 0, and the variant at which the search starts.
    pub fn new(n_variants: usize, likelihoods: Vec<f64>, start: usize) -> Result<Self, Undefined> {
        check_count(n_variants, start + 1)?;
        check_paired(likelihoods.len() / n_variants * n_variants, likelihoods.len())?;
        check_finite(&likelihoods)?;
        if let Some(index) = likelihoods.iter().position(|likelihood| *likelihood < 0.0) {
            return Err(Undefined::OutOfRange { index });
        }
        let n_rows = likelihoods.len() / n_variants;
        let of_variant = |variant: usize| likelihoods.iter().skip(variant).step_by(n_variants);
        let likelihoods = (0..n_variants).flat_map(of_variant).copied().collect();
        Ok(Self { n_rows, n_variants, likelihoods, start })
    }

    /// An expert without variants.
    pub fn fixed(likelihoods: Vec<f64>) -> Result<Self, Undefined> {
        Self::new(1, likelihoods, 0)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn likelihood(&self, row: usize, variant: usize) -> f64 {
        self.likelihoods[variant * self.n_rows + row]
    }

    /// The likelihoods of some rows.
    fn column(&self, rows: &[usize], variant: usize) -> Column {
        let likelihoods = &self.likelihoods[variant * self.n_rows..(variant + 1) * self.n_rows];
        in_blocks(rows.iter().map(|&row| likelihoods[row]))
    }
}

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// The variant of each expert.
    pub variants: Vec<usize>,
    /// The weight of each expert; they sum to one.
    pub weights: Vec<f64>,
}

impl Mixture {
    /// ln f(row).
    pub fn log_density(&self, experts: &[&Expert], row: usize) -> f64 {
        let parts = experts.iter().zip(&self.variants).zip(&self.weights);
        parts
            .map(|((expert, &variant), weight)| weight * expert.likelihood(row, variant))
            .sum::<f64>()
            .max(LEAST_DENSITY)
            .ln()
    }
}

/// How clusters are dealt to folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folding {
    /// Number of folds, at least two; fewer where there are not as many clusters.
    pub folds: usize,
    /// Number of times that clusters are dealt anew.
    pub repetitions: usize,
    /// Start of the random streams.
    pub seed: u64,
}

/// The mixture that maximises the penalised likelihood of some rows, each with a weight ≥ 0.
pub fn fit(experts: &[&Expert], rows: &[usize], row_weights: &[f64]) -> Result<Mixture, Undefined> {
    check_count(experts.len(), 1)?;
    check_count(rows.len(), 1)?;
    check_paired(rows.len(), row_weights.len())?;
    let mut search = Search::new(experts, rows, row_weights);
    search.choose_variants();
    search.settle();
    Ok(Mixture { variants: search.variants, weights: search.weights })
}

/// What mixtures that did not see a row's cluster say about the row.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossFitted {
    /// For every row the mean over repetitions of ln f.
    pub log_densities: Vec<f64>,
    /// The mean weight of each expert over all fits.
    pub weights: Vec<f64>,
    n_clusters: usize,
    n_folds: usize,
}

impl CrossFitted {
    /// Variance that fitting adds to the mean gain of these mixtures over those without the expert at a position: p/(n·m) with p = 2, and
    /// less where that expert's weight is next to zero, for then the two mixtures agree.
    pub fn fit_variance(&self, expert: usize) -> f64 {
        let n = self.n_clusters as f64;
        let n_in_fit = n * (1.0 - 1.0 / self.n_folds as f64);
        FITTED_WEIGHTS * (self.weights[expert] / DECIDED_WEIGHT).min(1.0) / (n * n_in_fit)
    }
}

/// Fits mixtures without the clusters that they judge. Every cluster has the same total weight.
pub fn cross_fitted(
    experts: &[&Expert],
    clusters: &Clusters,
    folding: &Folding,
) -> Result<CrossFitted, Undefined> {
    let n_rows = clusters.n_rows();
    for expert in experts {
        check_paired(n_rows, expert.n_rows())?;
    }
    check_count(folding.repetitions, 1)?;
    let (present, row_weights) = present_and_weights(clusters);
    check_count(present.len(), 2)?;
    let n_folds = folding.folds.clamp(2, present.len());
    let (mut log_densities, mut weights) = (vec![0.0; n_rows], vec![0.0; experts.len()]);
    for repetition in 0..folding.repetitions {
        let seed = folding.seed.wrapping_add(repetition as u64);
        let fold_of = fold_of_row(clusters, &present, n_folds, seed)?;
        let fitted = |fold: usize| {
            let seen: Vec<usize> = (0..n_rows).filter(|&row| fold_of[row] != fold).collect();
            let seen_weights: Vec<f64> = seen.iter().map(|&row| row_weights[row]).collect();
            fit(experts, &seen, &seen_weights)
        };
        let mixtures: Vec<Mixture> = (0..n_folds).into_par_iter().map(fitted).collect::<Result<_, _>>()?;
        for (row, &fold) in fold_of.iter().enumerate() {
            log_densities[row] += mixtures[fold].log_density(experts, row) / folding.repetitions as f64;
        }
        let n_fits = (n_folds * folding.repetitions) as f64;
        for mixture in &mixtures {
            weights.iter_mut().zip(&mixture.weights).for_each(|(mean, weight)| *mean += weight / n_fits);
        }
    }
    Ok(CrossFitted { log_densities, weights, n_clusters: present.len(), n_folds })
}

/// The clusters that have rows, and for each row one over the number of rows of its cluster.
fn present_and_weights(clusters: &Clusters) -> (Vec<usize>, Vec<f64>) {
    let mut sizes = vec![0_usize; clusters.count()];
    clusters.ids().iter().for_each(|&cluster| sizes[cluster] += 1);
    let present = (0..sizes.len()).filter(|&cluster| sizes[cluster] > 0).collect();
    (present, clusters.ids().iter().map(|&cluster| 1.0 / sizes[cluster] as f64).collect())
}

fn fold_of_row(
    clusters: &Clusters,
    present: &[usize],
    n_folds: usize,
    seed: u64,
) -> Result<Vec<usize>, Undefined> {
    let mut fold_of_cluster = vec![0; clusters.count()];
    for (&cluster, fold) in present.iter().zip(assign_folds(present.len(), n_folds, seed)?) {
        fold_of_cluster[cluster] = fold;
    }
    Ok(clusters.ids().iter().map(|&cluster| fold_of_cluster[cluster]).collect())
}

/// Rows that are computed together.
const TOGETHER: usize = 16;

/// A number for each row. The last block is filled up with zeros, which add nothing to any sum.
type Column = Vec<[f64; TOGETHER]>;

fn in_blocks(values: impl ExactSizeIterator<Item = f64>) -> Column {
    let mut blocks = vec![[0.0; TOGETHER]; values.len().div_ceil(TOGETHER)];
    blocks.as_flattened_mut().iter_mut().zip(values).for_each(|(place, value)| *place = value);
    blocks
}

/// The state of a fit.
struct Search<'a> {
    experts: &'a [&'a Expert],
    rows: &'a [usize],
    row_weights: Column,
    variants: Vec<usize>,
    weights: Vec<f64>,
    /// Likelihoods at the chosen variants, for each expert.
    columns: Vec<Column>,
    /// Variants that were found to be better.
    n_better: usize,
    /// For each variant of each expert, [`Self::n_better`] when it was found to be no better: until another is, it need not be tried again.
    failed_at: Vec<Vec<Option<usize>>>,
}

impl<'a> Search<'a> {
    fn new(experts: &'a [&'a Expert], rows: &'a [usize], row_weights: &[f64]) -> Self {
        let weights = vec![1.0 / experts.len() as f64; experts.len()];
        Self {
            experts,
            rows,
            row_weights: in_blocks(row_weights.iter().copied()),
            variants: experts.iter().map(|expert| expert.start).collect(),
            weights,
            columns: experts.iter().map(|expert| expert.column(rows, expert.start)).collect(),
            n_better: 0,
            failed_at: experts.iter().map(|expert| vec![None; expert.n_variants]).collect(),
        }
    }

    fn choose_variants(&mut self) {
        let mut best = self.climb();
        for _ in 0..MOST_PASSES {
            let before = self.variants.clone();
            for expert in (0..self.experts.len()).filter(|&expert| self.experts[expert].n_variants > 1) {
                self.choose_variant(expert, &mut best);
            }
            if self.variants == before {
                break;
            }
        }
    }

    /// Tries every variant of one expert and keeps the best.
    fn choose_variant(&mut self, expert: usize, best: &mut f64) {
        for variant in 0..self.experts[expert].n_variants {
            let failed = self.failed_at[expert][variant] == Some(self.n_better);
            if failed || variant == self.variants[expert] {
                continue;
            }
            let tried = self.experts[expert].column(self.rows, variant);
            let old = (std::mem::replace(&mut self.columns[expert], tried), self.weights.clone());
            let value = self.climb();
            if value > *best {
                (*best, self.variants[expert]) = (value, variant);
                self.n_better += 1;
            } else {
                self.failed_at[expert][variant] = Some(self.n_better);
                (self.columns[expert], self.weights) = old;
            }
        }
    }

    /// Weights at the maximum for the chosen variants.
    fn settle(&mut self) {
        for _ in 0..FINAL_STEPS {
            let before = self.weights.clone();
            self.step();
            let change = before.iter().zip(&self.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if change < CONVERGED {
                break;
            }
        }
    }

    /// Some steps; the objective before the last of them.
    fn climb(&mut self) -> f64 {
        (1..SEARCH_STEPS).for_each(|_| self.step());
        let objective = self.objective();
        self.step();
        objective
    }

    fn objective(&self) -> f64 {
        let mut objective = self.weights.iter().map(|weight| PRIOR_COUNT * weight.ln()).sum();
        for (block, row_weights) in self.row_weights.iter().enumerate() {
            for (row_weight, density) in row_weights.iter().zip(self.densities(block)) {
                objective += row_weight * density.max(LEAST_DENSITY).ln();
            }
        }
        objective
    }

    /// A step of expectation maximisation.
    fn step(&mut self) {
        let mut shares = vec![PRIOR_COUNT; self.weights.len()];
        for (block, row_weights) in self.row_weights.iter().enumerate() {
            // What no expert allows gives no shares.
            let divisors = self
                .densities(block)
                .map(|density| if density <= LEAST_DENSITY { f64::INFINITY } else { density });
            for ((share, column), weight) in shares.iter_mut().zip(&self.columns).zip(&self.weights) {
                let mut parts = *row_weights;
                for ((part, likelihood), divisor) in parts.iter_mut().zip(&column[block]).zip(&divisors) {
                    *part = *part * weight * likelihood / divisor;
                }
                parts.iter().for_each(|part| *share += part);
            }
        }
        let total: f64 = shares.iter().sum();
        self.weights = shares.into_iter().map(|share| share / total).collect();
    }

    /// f of the rows of a block.
    #[inline(always)]
    fn densities(&self, block: usize) -> [f64; TOGETHER] {
        let mut densities = [0.0; TOGETHER];
        for (column, weight) in self.columns.iter().zip(&self.weights) {
            for (density, likelihood) in densities.iter_mut().zip(&column[block]) {
                *density += weight * likelihood;
            }
        }
        densities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{Level, t_mean};
    use crate::stream::{Purpose, Stream};

    /// Rows drawn from w·L_0 + (1 − w)·L_1 for a binary outcome with forecasts of two experts.
    fn drawn(n: usize, weight: f64, stream: &mut Stream) -> (Expert, Expert) {
        let mut likelihoods = [Vec::new(), Vec::new()];
        for _ in 0..n {
            let forecasts = [stream.uniform(), stream.uniform()];
            let truth = weight * forecasts[0] + (1.0 - weight) * forecasts[1];
            let happened = stream.uniform() < truth;
            for (expert, forecast) in likelihoods.iter_mut().zip(forecasts) {
                expert.push(if happened { forecast } else { 1.0 - forecast });
            }
        }
        let [first, second] = likelihoods;
        (Expert::fixed(first).unwrap(), Expert::fixed(second).unwrap())
    }

    fn fit_all(experts: &[&Expert]) -> Mixture {
        let rows: Vec<usize> = (0..experts[0].n_rows()).collect();
        fit(experts, &rows, &vec![1.0; rows.len()]).unwrap()
    }

    #[test]
    fn weights_of_a_mixture_are_found_again() {
        let mut stream = Stream::new(1, Purpose::Permutation, 90);
        let (first, second) = drawn(20_000, 0.7, &mut stream);
        let mixture = fit_all(&[&first, &second]);
        assert!((mixture.weights[0] - 0.7).abs() < 0.03, "{mixture:?}");
    }

    #[test]
    fn the_variant_that_fits_is_chosen() {
        // Two outcomes; the expert states q^4 where q is the truth.
        let mut stream = Stream::new(2, Purpose::Permutation, 91);
        let temperatures = [1.0, 2.0, 4.0, 8.0];
        let mut likelihoods = Vec::new();
        for _ in 0..5_000 {
            let truth = stream.uniform();
            let happened = stream.uniform() < truth;
            for temperature in temperatures {
                let powers = [truth, 1.0 - truth].map(|p: f64| p.powf(4.0 / temperature));
                likelihoods.push(powers[usize::from(!happened)] / (powers[0] + powers[1]));
            }
        }
        let sharp = Expert::new(4, likelihoods, 0).unwrap();
        let even = Expert::fixed(vec![0.5; 5_000]).unwrap();
        let mixture = fit_all(&[&sharp, &even]);
        assert_eq!(mixture.variants, [2, 0]);
        assert!(mixture.weights[0] > 0.95);
    }

    #[test]
    fn a_useless_expert_costs_next_to_nothing() {
        let mut stream = Stream::new(3, Purpose::Permutation, 92);
        let (useful, useless) = drawn(400, 1.0, &mut stream);
        let clusters = Clusters::singletons(400);
        let folding = Folding { folds: 5, repetitions: 2, seed: 0 };
        let alone = cross_fitted(&[&useful], &clusters, &folding).unwrap();
        let both = cross_fitted(&[&useful, &useless], &clusters, &folding).unwrap();
        let lost =
            alone.log_densities.iter().zip(&both.log_densities).map(|(a, b)| a - b).sum::<f64>() / 400.0;
        assert!(lost.abs() < 0.02, "{lost}");
        assert!(both.fit_variance(1) < both.fit_variance(0));
    }

    /// Forecasts of one of four outcomes: a prior, and a prior sharpened towards the truth, or towards anything in a share of the rows.
    fn informed(n: usize, wrong: f64, stream: &mut Stream) -> [Expert; 3] {
        let (mut after, mut before) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let mut logits: [f64; 4] = std::array::from_fn(|_| 0.8 * stream.normal());
            let softmax = |logits: &[f64; 4]| {
                let powers = logits.map(f64::exp);
                let total: f64 = powers.iter().sum();
                powers.map(|power| power / total)
            };
            let prior = softmax(&logits);
            let mut rest = stream.uniform();
            let truth = prior
                .iter()
                .position(|p| {
                    rest -= p;
                    rest < 0.0
                })
                .unwrap_or(3);
            let told = if stream.uniform() < wrong { stream.below(4) } else { truth };
            logits[told] += 2.0 + 0.5 * stream.normal();
            after.push(softmax(&logits)[truth]);
            before.push(prior[truth]);
        }
        [Expert::fixed(after).unwrap(), Expert::fixed(before).unwrap(), Expert::fixed(vec![0.25; n]).unwrap()]
    }

    /// The mean gain of the three over the last two, and half the width of its interval.
    fn gain(n: usize, wrong: f64, seed: u64) -> (f64, f64) {
        let [after, before, even] = informed(n, wrong, &mut Stream::new(seed, Purpose::Permutation, 93));
        let (clusters, folding) = (Clusters::singletons(n), Folding { folds: 5, repetitions: 2, seed });
        let all = cross_fitted(&[&after, &before, &even], &clusters, &folding).unwrap();
        let without = cross_fitted(&[&before, &even], &clusters, &folding).unwrap();
        let gains: Vec<f64> =
            all.log_densities.iter().zip(without.log_densities).map(|(a, b)| a - b).collect();
        let estimate = t_mean(&gains, Level::P95).unwrap();
        let spread = (estimate.standard_error.powi(2) + all.fit_variance(0)).sqrt();
        (estimate.value, Level::P95.t_point(n - 1) * spread)
    }

    /// The gain of the best mixture, known from a large sample, within the intervals of small ones.
    #[test]
    fn intervals_cover() {
        for (n, wrong) in [(40, 0.0), (120, 0.0), (120, 0.5)] {
            let truth = gain(100_000, wrong, 1).0;
            let covers = |seed: &u64| {
                let (value, half_width) = gain(n, wrong, 10 + seed);
                (value - truth).abs() <= half_width
            };
            let covered = (0..300).filter(covers).count();
            println!("{n} rows, {wrong} wrong: {covered} of 300");
            // 95 % of 300 is 285; fewer than 272 or more than 295 has probability 0.004 at 95 %.
            assert!((272..=295).contains(&covered), "{n} {wrong}: {covered}");
        }
    }

    #[test]
    fn clusters_count_alike_whatever_their_size() {
        let expert = Expert::fixed(vec![0.9, 0.9, 0.9, 0.1]).unwrap();
        let other = Expert::fixed(vec![0.1, 0.1, 0.1, 0.9]).unwrap();
        let rows = [0, 1, 2, 3];
        let even = fit(&[&expert, &other], &rows, &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0]).unwrap();
        assert!((even.weights[0] - 0.5).abs() < 1e-3, "{even:?}");
    }

    #[test]
    fn what_no_expert_allows_ends_nothing() {
        let expert = Expert::fixed(vec![0.0, 0.5, 0.5]).unwrap();
        let values = cross_fitted(
            &[&expert],
            &Clusters::singletons(3),
            &Folding { folds: 3, repetitions: 1, seed: 0 },
        )
        .unwrap();
        let values = values.log_densities;
        assert!((values[0] - LEAST_DENSITY.ln()).abs() < 1e-9 && (values[1] - 0.5_f64.ln()).abs() < 1e-9);
        assert!(Expert::fixed(vec![f64::NAN]).is_err() && Expert::new(2, vec![1.0; 3], 0).is_err());
    }
}
