//! The shape of entropy curves: lock-in, wasted tokens, total drop, monotone descent.
//!
//! Per-trace values come from the record; what they mean is defined in `entrace_measure::signature`. Here they are averaged.
//! The lock-in depth of a trace is lock_in_step/K. Wasted tokens are those after lock-in; their share is of all tokens of the
//! traces in the group, where a trace that never locks in wastes none.

use entrace_record::rows::Outcome;
use entrace_stats::bootstrap::Resampling;
use entrace_stats::summary;
use serde::{Deserialize, Serialize};

use super::quantity::{Groups, Quantity, QuestionMeans, group_means};
use crate::facts::{TaskFacts, TraceFacts};

/// Bins of the lock-in histogram: [0, 0.1), …, [0.9, 1].
pub const LOCK_IN_BINS: usize = 10;

/// When the answer stops changing, over a group of traces.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LockInMetrics {
    /// Share of traces that lock in.
    pub share: Quantity,
    /// Median relative depth of lock-in, over the traces that do; null where none does.
    pub median_depth: Option<f64>,
    /// Traces by depth of lock-in, in ten bins of equal width.
    pub histogram: Vec<usize>,
    /// Traces that never lock in.
    pub never: usize,
    /// Share of trace tokens that come after lock-in.
    pub wasted_token_share: Quantity,
}

/// Whether and how far the entropy falls along traces.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DescentMetrics {
    /// Mean of H_0 − H_K.
    pub total_drop: Groups<Quantity>,
    /// Share of traces whose entropy never rises by more than ε.
    pub monotone_share: Groups<Quantity>,
    /// Mean number of steps at which it does.
    pub violations: Groups<Quantity>,
    /// Mean slope of H over the last third of the depth, nats per unit of depth.
    pub late_slope: Groups<Quantity>,
    /// Accuracy of monotone traces.
    pub accuracy_monotone: Quantity,
    /// Accuracy of the others.
    pub accuracy_not_monotone: Quantity,
    /// Their difference.
    pub accuracy_difference: Quantity,
}

fn measured(task: &TaskFacts) -> impl Iterator<Item = &TraceFacts> {
    task.traces.iter().filter(|t| t.outcome == Outcome::Measured)
}

pub(super) fn lock_in(task: &TaskFacts, resampling: &Resampling) -> Groups<LockInMetrics> {
    let group = |correct: Option<bool>| {
        let traces = || measured(task).filter(move |t| correct.is_none() || t.correct == correct);
        lock_in_of(task.n_questions, traces, resampling)
    };
    Groups { all: group(None), correct: group(Some(true)), wrong: group(Some(false)) }
}

fn lock_in_of<'a, I: Iterator<Item = &'a TraceFacts>>(
    n_questions: usize,
    traces: impl Fn() -> I,
    resampling: &Resampling,
) -> LockInMetrics {
    let mut locked = QuestionMeans::new(n_questions, 1);
    let mut depths = Vec::new();
    let mut histogram = vec![0; LOCK_IN_BINS];
    let mut never = 0;
    for trace in traces() {
        locked.add(trace.question, 0, if trace.lock_in_step.is_some() { 1.0 } else { 0.0 });
        let Some(depth) = trace.lock_in_depth() else {
            never += 1;
            continue;
        };
        depths.push(depth);
        histogram[((depth * LOCK_IN_BINS as f64 + 1e-9) as usize).min(LOCK_IN_BINS - 1)] += 1;
    }
    LockInMetrics {
        share: locked.per_question().quantities(resampling).swap_remove(0).into_share(resampling.level),
        median_depth: summary::median(&depths).ok(),
        histogram,
        never,
        wasted_token_share: wasted_share(n_questions, traces(), resampling),
    }
}

/// Σ wasted tokens / Σ trace tokens: a ratio of totals, so long traces count for more.
fn wasted_share<'a>(
    n_questions: usize,
    traces: impl Iterator<Item = &'a TraceFacts>,
    resampling: &Resampling,
) -> Quantity {
    let mut means = QuestionMeans::new(n_questions, 1);
    for trace in traces.filter(|t| t.n_trace_tokens > 0) {
        let n_tokens = f64::from(trace.n_trace_tokens);
        let wasted = f64::from(trace.wasted_tokens.unwrap_or(0));
        means.add_weighted(trace.question, 0, wasted / n_tokens, n_tokens);
    }
    means.quantities(resampling).swap_remove(0).within(0.0, 1.0)
}

pub(super) fn descent(task: &TaskFacts, resampling: &Resampling) -> DescentMetrics {
    let means = |value: fn(&TraceFacts) -> Option<f64>| {
        let values = measured(task).map(|t| (t.question, t.correct, value(t)));
        group_means(task.n_questions, values, resampling)
    };
    let mut accuracy = QuestionMeans::new(task.n_questions, 2);
    for trace in measured(task) {
        if let (Some(monotone), Some(correct)) = (trace.monotone, trace.correct) {
            accuracy.add(trace.question, usize::from(!monotone), if correct { 1.0 } else { 0.0 });
        }
    }
    let (shares, mut differences) = accuracy.per_question().with_differences(&[(0, 1)], resampling);
    let mut by_monotone = shares.into_iter().map(|share| share.into_share(resampling.level));
    DescentMetrics {
        total_drop: means(|t| t.total_drop),
        monotone_share: means(|t| t.monotone.map(|m| if m { 1.0 } else { 0.0 }))
            .into_shares(resampling.level),
        violations: means(|t| t.n_violations.map(f64::from)),
        late_slope: means(|t| t.late_slope),
        accuracy_monotone: by_monotone.next().unwrap_or_default(),
        accuracy_not_monotone: by_monotone.next().unwrap_or_default(),
        accuracy_difference: differences.swap_remove(0),
    }
}
