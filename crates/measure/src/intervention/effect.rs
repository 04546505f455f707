//! How far an intervention moved a belief.
//!
//! p is the belief without the change and q with it, both over answers; what was left unexplored is an atom of its own.
//!
//! * Δp(target) = q(target) − p(target).
//! * TV = ½ Σ |q − p|, from 0 to 1.
//! * KL(p ‖ q) = Σ p̃ ln(p̃/q̃) in nats, with add-½ smoothing over the union of the answers: p̃(a) = (n p(a) + ½)/(n + ½U) for U atoms in the union,
//!   n the number of draws. A belief that was read exactly counts as one of [`EXACT_DRAWS`] draws, so that an answer that one of the two
//!   excludes costs a few nats and not dozens (a smoothing of 10⁻⁹ reaches 24 nats where the accuracy moves by .02).
//! * Whether the leading answer changes.
//!
//! Intervals. Where beliefs were read exactly, what was left unexplored bounds them: any completion moves each belief by at most its
//! residual. Where they were drawn, Δp has the interval of Agresti and Caffo 2000 (one success and one failure added to each side) at 95 %.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::Answer;
use crate::distribution::AnswerDistribution;

/// Draws as which an exact belief counts in the smoothed divergence.
pub const EXACT_DRAWS: usize = 64;

/// 97.5 % point of the normal distribution.
const NORMAL_POINT: f64 = 1.959_963_984_540_054;

/// A belief as effects need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief {
    masses: BTreeMap<Answer, f64>,
    residual: f64,
    n_draws: Option<usize>,
}

impl Belief {
    /// What an estimator found.
    pub fn of(distribution: &AnswerDistribution) -> Self {
        let masses = distribution.masses().iter().map(|mass| (mass.answer.clone(), mass.prob)).collect();
        Self { masses, residual: distribution.residual_mass().max(0.0), n_draws: distribution.n_samples }
    }

    /// The shares of drawn answers; `None` without any.
    pub fn of_draws<'a>(draws: impl IntoIterator<Item = &'a Answer>) -> Option<Self> {
        let mut counts: BTreeMap<Answer, f64> = BTreeMap::new();
        draws.into_iter().for_each(|answer| *counts.entry(answer.clone()).or_default() += 1.0);
        let n: f64 = counts.values().sum();
        let masses = counts.into_iter().map(|(answer, count)| (answer, count / n)).collect();
        (n > 0.0).then_some(Self { masses, residual: 0.0, n_draws: Some(n as usize) })
    }

    /// The mean of beliefs with equal weights; `None` without any.
    pub fn mean(beliefs: &[Self]) -> Option<Self> {
        let n = beliefs.len() as f64;
        let mut masses: BTreeMap<Answer, f64> = BTreeMap::new();
        for (answer, prob) in beliefs.iter().flat_map(|belief| &belief.masses) {
            *masses.entry(answer.clone()).or_default() += prob / n;
        }
        let residual = beliefs.iter().map(|belief| belief.residual).sum::<f64>() / n;
        (!beliefs.is_empty()).then_some(Self { masses, residual, n_draws: None })
    }

    /// Answers with their probabilities, the most likely first, ties by the answer.
    pub fn ranked(&self) -> Vec<(&Answer, f64)> {
        let mut ranked: Vec<(&Answer, f64)> =
            self.masses.iter().map(|(answer, &prob)| (answer, prob)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        ranked
    }

    /// The most likely answer with its probability; `None` where no answer has any.
    pub fn leader(&self) -> Option<(&Answer, f64)> {
        self.ranked().first().copied()
    }

    /// Probability of an answer; 0 where it was not found.
    pub fn prob(&self, answer: &Answer) -> f64 {
        self.masses.get(answer).copied().unwrap_or(0.0)
    }

    /// Probability that was left unexplored.
    pub fn residual(&self) -> f64 {
        self.residual
    }

    /// Number of draws; `None` where it was read exactly.
    pub fn n_draws(&self) -> Option<usize> {
        self.n_draws
    }

    /// H in nats of what was found, renormalised.
    pub fn entropy_nats(&self) -> f64 {
        let sum: f64 = self.masses.values().sum();
        self.masses.values().filter(|&&p| p > 0.0).map(|p| -p / sum * (p / sum).ln()).sum()
    }
}

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranged {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What a change did to a belief.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Δp(target); `None` without a target.
    pub target: Option<Ranged>,
    /// Total variation.
    pub total_variation: f64,
    /// Smoothed KL(p ‖ q), nats.
    pub kl_nats: f64,
    /// Whether another answer leads.
    pub leader_changes: bool,
}

impl Effect {
    /// From the belief without the change to the one with it.
    pub fn between(before: &Belief, after: &Belief, target: Option<&Answer>) -> Self {
        Self {
            target: target.map(|target| change_of_prob(before, after, target)),
            total_variation: total_variation(before, after),
            kl_nats: kl_nats(before, after),
            leader_changes: before.leader().map(|leader| leader.0) != after.leader().map(|leader| leader.0),
        }
    }
}

/// q(answer) − p(answer) with its interval.
pub fn change_of_prob(before: &Belief, after: &Belief, answer: &Answer) -> Ranged {
    let [p, q] = [before, after].map(|belief| belief.prob(answer));
    let value = q - p;
    if let (Some(n), Some(m)) = (before.n_draws, after.n_draws) {
        let shifted = |share: f64, n: usize| (share * n as f64 + 1.0) / (n as f64 + 2.0);
        let variance = |share: f64, n: usize| share * (1.0 - share) / (n as f64 + 2.0);
        let (a, b) = (shifted(p, n), shifted(q, m));
        let half = NORMAL_POINT * (variance(a, n) + variance(b, m)).sqrt();
        return Ranged { value, low: (b - a - half).max(-1.0), high: (b - a + half).min(1.0) };
    }
    Ranged { value, low: value - before.residual, high: value + after.residual }
}

/// ½ Σ |q − p|; what either left unexplored is an atom that both share.
pub fn total_variation(p: &Belief, q: &Belief) -> f64 {
    let found: f64 = union(p, q).into_iter().map(|answer| (p.prob(answer) - q.prob(answer)).abs()).sum();
    (0.5 * (found + (p.residual - q.residual).abs())).min(1.0)
}

/// KL(p ‖ q) in nats with add-½ smoothing (see the module's text).
pub fn kl_nats(p: &Belief, q: &Belief) -> f64 {
    let answers = union(p, q);
    let has_rest = p.residual > 0.0 || q.residual > 0.0;
    let n_atoms = answers.len() + usize::from(has_rest);
    let smoothed = |belief: &Belief, prob: f64| {
        let n = belief.n_draws.unwrap_or(EXACT_DRAWS) as f64;
        (n * prob + 0.5) / (n + 0.5 * n_atoms as f64)
    };
    let of_answers = answers.iter().map(|answer| (p.prob(answer), q.prob(answer)));
    let atoms = of_answers.chain(has_rest.then_some((p.residual, q.residual)));
    let term = |(a, b): (f64, f64)| {
        let (a, b) = (smoothed(p, a), smoothed(q, b));
        a * (a / b).ln()
    };
    atoms.map(term).sum::<f64>().max(0.0)
}

fn union<'a>(p: &'a Belief, q: &'a Belief) -> BTreeSet<&'a Answer> {
    p.masses.keys().chain(q.masses.keys()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(names: &str) -> Vec<Answer> {
        names.chars().map(|name| Answer::Value(name.to_string())).collect()
    }

    fn drawn(names: &str) -> Belief {
        Belief::of_draws(&answers(names)).unwrap()
    }

    fn a() -> Answer {
        Answer::Value("a".into())
    }

    #[test]
    fn equal_beliefs_have_no_effect() {
        let effect = Effect::between(&drawn("aab"), &drawn("aab"), Some(&a()));
        assert_eq!((effect.total_variation, effect.leader_changes), (0.0, false));
        assert!(effect.kl_nats.abs() < 1e-12 && effect.target.unwrap().value.abs() < 1e-12);
    }

    #[test]
    fn distances_are_those_of_the_shares() {
        let effect = Effect::between(&drawn("aaab"), &drawn("abbb"), Some(&a()));
        assert!((effect.total_variation - 0.5).abs() < 1e-12);
        assert!((effect.target.unwrap().value + 0.5).abs() < 1e-12);
        assert!(effect.leader_changes);
        let (p, q) = (3.5_f64 / 5.0, 1.5_f64 / 5.0);
        let expected = p * (p / q).ln() + q * (q / p).ln();
        assert!((effect.kl_nats - expected).abs() < 1e-12);
    }

    #[test]
    fn an_excluded_answer_costs_nats_and_not_dozens() {
        let few = kl_nats(&drawn(&"a".repeat(64)), &drawn(&"b".repeat(64)));
        assert!((4.0..6.0).contains(&few), "{few}");
    }

    #[test]
    fn what_was_left_unexplored_widens_the_interval() {
        let exact = |prob: f64, residual: f64| Belief {
            masses: BTreeMap::from([(a(), prob), (Answer::Value("b".into()), 1.0 - prob - residual)]),
            residual,
            n_draws: None,
        };
        let change = change_of_prob(&exact(0.5, 0.1), &exact(0.6, 0.05), &a());
        assert!((change.low - 0.0).abs() < 1e-12 && (change.high - 0.15).abs() < 1e-12, "{change:?}");
        assert!((total_variation(&exact(0.5, 0.1), &exact(0.6, 0.05)) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_mean_of_beliefs_is_a_belief() {
        let mean = Belief::mean(&[drawn("aa"), drawn("ab")]).unwrap();
        assert!((mean.prob(&a()) - 0.75).abs() < 1e-12);
        assert_eq!(Belief::mean(&[]), None);
        assert_eq!(Belief::of_draws(&[]), None);
    }

    #[test]
    fn the_entropy_is_that_of_the_shares() {
        assert!((drawn("ab").entropy_nats() - 2_f64.ln()).abs() < 1e-12);
        assert!(drawn("aaa").entropy_nats().abs() < 1e-12);
    }
}
