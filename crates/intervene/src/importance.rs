//! How far two sets of draws differ, and how far they would by chance.
//!
//! Input: the answers of n draws before a step and of m draws after it. r = TV between their shares, and beside it the smoothed KL of the shares
//! after the step from those before it. If the step decides nothing, all n + m draws come from one distribution, and any split of them into n
//! and m was as likely: the noise floor is the value that at most α of [`SPLITS`] random splits exceed, and the p-value the share of splits that
//! reach r, the observed one among them (a permutation test, so its level holds whatever the distribution). Without a floor resampled importance
//! is noise: of two halves of draws from one distribution, most steps have some.

use entrace_backend::stream_seed;
use entrace_measure::intervention::effect::{self, Belief};
use entrace_measure::{Answer, information};
use std::collections::BTreeMap;

/// Random splits of the draws, the observed one among them.
const SPLITS: usize = 400;

/// A divergence between draws before and after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Importance {
    /// r, total variation.
    pub tv: f64,
    /// Smoothed KL of p after the step from p before it, nats.
    pub kl_nats: f64,
    /// What r exceeds by chance with probability at most α.
    pub floor: f64,
    /// Share of splits that reach r.
    pub p_value: f64,
    /// Entropy of the draws before the step, nats: how much it could decide.
    pub headroom_nats: f64,
}

/// Tolerance on equal distances.
const ROUNDING: f64 = 1e-12;

/// The importance of a step; `None` without draws on both sides.
pub fn importance(before: &[Answer], after: &[Answer], alpha: f64, seed: u64) -> Option<Importance> {
    let (p, q) = (Belief::of_draws(after)?, Belief::of_draws(before)?);
    let tv = effect::total_variation(&p, &q);
    let mut pooled = numbered(before.iter().chain(after));
    let mut by_chance: Vec<f64> = (1..SPLITS as u64)
        .map(|split| split_distance(&mut pooled, before.len(), split_seed(seed, split)))
        .collect();
    by_chance.push(tv);
    by_chance.sort_by(f64::total_cmp);
    let n_reaching = by_chance.iter().filter(|&&distance| distance >= tv - ROUNDING).count();
    let n_above = (alpha * by_chance.len() as f64).floor() as usize;
    Some(Importance {
        tv,
        kl_nats: effect::kl_nats(&p, &q),
        floor: by_chance[by_chance.len() - 1 - n_above.min(by_chance.len() - 1)],
        p_value: n_reaching as f64 / by_chance.len() as f64,
        headroom_nats: q.entropy_nats(),
    })
}

/// Draws with equal answers as equal numbers.
fn numbered<'a>(draws: impl Iterator<Item = &'a Answer>) -> Vec<usize> {
    let mut known: BTreeMap<&Answer, usize> = BTreeMap::new();
    draws
        .map(|answer| {
            let next = known.len();
            *known.entry(answer).or_insert(next)
        })
        .collect()
}

/// The distance between the first `n` draws and the others, in an order drawn from the seed (Fisher and Yates).
fn split_distance(draws: &mut [usize], n: usize, seed: u64) -> f64 {
    let mut state = seed;
    for at in (1..draws.len()).rev() {
        draws.swap(at, (next(&mut state) % (at as u64 + 1)) as usize);
    }
    let n_answers = draws.iter().max().map_or(0, |most| most + 1);
    let shares = |part: &[usize]| {
        let mut shares = vec![0.0; n_answers];
        part.iter().for_each(|&answer| shares[answer] += 1.0 / part.len() as f64);
        shares
    };
    information::total_variation(&shares(&draws[..n]), &shares(&draws[n..]))
}

/// Where the random numbers of a split begin.
fn split_seed(seed: u64, split: u64) -> u64 {
    stream_seed(seed, &["split", &split.to_string()])
}

/// The next number of SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(names: &str) -> Vec<Answer> {
        names.chars().map(|name| Answer::Value(name.to_string())).collect()
    }

    #[test]
    fn draws_without_anything_in_common_are_above_the_floor() {
        let found = importance(&draws("aaaaaaaa"), &draws("bbbbbbbb"), 0.05, 1).unwrap();
        assert!((found.tv - 1.0).abs() < 1e-12 && found.floor < 1.0 && found.p_value < 0.01, "{found:?}");
    }

    #[test]
    fn one_answer_leaves_nothing_to_decide() {
        let found = importance(&draws("aaaa"), &draws("aaaa"), 0.05, 1).unwrap();
        assert_eq!((found.tv, found.p_value), (0.0, 1.0));
        assert!(found.floor.abs() < 1e-12 && found.headroom_nats.abs() < 1e-12);
        assert_eq!(importance(&[], &draws("a"), 0.05, 1), None);
    }

    /// 1,000 pairs of sets from one distribution: at most 5 % of them lie above the floor but for chance; more than 7 % of 1,000 has a
    /// probability of 0.003.
    #[test]
    fn chance_exceeds_the_floor_at_the_nominal_rate() {
        let name = |set: usize, draw: usize| {
            let u = stream_seed(9, &[&set.to_string(), &draw.to_string()]) % 100;
            if u < 45 {
                "a"
            } else if u < 80 {
                "b"
            } else {
                "c"
            }
        };
        let set =
            |set: usize| -> Vec<Answer> { (0..24).map(|d| Answer::Value(name(set, d).into())).collect() };
        let above = (0..1000)
            .filter(|&i| {
                let found = importance(&set(2 * i), &set(2 * i + 1), 0.05, i as u64).unwrap();
                found.tv > found.floor + ROUNDING
            })
            .count();
        assert!(above <= 70, "{above} of 1000");
        assert!(above >= 10, "{above} of 1000: the floor is far too high");
    }
}
