//! The way that belief took along a trace, from the answers recorded at its prefixes.
//!
//! Path: the numbers of `entrace_measure::profile`. Leaders and entropies are known at every prefix; the distances J_k need all
//! answers of all prefixes and are `None` where some are missing.
//!
//! Drift: for `rollout` p_k is a martingale, so for an answer a that is fixed before the draws at k and k + 1 are made,
//! E[p_{k+1}(a) − p_k(a)] = 0. Each number below is a mean over the steps of one trace whose expectation is zero for an honest
//! estimator:
//!
//! * target: p_{k+1}(target) − p_k(target).
//! * unreadable: the same for what cannot be read as an answer.
//! * leader: p_{k+2}(a_k) − p_{k+1}(a_k) for the most likely answer a_k at prefix k. The lag matters: a leader is chosen for its high
//!   p_k, so p_{k+1}(a_k) − p_k(a_k) is negative on average whatever the estimator.
//! * runner-up: the same for the second most likely answer.
//! * ending of the target: [the trace ends in the target] − p_K(target). The trace's own ending is one more draw from the belief.
//! * ending of the leader: [the trace ends in a_k] − p_{k+1}(a_k). It is positive where draws know of the trace's own ending.
//!
//! The answer in which the trace itself ends must not be taken for a: it is known to what comes later, and belief rises to it.
//! Source: the martingale property of conditional probabilities (Doob).

use std::sync::Arc;

use entrace_measure::profile::Belief;
use entrace_measure::{Answer, Profile, signature};

use crate::facts::{Draft, Drift, DriftKind, Path, TraceFacts};
use crate::signals::{self, Score};

/// One answer at one prefix, while its trace is being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mass {
    pub(crate) step: u32,
    /// The answer by its number in the task.
    pub(crate) answer: u32,
    pub(crate) prob: f64,
    pub(crate) logprob: f64,
}

/// Tolerance on the sum of recorded masses and residual.
pub(crate) const COMPLETE: f64 = 1e-3;

/// Fills in path, drift and the signals of the answer curve from all that was read of a trace; points and masses are in order of step.
pub(crate) fn reduce(
    trace: &mut TraceFacts,
    scores: &mut [Score],
    points: &[Draft],
    masses: &[Mass],
    names: &[Arc<str>],
    is_rollout: bool,
) {
    if points.is_empty() {
        return;
    }
    let complete = complete_beliefs(points, masses, names);
    let leaders_only = || points.iter().map(|p| belief(p.entropy, [(name(names, p.leader), p.leader_prob)]));
    let beliefs: Vec<Belief<'_>> = complete.clone().unwrap_or_else(|| leaders_only().collect());
    let Some(profile) = Profile::of_beliefs(&beliefs, trace.target.as_deref(), trace.correct) else { return };
    let curve: Vec<signature::Point<'_>> = points.iter().map(|p| signature_point(p, names)).collect();
    let known = complete.as_ref().map(|_| &profile);
    signals::from_curve(scores, &curve, known);
    if let Some(beliefs) = complete.filter(|_| is_rollout) {
        trace.drift = Some(Box::new(drift_of(&beliefs, trace)));
    }
    trace.path = Some(Box::new(path(&profile, known.is_some())));
}

/// The drift of rollouts that were measured beside another estimator.
pub(crate) fn drift_of_rollouts(
    trace: &TraceFacts,
    points: &[Draft],
    masses: &[Mass],
    names: &[Arc<str>],
) -> Option<Drift> {
    complete_beliefs(points, masses, names).map(|beliefs| drift_of(&beliefs, trace))
}

fn name(names: &[Arc<str>], answer: u32) -> &str {
    &names[answer as usize]
}

fn belief<'a>(entropy: f64, masses: impl IntoIterator<Item = (&'a str, f64)>) -> Belief<'a> {
    Belief { entropy, masses: masses.into_iter().collect() }
}

/// The beliefs at all points; `None` unless the answers of each add up to what was explored.
fn complete_beliefs<'a>(points: &[Draft], masses: &[Mass], names: &'a [Arc<str>]) -> Option<Vec<Belief<'a>>> {
    let at = |point: &Draft| {
        let start = masses.partition_point(|mass| mass.step < point.step);
        let here = masses[start..].iter().take_while(|mass| mass.step == point.step);
        let belief = belief(point.entropy, here.map(|mass| (name(names, mass.answer), mass.prob)));
        let total: f64 = belief.masses.iter().map(|mass| mass.1).sum();
        ((total + point.residual_mass - 1.0).abs() <= COMPLETE && !belief.masses.is_empty()).then_some(belief)
    };
    points.iter().map(at).collect()
}

fn signature_point<'a>(point: &Draft, names: &'a [Arc<str>]) -> signature::Point<'a> {
    signature::Point {
        n_tokens: point.n_tokens as usize,
        depth: point.depth,
        entropy: point.entropy,
        leader: name(names, point.leader),
        leader_prob: point.leader_prob,
    }
}

fn path(profile: &Profile, with_distances: bool) -> Path {
    let effective = &profile.effective_answers;
    let n_steps = effective.len() - 1;
    Path {
        effective_first: effective[0],
        effective_last: effective[n_steps],
        n_switches: profile.n_switches,
        n_returns: profile.n_returns,
        commitment_depth: profile.commitment_step as f64 / n_steps.max(1) as f64,
        path_length: with_distances.then(|| profile.path_length()),
        directness: profile.directness.filter(|_| with_distances),
        outcome: profile.outcome,
    }
}

fn drift_of(beliefs: &[Belief<'_>], trace: &TraceFacts) -> Drift {
    let mut drift = Drift::default();
    let mut set = |kind: DriftKind, value: Option<f64>| drift.set(kind, value);
    let changes = |answer: &str| mean(beliefs.windows(2).map(|w| prob(&w[1], answer) - prob(&w[0], answer)));
    let target = trace.target.as_deref();
    set(DriftKind::Target, target.and_then(changes));
    set(DriftKind::Unreadable, changes(Answer::INVALID_NAME));
    let lagged = |rank: usize| {
        let chosen = beliefs.windows(3).filter_map(|w| Some((ranked(&w[0], rank)?, &w[1], &w[2])));
        mean(chosen.map(|(answer, before, after)| prob(after, answer) - prob(before, answer)))
    };
    set(DriftKind::Leader, lagged(0));
    set(DriftKind::RunnerUp, lagged(1));
    if let Some(ending) = trace.answer.as_deref() {
        let ends_in = |answer: &str| if ending == answer { 1.0 } else { 0.0 };
        let last = beliefs.last();
        set(DriftKind::TargetEnding, target.zip(last).map(|(a, last)| ends_in(a) - prob(last, a)));
        let leaders = beliefs.windows(2).filter_map(|w| Some((ranked(&w[0], 0)?, &w[1])));
        set(DriftKind::LeaderEnding, mean(leaders.map(|(a, next)| ends_in(a) - prob(next, a))));
    }
    drift
}

fn prob(belief: &Belief<'_>, answer: &str) -> f64 {
    belief.masses.iter().find(|mass| mass.0 == answer).map_or(0.0, |mass| mass.1)
}

/// The answer of a rank, 0 for the most likely, ties in the order of `Answer`.
fn ranked<'a>(belief: &Belief<'a>, rank: usize) -> Option<&'a str> {
    let mut order: Vec<&(&str, f64)> = belief.masses.iter().collect();
    order.sort_by(|a, b| {
        b.1.total_cmp(&a.1).then_with(|| Answer::from_name(a.0).cmp(&Answer::from_name(b.0)))
    });
    order.get(rank).map(|mass| mass.0)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}
