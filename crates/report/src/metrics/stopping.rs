//! What a rule that stops traces did to a run, and what asking for belief cost.
//!
//! Tokens written are all that the model drew for a trace, those beyond a stop among them; tokens asked are those of cues, answers and searches
//! that were run for the decisions. What a whole trace would have taken is known from the questions on which the rule was chosen; the net saving
//! is that less what was written and asked, per trace, and negative where asking costs more than it saves.

use entrace_measure::StopReason;
use entrace_record::manifest::StoppingRecord;
use entrace_record::rows::Outcome;
use serde::{Deserialize, Serialize};

use crate::facts::{TaskFacts, TraceFacts};

/// Stopping in one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoppingMetrics {
    /// The rule.
    pub rule: String,
    /// Measured traces.
    pub traces: usize,
    /// Those of them that the rule stopped.
    pub stopped: usize,
    /// Those of them that it gave up.
    pub gave_up: usize,
    /// Decisions taken.
    pub decisions: usize,
    /// Mean tokens of a trace as it stands.
    pub kept_tokens: f64,
    /// Mean tokens written for a trace.
    pub written_tokens: f64,
    /// Mean tokens run for a trace to ask for belief.
    pub asked_tokens: f64,
    /// Mean tokens of whole traces where the rule was chosen; null where it was given by hand.
    pub whole_tokens: Option<f64>,
    /// `whole_tokens` less `written_tokens` and `asked_tokens`.
    pub net_saved_tokens: Option<f64>,
}

impl StoppingMetrics {
    /// Traces that a rule ended.
    pub fn ended(&self) -> usize {
        self.stopped + self.gave_up
    }
}

pub(super) fn of(task: &TaskFacts, record: &StoppingRecord) -> Option<StoppingMetrics> {
    let traces: Vec<&TraceFacts> = task.traces.iter().filter(|t| t.outcome == Outcome::Measured).collect();
    let n = traces.len();
    if n == 0 {
        return None;
    }
    let ended = |reason: StopReason| {
        traces.iter().filter(|trace| trace.stop_reason.as_deref() == Some(reason.name())).count()
    };
    let asking = |trace: &&TraceFacts| trace.asking.as_deref().copied().unwrap_or_default();
    let mean = |number: &dyn Fn(&&TraceFacts) -> f64| traces.iter().map(number).sum::<f64>() / n as f64;
    let written_tokens = mean(&|trace| f64::from(asking(trace).n_written.max(trace.n_trace_tokens)));
    let asked_tokens = mean(&|trace| asking(trace).n_asked as f64);
    Some(StoppingMetrics {
        rule: record.rule.clone(),
        traces: n,
        stopped: ended(StopReason::Rule),
        gave_up: ended(StopReason::GaveUp),
        decisions: traces.iter().map(|trace| asking(trace).n_decisions).sum(),
        kept_tokens: mean(&|trace| f64::from(trace.n_trace_tokens)),
        written_tokens,
        asked_tokens,
        whole_tokens: record.whole_tokens,
        net_saved_tokens: record.whole_tokens.map(|whole| whole - written_tokens - asked_tokens),
    })
}
