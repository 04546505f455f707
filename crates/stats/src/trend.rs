//! Trends over ordered conditions, and monotone association.
//!
//! * [`page`]: Page's L = sum_j j R_j over conditions j = 1..k, R_j the sum over blocks of the midrank of condition j within
//!   its block. Tests whether values rise with j; a block is one cluster, blocks are independent. For a fall, negate
//!   the values. The null distribution permutes each block and is conditional on its ties: exact for at most 8
//!   conditions and 20 blocks, otherwise normal with mean n k (k+1)^2 / 4 and variance
//!   sum over blocks of sum_j (j - mean)^2 sum_j (rank - mean)^2 / (k - 1), which is Page's n k^2 (k+1)(k^2-1)/144 without
//!   ties.
//! * [`spearman`]: correlation of midranks, two-sided p from t = r sqrt((n-2)/(1-r^2)) with n - 2 degrees of freedom, for
//!   independent rows; [`spearman_bootstrap`] gives an interval for rows in clusters.
//!
//! Blocks without any value missing are needed. Where all blocks are constant, or a variable is, there is no trend to
//! speak of: [`Undefined::ConstantScore`].
//! Source: Page 1963, J. Am. Stat. Assoc. 58; Hollander, Wolfe and Chicken 2014, sec. 7.2 and 8.5.

use crate::bootstrap::{self, Resampling};
use crate::cluster::Clusters;
use crate::distribution::{normal_sf, t_two_sided};
use crate::interval::Estimate;
use crate::rank::{all_tied, ascending, midranks, tie_runs};
use crate::undefined::{Undefined, check_count, check_finite, check_paired};

const EXACT_CONDITIONS: usize = 8;
const EXACT_BLOCKS: usize = 20;

/// How the p-value of Page's test was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageMethod {
    /// From all permutations within blocks.
    Exact,
    /// From the normal approximation, corrected for ties.
    Normal,
}

/// Page's test against a rising trend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageTest {
    /// L.
    pub statistic: f64,
    /// P(L at least as large), one-sided.
    pub p_value: f64,
    /// Where the p-value comes from.
    pub method: PageMethod,
    /// Number of blocks.
    pub n_blocks: usize,
    /// Number of ordered conditions.
    pub n_conditions: usize,
}

/// Spearman's rank correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spearman {
    /// Correlation of the midranks, in [-1, 1].
    pub rho: f64,
    /// Two-sided p-value by the t approximation; 0 for a correlation of 1 or -1.
    pub p_value: f64,
    /// Number of rows.
    pub n: usize,
}

/// Page's test; each block holds one value for each condition, in the order predicted to rise.
pub fn page(blocks: &[Vec<f64>]) -> Result<PageTest, Undefined> {
    let exact = blocks.len() <= EXACT_BLOCKS && blocks.first().is_some_and(|b| b.len() <= EXACT_CONDITIONS);
    page_by(blocks, if exact { PageMethod::Exact } else { PageMethod::Normal })
}

/// What each block adds to L beyond its expectation under exchangeable conditions: sum_j j R_j - k (k+1)^2 / 4.
///
/// Page's p-value takes the values of a block as exchangeable under the null hypothesis. Values of a walk are not: neighbours are
/// alike, L spreads more, and the p-value is too small. The contributions of blocks are independent of each other whatever happens
/// within a block, so a test of their mean against zero (`crate::interval::t_mean`) does not need that assumption.
pub fn page_contributions(blocks: &[Vec<f64>]) -> Result<Vec<f64>, Undefined> {
    let n_conditions = blocks.first().ok_or(Undefined::Empty)?.len();
    check_count(n_conditions, 2)?;
    let k = n_conditions as f64;
    let expected = k * (k + 1.0) * (k + 1.0) / 4.0;
    let contribution = |block: &Vec<f64>| {
        check_paired(n_conditions, block.len())?;
        check_finite(block)?;
        let l: f64 = midranks(block).iter().zip(1..).map(|(rank, j)| rank * f64::from(j)).sum();
        Ok(l - expected)
    };
    blocks.iter().map(contribution).collect()
}

/// Page's test by a given method; the exact one costs 2^conditions, so 8 conditions are its limit.
fn page_by(blocks: &[Vec<f64>], method: PageMethod) -> Result<PageTest, Undefined> {
    let n_conditions = blocks.first().ok_or(Undefined::Empty)?.len();
    check_count(n_conditions, 2)?;
    for block in blocks {
        check_paired(n_conditions, block.len())?;
        check_finite(block)?;
    }
    if blocks.iter().all(|block| all_tied(block)) {
        return Err(Undefined::ConstantScore);
    }
    let ranks: Vec<Vec<f64>> = blocks.iter().map(|block| midranks(block)).collect();
    let statistic = ranks.iter().flat_map(|block| block.iter().zip(1..)).map(|(r, j)| r * f64::from(j)).sum();
    let p_value = match method {
        PageMethod::Exact => exact_tail(&ranks, statistic),
        PageMethod::Normal => normal_tail(&ranks, n_conditions, statistic),
    };
    Ok(PageTest { statistic, p_value, method, n_blocks: blocks.len(), n_conditions })
}

/// P(L >= statistic) by convolving the blocks' permutation distributions; twice a midrank is an integer.
fn exact_tail(ranks: &[Vec<f64>], statistic: f64) -> f64 {
    let mut distribution = vec![1.0];
    for block in ranks {
        distribution = convolve(&distribution, &block_distribution(block));
    }
    let observed = (2.0 * statistic).round() as usize;
    distribution[observed..].iter().sum::<f64>().min(1.0)
}

/// P(2 L = index) for one block: subsets of its ranks are dealt to the conditions 1, 2, ... in turn.
fn block_distribution(ranks: &[f64]) -> Vec<f64> {
    let twice: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank).round() as usize).collect();
    let k = ranks.len();
    let size = k * (k + 1) * (2 * k + 1) / 3 + 1;
    let mut dealt = vec![Vec::new(); 1 << k];
    dealt[0] = vec![0.0; size];
    dealt[0][0] = 1.0;
    for subset in 0..dealt.len() {
        let condition = subset.count_ones() as usize + 1;
        let here = std::mem::take(&mut dealt[subset]);
        if condition > k {
            return here;
        }
        let share = 1.0 / (k + 1 - condition) as f64;
        for item in (0..k).filter(|item| subset >> item & 1 == 0) {
            let next = &mut dealt[subset | 1 << item];
            next.resize(size, 0.0);
            let step = condition * twice[item];
            for (sum, probability) in here.iter().enumerate().filter(|(_, probability)| **probability > 0.0) {
                next[sum + step] += share * probability;
            }
        }
    }
    Vec::new()
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        for (slot, y) in out[i..].iter_mut().zip(b) {
            *slot += x * y;
        }
    }
    out
}

/// P(L >= statistic) by the normal approximation.
fn normal_tail(ranks: &[Vec<f64>], n_conditions: usize, statistic: f64) -> f64 {
    let k = n_conditions as f64;
    let center = 0.5 * (k + 1.0);
    let expected = ranks.len() as f64 * k * center * center;
    let positions = (k * k * k - k) / 12.0;
    let spread: f64 = ranks.iter().flatten().map(|rank| (rank - center).powi(2)).sum();
    normal_sf((statistic - expected) / (positions * spread / (k - 1.0)).sqrt())
}

/// Spearman's correlation of independent rows; needs three.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Spearman, Undefined> {
    check_variables(x, y)?;
    let n = x.len();
    check_count(n, 3)?;
    let rho = correlation(&midranks(x), &midranks(y), &vec![1.0; n]).ok_or(Undefined::ConstantScore)?;
    let dof = (n - 2) as f64;
    let rest = (1.0 - rho) * (1.0 + rho);
    let p_value = if rest <= 0.0 { 0.0 } else { t_two_sided(rho * (dof / rest).sqrt(), dof) };
    Ok(Spearman { rho, p_value, n })
}

/// Spearman's correlation with an interval from the cluster bootstrap.
pub fn spearman_bootstrap(
    x: &[f64],
    y: &[f64],
    clusters: &Clusters,
    resampling: &Resampling,
) -> Result<Estimate, Undefined> {
    check_variables(x, y)?;
    check_paired(x.len(), clusters.n_rows())?;
    let (along_x, along_y) = (Ranking::new(x), Ranking::new(y));
    bootstrap::statistic(clusters.count(), resampling, |multiplicities| {
        let weights: Vec<f64> = clusters.ids().iter().map(|&id| f64::from(multiplicities[id])).collect();
        correlation(&along_x.midranks(&weights), &along_y.midranks(&weights), &weights)
    })
}

fn check_variables(x: &[f64], y: &[f64]) -> Result<(), Undefined> {
    check_paired(x.len(), y.len())?;
    check_finite(x)?;
    check_finite(y)?;
    if all_tied(x) || all_tied(y) { Err(Undefined::ConstantScore) } else { Ok(()) }
}

/// Weighted correlation, in [-1, 1]; `None` where a variable has no variance.
fn correlation(x: &[f64], y: &[f64], weights: &[f64]) -> Option<f64> {
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for ((x, y), w) in x.iter().zip(y).zip(weights) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += w * dx * dx;
        yy += w * dy * dy;
        xy += w * dx * dy;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// A variable sorted once, for the midranks of any resample.
struct Ranking {
    order: Vec<usize>,
    runs: Vec<std::ops::Range<usize>>,
}

impl Ranking {
    fn new(values: &[f64]) -> Self {
        let order = ascending(values);
        let runs = tie_runs(values, &order);
        Self { order, runs }
    }

    /// Midranks of the rows when row i is counted `weights[i]` times.
    fn midranks(&self, weights: &[f64]) -> Vec<f64> {
        let mut ranks = vec![0.0; weights.len()];
        let mut below = 0.0;
        for run in &self.runs {
            let rows = &self.order[run.clone()];
            let here: f64 = rows.iter().map(|&row| weights[row]).sum();
            for &row in rows {
                ranks[row] = below + 0.5 * (here + 1.0);
            }
            below += here;
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Purpose, Stream};

    #[test]
    fn a_perfect_rise_has_the_probability_of_one_order() {
        let blocks = vec![vec![0.1, 0.2, 0.7, 0.9]; 3];
        let test = page(&blocks).unwrap();
        assert_eq!((test.method, test.n_blocks, test.n_conditions), (PageMethod::Exact, 3, 4));
        assert!((test.statistic - 90.0).abs() < 1e-12);
        assert!((test.p_value - 24_f64.powi(-3)).abs() < 1e-15);
        let falling: Vec<Vec<f64>> = blocks.iter().map(|b| b.iter().map(|x| -x).collect()).collect();
        assert!((page(&falling).unwrap().p_value - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_are_permuted_exactly() {
        // Ranks 1, 2.5, 2.5: one of three places for the rank 1, so the largest L has probability 1/3.
        let test = page(&[vec![0.0, 1.0, 1.0]]).unwrap();
        assert!((test.p_value - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn normal_and_exact_tails_agree_with_enough_blocks() {
        let mut stream = Stream::new(8, Purpose::Permutation, 30);
        let blocks: Vec<Vec<f64>> = (0..20)
            .map(|_| (0..6).map(|j| (0.08 * f64::from(j) + stream.normal()).round()).collect())
            .collect();
        let exact = page_by(&blocks, PageMethod::Exact).unwrap().p_value;
        let normal = page_by(&blocks, PageMethod::Normal).unwrap().p_value;
        assert!((exact - normal).abs() < 0.1 * exact, "{exact} {normal}");
    }

    #[test]
    fn long_curves_use_the_normal_tail() {
        let blocks = vec![(0..9).map(f64::from).collect::<Vec<f64>>(); 2];
        assert_eq!(page(&blocks).unwrap().method, PageMethod::Normal);
    }

    #[test]
    fn nothing_to_rank_is_said() {
        assert_eq!(page(&[]), Err(Undefined::Empty));
        assert_eq!(page(&[vec![1.0]]), Err(Undefined::TooFew { needed: 2, found: 1 }));
        assert_eq!(page(&[vec![1.0, 1.0]]), Err(Undefined::ConstantScore));
        let ragged = page(&[vec![1.0, 2.0], vec![1.0]]);
        assert_eq!(ragged, Err(Undefined::LengthMismatch { left: 2, right: 1 }));
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), Err(Undefined::ConstantScore));
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), Err(Undefined::TooFew { needed: 3, found: 2 }));
    }

    #[test]
    fn clustered_correlation_brackets_the_plain_one() {
        let mut stream = Stream::new(2, Purpose::Permutation, 31);
        let x: Vec<f64> = (0..120).map(|_| (3.0 * stream.normal()).round()).collect();
        let y: Vec<f64> = x.iter().map(|x| x + 4.0 * stream.normal()).collect();
        let clusters = Clusters::new((0..120).map(|row| row / 3).collect(), 40).unwrap();
        let plain = spearman(&x, &y).unwrap();
        let clustered = spearman_bootstrap(&x, &y, &clusters, &Resampling::default()).unwrap();
        assert!((plain.rho - clustered.value).abs() < 1e-12);
        assert!(clustered.interval.contains(plain.rho) && clustered.interval.width() < 0.5);
    }

    #[test]
    fn a_monotone_relation_is_one() {
        let x: Vec<f64> = (0..10).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| x.powi(3)).collect();
        let relation = spearman(&x, &y).unwrap();
        assert!((relation.rho - 1.0).abs() < 1e-15 && relation.p_value < 1e-30);
    }

    #[test]
    fn contributions_add_up_to_the_statistic() {
        let blocks = [vec![1.0, 2.0, 3.0], vec![0.5, 0.5, 0.1], vec![2.0, 1.0, 3.0]];
        let contributions = page_contributions(&blocks).unwrap();
        let expected = 3.0 * 3.0 * 16.0 / 4.0;
        let total: f64 = contributions.iter().sum();
        assert!((total + expected - page(&blocks).unwrap().statistic).abs() < 1e-12);
        assert!((contributions[0] - 2.0).abs() < 1e-12, "the largest possible for three conditions");
        assert_eq!(page_contributions(&[]), Err(Undefined::Empty));
    }
}
