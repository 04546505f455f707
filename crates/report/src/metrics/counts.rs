//! Questions and traces by what became of them, accuracy and the share of invalid answers.

use std::collections::BTreeMap;

use entrace_record::rows::Outcome;
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Quantity, QuestionMeans};
use crate::facts::{TaskFacts, TraceFacts};

/// Denominators.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Questions that the run set out to measure, from the manifest; null where it does not list the task.
    pub questions_planned: Option<usize>,
    /// Questions with at least one trace row.
    pub questions: usize,
    /// Questions with at least one measured trace.
    pub questions_measured: usize,
    /// Lines of the source that could not be read as questions, from the manifest.
    pub bad_lines: usize,
    /// Trace rows.
    pub traces: usize,
    /// Traces of which all was measured.
    pub measured: usize,
    /// Traces that could not be measured for a reason in the question.
    pub skipped: usize,
    /// Traces at which measuring failed.
    pub failed: usize,
    /// Measured traces whose question has a target.
    pub with_target: usize,
    /// Measured traces whose stated answer is the target.
    pub correct: usize,
    /// Measured traces whose stated answer is not, invalid answers included.
    pub wrong: usize,
    /// Measured traces that state no readable answer.
    pub invalid: usize,
    /// Why traces were skipped or failed, the most frequent first.
    pub reasons: Vec<OutcomeReason>,
    /// How the completions of measured traces ended.
    pub stop_reasons: Vec<StopCount>,
}

/// Sums of [`Counts`] over the tasks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Questions that the run set out to measure.
    pub questions_planned: usize,
    /// Questions with at least one trace row.
    pub questions: usize,
    /// Lines of the sources that could not be read.
    pub bad_lines: usize,
    /// Trace rows.
    pub traces: usize,
    /// Traces of which all was measured.
    pub measured: usize,
    /// Traces that could not be measured for a reason in the question.
    pub skipped: usize,
    /// Traces at which measuring failed.
    pub failed: usize,
}

impl Totals {
    /// Adds the counts of a task.
    pub(super) fn add(mut self, counts: &Counts) -> Self {
        self.questions_planned += counts.questions_planned.unwrap_or(counts.questions);
        self.questions += counts.questions;
        self.bad_lines += counts.bad_lines;
        self.traces += counts.traces;
        self.measured += counts.measured;
        self.skipped += counts.skipped;
        self.failed += counts.failed;
        self
    }
}

/// A reason for which traces were not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeReason {
    /// `skipped` or `failed`.
    pub outcome: String,
    /// The reason; null where none was recorded.
    pub reason: Option<String>,
    /// Traces that it befell.
    pub traces: usize,
}

/// Completions that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopCount {
    /// `stop`, `length` or `imported`.
    pub stop_reason: String,
    /// Traces.
    pub traces: usize,
}

pub(super) fn of(task: &TaskFacts) -> Counts {
    let count = |test: &dyn Fn(&TraceFacts) -> bool| task.traces.iter().filter(|t| test(t)).count();
    let measured = |t: &TraceFacts| t.outcome == Outcome::Measured;
    let mut measured_questions: Vec<usize> =
        task.traces.iter().filter(|t| measured(t)).map(|t| t.question).collect();
    measured_questions.dedup();
    Counts {
        questions_planned: task.record.as_ref().map(|record| record.n_questions),
        questions: task.n_questions,
        questions_measured: measured_questions.len(),
        bad_lines: task.record.as_ref().map_or(0, |record| record.n_bad_lines),
        traces: task.traces.len(),
        measured: count(&measured),
        skipped: count(&|t| t.outcome == Outcome::Skipped),
        failed: count(&|t| t.outcome == Outcome::Failed),
        with_target: count(&|t| measured(t) && t.target.is_some()),
        correct: count(&|t| measured(t) && t.correct == Some(true)),
        wrong: count(&|t| measured(t) && t.correct == Some(false)),
        invalid: count(&|t| measured(t) && t.invalid() == Some(true)),
        reasons: reasons(task),
        stop_reasons: stop_reasons(task),
    }
}

fn reasons(task: &TaskFacts) -> Vec<OutcomeReason> {
    let mut counts: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for trace in task.traces.iter().filter(|t| t.outcome != Outcome::Measured) {
        *counts.entry((trace.outcome.name(), trace.reason.as_deref())).or_default() += 1;
    }
    let mut reasons: Vec<OutcomeReason> = counts
        .into_iter()
        .map(|((outcome, reason), traces)| OutcomeReason {
            outcome: outcome.to_string(),
            reason: reason.map(str::to_string),
            traces,
        })
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.traces));
    reasons
}

fn stop_reasons(task: &TaskFacts) -> Vec<StopCount> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for trace in task.traces.iter().filter(|t| t.outcome == Outcome::Measured) {
        if let Some(reason) = &trace.stop_reason {
            *counts.entry(reason).or_default() += 1;
        }
    }
    counts.into_iter().map(|(reason, traces)| StopCount { stop_reason: reason.to_string(), traces }).collect()
}

/// Share of traces with a known verdict that are correct, measured or not: a trace too long to be measured has an answer, and one that
/// the model never wrote is wrong.
pub(super) fn accuracy(task: &TaskFacts, resampling: &Resampling) -> Quantity {
    share(task, resampling, |trace| trace.correct)
}

/// Share of traces with a completion, measured or not, whose answer cannot be read.
pub(super) fn invalid_share(task: &TaskFacts, resampling: &Resampling) -> Quantity {
    share(task, resampling, TraceFacts::invalid)
}

fn share(
    task: &TaskFacts,
    resampling: &Resampling,
    verdict: impl Fn(&TraceFacts) -> Option<bool>,
) -> Quantity {
    let mut means = QuestionMeans::new(task.n_questions, 1);
    for trace in &task.traces {
        if let Some(verdict) = verdict(trace) {
            means.add(trace.question, 0, if verdict { 1.0 } else { 0.0 });
        }
    }
    means.per_question().quantities(resampling).swap_remove(0).into_share(resampling.level)
}
