//! Trends over ordered conditions.
//!
//! * [`page`]: Page's L = sum_j j R_j over conditions j = 1..k, R_j the sum over blocks of the midrank of condition j within
//!   its block. Tests whether values rise with j; a block is one cluster, blocks are independent. For a fall, negate
//!   the values. The null distribution permutes each block and is conditional on its ties: exact for at most 8
//!   conditions and 20 blocks, otherwise normal with mean n k (k+1)^2 / 4 and variance
//!   sum over blocks of sum_j (j - mean)^2 sum_j (rank - mean)^2 / (k - 1), which is Page's n k^2 (k+1)(k^2-1)/144 without
//!   ties.
//!
//! Blocks without any value missing are needed. Where all blocks are constant, or a variable is, there is no trend to
//! speak of: [`Undefined::ConstantScore`].
//! Source: Page 1963, J. Am. Stat. Assoc. 58; Hollander, Wolfe and Chicken 2014, sec. 7.2 and 8.5.

use crate::distribution::normal_sf;
use crate::rank::{all_tied, midranks};
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

/// Page's test; each block holds one value for each condition, in the order predicted to rise.
pub fn page(blocks: &[Vec<f64>]) -> Result<PageTest, Undefined> {
    let exact = blocks.len() <= EXACT_BLOCKS && blocks.first().is_some_and(|b| b.len() <= EXACT_CONDITIONS);
    page_by(blocks, if exact { PageMethod::Exact } else { PageMethod::Normal })
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
    }
}
