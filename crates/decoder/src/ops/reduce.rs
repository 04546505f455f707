//! From logits over the vocabulary to what was asked of them.
//!
//! The output head runs on the rows that are asked for, a few million logits at a time; each row is reduced at once to its
//! log-sum-exp, entropy, sharpness, chosen log-probabilities, masses of token classes and most likely tokens. `[T, V]` logits are never
//! kept.
//!
//! With m the largest logit, S = Σ e^(x−m): log-sum-exp = m + ln S, H = ln S − Σ (x−m) e^(x−m) / S, and
//! KL(U‖p) = ln S − Σ (x−m) / V − ln V. Terms are float32, sums of blocks of 4,096 are added in float64.

use super::linear::Linear;
use candle_core::{DType, Result, Tensor};
use entrace_backend::sharpness::TOP_K;
use entrace_backend::{Sharpness, TokenClasses};
use entrace_kernels::exp::exp;
use entrace_kernels::vectorised;
use entrace_measure::TokenId;
use rayon::prelude::*;

/// The output head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    linear: Linear,
    softcap: Option<f32>,
    vocab_size: usize,
}

/// Logits that exist at one time.
const LOGITS_AT_ONCE: usize = 1 << 23;

impl Head {
    pub(crate) fn new(linear: Linear, softcap: Option<f64>) -> Result<Self> {
        let vocab_size = linear.out_dim()?;
        Ok(Self { linear, softcap: softcap.map(|cap| cap as f32), vocab_size })
    }

    /// Runs `f` on the logits of every row of `hidden` `[R, E]` (already normed), in parallel; results in row order.
    pub(crate) fn map_rows<T: Send>(
        &self,
        hidden: &Tensor,
        f: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let (n_rows, _) = hidden.dims2()?;
        let chunk = (LOGITS_AT_ONCE / self.vocab_size).max(1);
        let mut out = Vec::with_capacity(n_rows);
        for start in (0..n_rows).step_by(chunk) {
            let n = chunk.min(n_rows - start);
            let logits = self.linear.forward(&hidden.narrow(0, start, n)?)?.to_dtype(DType::F32)?;
            let logits = logits.to_device(&candle_core::Device::Cpu)?;
            let (storage, _) = logits.storage_and_layout();
            let candle_core::Storage::Cpu(storage) = &*storage else {
                candle_core::bail!("logits are not on the CPU")
            };
            let numbers = storage.as_slice::<f32>()?;
            let results =
                numbers.par_chunks_exact(self.vocab_size).enumerate().map(|(row, logits)| {
                    match self.softcap {
                        None => f(start + row, logits),
                        Some(cap) => {
                            let capped: Vec<f32> = logits.iter().map(|x| cap * (x / cap).tanh()).collect();
                            f(start + row, &capped)
                        }
                    }
                });
            out.par_extend(results);
        }
        Ok(out)
    }
}

/// What one row of logits says as a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RowSums {
    /// Log-sum-exp.
    pub(crate) log_sum_exp: f64,
    /// H in nats.
    pub(crate) entropy: f64,
    /// KL(U‖p) in nats.
    uniform_divergence: f64,
}

impl RowSums {
    /// Sums over a row; `None` if a logit is not finite.
    pub(crate) fn of(logits: &[f32]) -> Option<Self> {
        let max = max_of(logits);
        let (mut sum, mut weighted, mut plain) = (0f64, 0f64, 0f64);
        for block in logits.chunks(4096) {
            let (s, w, p) = block_sums(block, max);
            sum += f64::from(s);
            weighted += f64::from(w);
            plain += f64::from(p);
        }
        let n = logits.len() as f64;
        let entropy = (sum.ln() - weighted / sum).max(0.0);
        let uniform_divergence = (sum.ln() - plain / n - n.ln()).max(0.0);
        let log_sum_exp = f64::from(max) + sum.ln();
        let finite = log_sum_exp.is_finite() && entropy.is_finite() && uniform_divergence.is_finite();
        finite.then_some(Self { log_sum_exp, entropy, uniform_divergence })
    }

    /// How sharp the row's distribution is.
    pub(crate) fn sharpness(&self, logits: &[f32]) -> Sharpness {
        let best = largest(logits, TOP_K);
        let mean = best.iter().map(|&(_, logit)| f64::from(logit)).sum::<f64>() / best.len() as f64;
        Sharpness {
            entropy: Some(self.entropy),
            top2_margin: Some(
                best.get(1).map_or(f64::INFINITY, |second| f64::from(best[0].1) - f64::from(second.1)),
            ),
            topk_confidence: Some((self.log_sum_exp - mean).max(0.0)),
            uniform_divergence: Some(self.uniform_divergence),
        }
    }

    /// Log-probability of a logit.
    pub(crate) fn logprob(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.log_sum_exp).min(0.0)
    }
}

vectorised! {
    fn max_of(x: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; 16];
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            for (lane, &v) in lanes.iter_mut().zip(chunk) {
                *lane = if v > *lane { v } else { *lane };
            }
        }
        lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
    }
}

vectorised! {
    /// Σ e^(x−m), Σ (x−m) e^(x−m) and Σ (x−m).
    fn block_sums(block: &[f32], max: f32) -> (f32, f32, f32) {
        let mut sums = [0f32; 16];
        let mut weighted = [0f32; 16];
        let mut plain = [0f32; 16];
        let (chunks, rest) = block.as_chunks::<16>();
        for chunk in chunks {
            for i in 0..16 {
                let shifted = chunk[i] - max;
                let e = exp(shifted);
                sums[i] += e;
                weighted[i] += e * shifted;
                plain[i] += shifted;
            }
        }
        let mut totals = (sums.iter().sum::<f32>(), weighted.iter().sum::<f32>(), plain.iter().sum::<f32>());
        for &x in rest {
            let e = exp(x - max);
            totals.0 += e;
            totals.1 += e * (x - max);
            totals.2 += x - max;
        }
        totals
    }
}

/// Logarithm of the mass of each class; −∞ for an empty class.
pub(crate) fn class_logmass(logits: &[f32], classes: &TokenClasses, sums: &RowSums) -> Vec<f64> {
    let log_sum_exp = sums.log_sum_exp as f32;
    let mut masses = vec![0f64; classes.n_classes];
    let mut terms = [0f32; CLASS_BLOCK];
    for (logits, class_of) in logits.chunks(CLASS_BLOCK).zip(classes.class_of.chunks(CLASS_BLOCK)) {
        let terms = &mut terms[..logits.len()];
        probabilities(logits, log_sum_exp, terms);
        for (class, mass) in masses.iter_mut().enumerate() {
            *mass += f64::from(sum_of_class(terms, class_of, class));
        }
    }
    let logmasses = masses.into_iter().enumerate().map(|(class, mass)| match mass.ln().min(0.0) {
        logmass if logmass < LEAST_LOGMASS => logmass_of_rare(logits, classes, class, sums),
        logmass => logmass,
    });
    logmasses.collect()
}

/// Below it a mass may be that of many terms which float32 cannot make small enough.
const LEAST_LOGMASS: f64 = -65.0;

fn logmass_of_rare(logits: &[f32], classes: &TokenClasses, class: usize, sums: &RowSums) -> f64 {
    let of_class = || {
        let members = logits.iter().zip(&classes.class_of).filter(|(_, of)| usize::from(**of) == class);
        members.map(|(&logit, _)| f64::from(logit))
    };
    let max = of_class().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + of_class().map(|logit| (logit - max).exp()).sum::<f64>().ln() - sums.log_sum_exp
}

vectorised! {
    fn probabilities(logits: &[f32], log_sum_exp: f32, out: &mut [f32]) {
        for (out, &logit) in out.iter_mut().zip(logits) {
            *out = exp(logit - log_sum_exp);
        }
    }
}

/// Numbers of a row that are summed in float32.
const CLASS_BLOCK: usize = 1024;

vectorised! {
    fn sum_of_class(terms: &[f32], class_of: &[u8], class: usize) -> f32 {
        let mut lanes = [0f32; 16];
        let (term_chunks, terms) = terms.as_chunks::<16>();
        let (class_chunks, classes) = class_of.as_chunks::<16>();
        for (terms, classes) in term_chunks.iter().zip(class_chunks) {
            for i in 0..16 {
                lanes[i] += if usize::from(classes[i]) == class { terms[i] } else { 0.0 };
            }
        }
        let rest = terms.iter().zip(classes).filter(|(_, c)| usize::from(**c) == class);
        lanes.iter().sum::<f32>() + rest.map(|(term, _)| term).sum::<f32>()
    }
}

/// The k most likely tokens with their log-probabilities, falling, ties by token number.
pub(crate) fn top(logits: &[f32], k: usize, sums: &RowSums) -> Vec<(TokenId, f64)> {
    let mut best = largest(logits, k);
    best.truncate(k);
    best.into_iter().map(|(token, logit)| (token, sums.logprob(logit))).collect()
}

/// Logits that are compared with the threshold of `largest` at one time.
const RUN: usize = 256;

/// The k largest logits, falling, ties by token number.
pub(crate) fn largest(logits: &[f32], k: usize) -> Vec<(TokenId, f32)> {
    let k = k.min(logits.len());
    if k == 0 {
        return Vec::new();
    }
    let before = |a: &(TokenId, f32), b: &(TokenId, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    // Candidates are kept in a buffer of up to 2k and cut back to the best k whenever it is full. Most runs of logits hold none above
    // the threshold, which their largest tells.
    let mut kept: Vec<(TokenId, f32)> = Vec::with_capacity(2 * k + 1);
    let mut threshold = f32::NEG_INFINITY;
    for (run, logits) in logits.chunks(RUN).enumerate() {
        if kept.len() >= k && max_of(logits) <= threshold {
            continue;
        }
        for (at, &logit) in logits.iter().enumerate() {
            if logit > threshold || kept.len() < k {
                kept.push(((run * RUN + at) as TokenId, logit));
                if kept.len() > 2 * k {
                    kept.select_nth_unstable_by(k - 1, before);
                    kept.truncate(k);
                    threshold = kept[k - 1].1;
                }
            }
        }
    }
    kept.sort_unstable_by(before);
    kept.truncate(k);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::random;

    fn row(n: usize, seed: u64) -> Vec<f32> {
        random(&[n], seed).to_vec1::<f32>().unwrap().into_iter().map(|x| x * 8.0).collect()
    }

    #[test]
    fn sums_equal_the_definition() {
        for n in [1, 15, 16, 4097, 10_000] {
            let logits = row(n, n as u64);
            let sums = RowSums::of(&logits).unwrap();
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            let entropy: f64 = logits.iter().map(|&x| f64::from(x).exp() / total).map(|p| -p * p.ln()).sum();
            assert!((sums.log_sum_exp - total.ln()).abs() < 1e-6, "n = {n}");
            assert!((sums.entropy - entropy).abs() < 1e-5, "n = {n}: {} against {entropy}", sums.entropy);
        }
    }

    #[test]
    fn equal_logits_have_the_entropy_of_the_uniform() {
        let sums = RowSums::of(&vec![3.25; 5000]).unwrap();
        assert!((sums.entropy - 5000f64.ln()).abs() < 1e-5);
    }

    #[test]
    fn the_mass_of_a_hardly_possible_class_is_not_rounded_up() {
        let mut logits = vec![0.0; 3000];
        logits[2000..].fill(-120.0);
        let class_of = (0..3000).map(|token| u8::from(token >= 2000)).collect();
        let sums = RowSums::of(&logits).unwrap();
        let found = class_logmass(&logits, &TokenClasses { class_of, n_classes: 3 }, &sums);
        assert!(found[0].abs() < 1e-6 && found[2] == f64::NEG_INFINITY, "{found:?}");
        assert!((found[1] + 120.0 + 2f64.ln()).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn sharpness_equals_the_definition() {
        for n in [2, 19, 20, 257, 10_000] {
            let logits = row(n, 3 + n as u64);
            let sums = RowSums::of(&logits).unwrap();
            let logprobs: Vec<f64> = logits.iter().map(|&x| f64::from(x) - sums.log_sum_exp).collect();
            let expected = Sharpness::of_logprobs(&logprobs);
            for ((name, found), (_, expected)) in
                sums.sharpness(&logits).named().into_iter().zip(expected.named())
            {
                let (found, expected) = (found.unwrap(), expected.unwrap());
                assert!((found - expected).abs() < 1e-5, "n = {n}, {name}: {found} against {expected}");
            }
        }
    }

    #[test]
    fn damaged_logits_are_seen() {
        assert_eq!(RowSums::of(&[0.0, f32::NAN]), None);
        assert_eq!(RowSums::of(&[0.0, f32::INFINITY]), None);
    }

    #[test]
    fn largest_equals_a_full_sort() {
        let logits = row(3000, 7);
        let mut all: Vec<(TokenId, f32)> =
            logits.iter().copied().enumerate().map(|(i, x)| (i as TokenId, x)).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for k in [1, 5, 100, 3000] {
            assert_eq!(largest(&logits, k), all[..k]);
        }
        assert_eq!(largest(&[1.0, 1.0, 1.0], 2), [(0, 1.0), (1, 1.0)]);
    }

    #[test]
    fn classes_partition_the_mass() {
        let logits = row(500, 9);
        let classes = TokenClasses { class_of: (0..500).map(|i| (i % 3) as u8).collect(), n_classes: 4 };
        let sums = RowSums::of(&logits).unwrap();
        let masses = class_logmass(&logits, &classes, &sums);
        assert!((masses.iter().map(|m| m.exp()).sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(masses[3].is_infinite());
    }
}
