//! How belief moved along traces, and how traces came to their ends.
//!
//! Per-trace values are those of `entrace_measure::profile`, with its definitions of the eight outcomes; here they are averaged over
//! questions. Distances (path length, directness) need the recorded answers of all prefixes; traces without them take no part in those.
//! The commitment depth is that from which the leading answer stays, however weakly it leads (lock-in also asks for a clear lead).

use entrace_measure::profile::Outcome;
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Groups, Quantity, QuestionMeans, group_means};
use crate::facts::{Path, TaskFacts};

/// Profiles over a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileMetrics {
    /// Traces of each outcome, all eight; empty where no trace has one.
    pub outcomes: Vec<OutcomeShare>,
    /// S_eff at the question alone, e^{H_0}.
    pub effective_answers_first: Groups<Quantity>,
    /// S_eff at the end, e^{H_K}.
    pub effective_answers_last: Groups<Quantity>,
    /// Changes of the leading answer per trace.
    pub switches: Groups<Quantity>,
    /// Those at which an earlier leader leads again.
    pub returns: Groups<Quantity>,
    /// ΣJ_k, the total variation that belief moves per trace.
    pub path_length: Groups<Quantity>,
    /// R_direct = TV(p_0, p_K)/ΣJ_k.
    pub directness: Groups<Quantity>,
    /// Relative depth from which the leading answer stays.
    pub commitment_depth: Groups<Quantity>,
    /// Why there are no outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many traces came to one outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeShare {
    /// One of the eight.
    pub outcome: String,
    /// Whether such traces end in the target.
    pub success: bool,
    /// Traces.
    pub traces: usize,
    /// Their share, each question counting once.
    pub share: Quantity,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> ProfileMetrics {
    let means = |value: fn(&Path) -> Option<f64>| {
        let values = task.traces.iter().map(|t| (t.question, t.correct, t.path.as_deref().and_then(value)));
        group_means(task.n_questions, values, resampling)
    };
    let outcomes = outcomes(task, resampling);
    let reason = outcomes.is_empty().then(|| "no measured trace has a target".to_string());
    ProfileMetrics {
        outcomes,
        effective_answers_first: means(|path| Some(path.effective_first)),
        effective_answers_last: means(|path| Some(path.effective_last)),
        switches: means(|path| Some(path.n_switches as f64)),
        returns: means(|path| Some(path.n_returns as f64)),
        path_length: means(|path| path.path_length),
        directness: means(|path| path.directness),
        commitment_depth: means(|path| Some(path.commitment_depth)),
        reason,
    }
}

fn outcomes(task: &TaskFacts, resampling: &Resampling) -> Vec<OutcomeShare> {
    let mut counts = [0; Outcome::ALL.len()];
    let mut means = QuestionMeans::new(task.n_questions, counts.len());
    for trace in &task.traces {
        let Some(outcome) = trace.path.as_ref().and_then(|path| path.outcome) else { continue };
        for (column, other) in Outcome::ALL.into_iter().enumerate() {
            means.add(trace.question, column, if outcome == other { 1.0 } else { 0.0 });
            counts[column] += usize::from(outcome == other);
        }
    }
    if counts.iter().sum::<usize>() == 0 {
        return Vec::new();
    }
    let shares = means.per_question().quantities(resampling);
    let all = Outcome::ALL.into_iter().zip(counts).zip(shares);
    all.map(|((outcome, traces), share)| OutcomeShare {
        outcome: outcome.name().to_string(),
        success: outcome.is_success(),
        traces,
        share: share.into_share(resampling.level),
    })
    .collect()
}
