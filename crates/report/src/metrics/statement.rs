//! When traces state their answer, and how far the forced readout only copies.
//!
//! The stating step of a trace is the first whose text contains the answer that the trace ends with (`entrace_measure::statement`); its depth
//! is that step over K. A trace that states its answer at once does so in its first step. Traces whose answer cannot be read take no part.
//!
//! Where answers are numbers: the share of prefixes whose most likely answer is the last number that the text holds, by depth. A forced
//! readout that is sure of the last intermediate result ("Dean's height is 17" gives 17) has copied it. Prefixes without a number take no
//! part; nor do beliefs of `rollout`, which are not forced. After the answer is stated the last number is mostly the answer itself, so the
//! share before that stands apart. Source: the copying of forced readouts, arXiv:2605.10799.

use entrace_stats::bootstrap::Resampling;
use entrace_stats::summary;
use serde::{Deserialize, Serialize};

use super::curves::positions;
use super::quantity::{Curve, Groups, Quantity, QuestionMeans, group_means};
use crate::depth::N_DEPTHS;
use crate::facts::{Stated, TaskFacts, TraceFacts};

/// When answers are stated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StatementMetrics {
    /// Share of traces in which some step states the answer that the trace ends with.
    pub share: Groups<Quantity>,
    /// Share of traces that state it in their first step.
    pub at_once: Groups<Quantity>,
    /// Mean relative depth of the stating step, over the traces that have one.
    pub depth: Groups<Quantity>,
    /// Its median; null where no trace has one.
    pub median_depth: Option<f64>,
    /// Share of traces with a target in which some step states the target, right or wrong as the trace may be.
    pub target_share: Groups<Quantity>,
    /// Share of prefixes whose most likely answer is the last number of the text; without values where answers are no numbers.
    pub leader_is_last_number: Curve,
    /// The same over the prefixes from the first step to the last before the statement; whole traces where they state nothing.
    pub leader_is_last_number_before: Quantity,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> StatementMetrics {
    let answered = || task.measured().filter_map(|(trace, _)| Some((trace, stated(trace)?)));
    if answered().next().is_none() {
        let reason = Some("no measured trace has both a readable answer and its text".to_string());
        return StatementMetrics { reason, ..StatementMetrics::default() };
    }
    let means = |value: fn(&TraceFacts, Stated) -> Option<f64>| {
        let values = answered().map(|(t, stated)| (t.question, t.correct, value(t, stated)));
        group_means(task.n_questions, values, resampling)
    };
    let shares = |groups: Groups<Quantity>| groups.into_shares(resampling.level);
    let targets = task.measured().map(|(t, _)| {
        let target = t.statements.as_ref().and_then(|statements| statements.target);
        (t.question, t.correct, target.map(|target| share(target.first_step.is_some())))
    });
    let depths: Vec<f64> = answered().filter_map(|(trace, stated)| depth(trace, stated)).collect();
    StatementMetrics {
        share: shares(means(|_, stated| Some(share(stated.first_step.is_some())))),
        at_once: shares(means(|_, stated| Some(share(stated.first_step == Some(1))))),
        depth: means(depth),
        median_depth: summary::median(&depths).ok(),
        target_share: shares(group_means(task.n_questions, targets, resampling)),
        leader_is_last_number: copied(task, resampling),
        leader_is_last_number_before: copied_before(task, resampling),
        reason: None,
    }
}

fn stated(trace: &TraceFacts) -> Option<Stated> {
    trace.statements.as_ref()?.answer
}

fn share(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn depth(trace: &TraceFacts, stated: Stated) -> Option<f64> {
    Some(f64::from(stated.first_step?) / f64::from(trace.n_steps.max(1)))
}

fn copied(task: &TaskFacts, resampling: &Resampling) -> Curve {
    if let Some(reason) = no_copies(task) {
        return Curve { reason: Some(reason.to_string()), ..Curve::default() };
    }
    let mut means = QuestionMeans::new(task.n_questions, N_DEPTHS);
    for (trace, points) in task.measured() {
        for (column, i) in positions(points).into_iter().enumerate() {
            if let Some(copied) = points[i].leader_is_last_number {
                means.add(trace.question, column, share(copied));
            }
        }
    }
    let shares = means.per_question().quantities(resampling);
    Curve::of(&shares.into_iter().map(|s| s.into_share(resampling.level)).collect::<Vec<_>>())
}

fn copied_before(task: &TaskFacts, resampling: &Resampling) -> Quantity {
    if let Some(reason) = no_copies(task) {
        return Quantity::undefined(reason);
    }
    let mut means = QuestionMeans::new(task.n_questions, 1);
    for (trace, points) in task.measured() {
        let statement = trace.stated_step().unwrap_or(u32::MAX);
        for point in points.iter().filter(|point| (1..statement).contains(&point.step)) {
            if let Some(copied) = point.leader_is_last_number {
                means.add(trace.question, 0, share(copied));
            }
        }
    }
    let shares = means.per_question().quantities(resampling);
    shares.into_iter().next().unwrap_or_default().into_share(resampling.level)
}

/// Why no readout can be said to copy numbers here.
fn no_copies(task: &TaskFacts) -> Option<&'static str> {
    if task.is_rollout() {
        return Some("beliefs of rollout are not forced");
    }
    (!task.answers_are_numbers()).then_some("answers are no numbers")
}
