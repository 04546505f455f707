//! What metrics need to know of a trace, without its text.

use std::sync::Arc;

use entrace_measure::signal::Absent;
use entrace_record::manifest::TaskRecord;
use entrace_record::rows::{Outcome, TraceRow};

use crate::belief::{Drift, Path};
use crate::signals;

/// The control name of a trace as it is.
pub(crate) const OWN: &str = "none";

/// Belief at one prefix, without text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) step: u32,
    pub(crate) n_tokens: u32,
    pub(crate) depth: f64,
    pub(crate) entropy: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) gain: Option<f64>,
    /// The most likely answer, by its number in the task.
    pub(crate) leader: u32,
    pub(crate) leader_prob: f64,
    /// `None` without a target.
    pub(crate) leader_is_target: Option<bool>,
    pub(crate) elicited_mass: Option<f64>,
    pub(crate) residual_mass: f64,
    /// `None` where nothing was asked after a cue.
    pub(crate) cue_entropy: Option<f64>,
}

/// Sums over the tokens of a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenSums {
    pub(crate) entropy: f64,
    pub(crate) n_entropy: usize,
    pub(crate) logprob: f64,
    pub(crate) n_logprob: usize,
}

/// One trace with its curves.
#[derive(Debug)]
pub(crate) struct TraceFacts {
    pub(crate) question_id: Arc<str>,
    /// Number of the question within the task, in order of identity.
    pub(crate) question: usize,
    pub(crate) sample: u32,
    pub(crate) target: Option<String>,
    /// The answer that the trace states.
    pub(crate) answer: Option<String>,
    pub(crate) n_choices: Option<usize>,
    pub(crate) correct: Option<bool>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) n_prompt_tokens: u32,
    pub(crate) n_trace_tokens: u32,
    pub(crate) n_steps: u32,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    pub(crate) lock_in_step: Option<u32>,
    pub(crate) total_drop: Option<f64>,
    pub(crate) monotone: Option<bool>,
    pub(crate) n_violations: Option<u32>,
    pub(crate) late_slope: Option<f64>,
    pub(crate) wasted_tokens: Option<u32>,
    /// Points by control, in order of name; `none` is the trace itself.
    pub(crate) curves: Vec<(Arc<str>, Vec<Point>)>,
    pub(crate) tokens: TokenSums,
    /// The way that belief took; `None` without prefixes.
    pub(crate) path: Option<Path>,
    /// How belief drifted, for `rollout`.
    pub(crate) drift: Option<Drift>,
    /// The score of every signal, in the order of the registry.
    pub(crate) scores: Vec<Result<f64, Absent>>,
}

impl TraceFacts {
    pub(crate) fn of(row: &TraceRow) -> Self {
        Self {
            question_id: row.question_id.clone(),
            question: 0,
            sample: row.sample,
            target: row.target.clone(),
            answer: row.answer.clone(),
            n_choices: row.choices.as_deref().and_then(count_choices),
            correct: row.correct,
            stop_reason: row.stop_reason.clone(),
            n_prompt_tokens: row.n_prompt_tokens,
            n_trace_tokens: row.n_trace_tokens,
            n_steps: row.n_steps,
            outcome: row.outcome,
            reason: row.reason.clone(),
            lock_in_step: row.lock_in_step,
            total_drop: finite(row.total_drop),
            monotone: row.monotone,
            n_violations: row.n_violations,
            late_slope: finite(row.late_slope),
            wasted_tokens: row.wasted_tokens,
            curves: Vec::new(),
            tokens: TokenSums::default(),
            path: None,
            drift: None,
            scores: signals::nothing_recorded(),
        }
    }

    /// Whether the trace states no readable answer; `None` where there was nothing to read it from.
    pub(crate) fn invalid(&self) -> Option<bool> {
        self.answer.as_deref().map(|answer| answer == entrace_measure::Answer::INVALID_NAME)
    }

    /// The curve under a control, by step; `None` where it was not measured.
    pub(crate) fn curve(&self, control: &str) -> Option<&[Point]> {
        self.curves.iter().find(|(name, _)| &**name == control).map(|(_, points)| points.as_slice())
    }

    /// The curve of a trace that was measured.
    pub(crate) fn measured_curve(&self) -> Option<&[Point]> {
        (self.outcome == Outcome::Measured).then(|| self.curve(OWN)).flatten()
    }

    /// lock_in_step / n_steps: the relative depth from which the answer stands.
    pub(crate) fn lock_in_depth(&self) -> Option<f64> {
        let step = f64::from(self.lock_in_step?);
        Some(if self.n_steps == 0 { 0.0 } else { step / f64::from(self.n_steps) })
    }
}

/// All traces of a task.
#[derive(Debug)]
pub(crate) struct TaskFacts {
    pub(crate) name: Arc<str>,
    /// What the manifest says of the task; `None` for a task that only has rows.
    pub(crate) record: Option<TaskRecord>,
    /// By question and sample.
    pub(crate) traces: Vec<TraceFacts>,
    pub(crate) n_questions: usize,
    /// Estimators seen in rows, in order of name.
    pub(crate) estimators: Vec<Arc<str>>,
    /// Smallest and largest number of draws at a prefix.
    pub(crate) n_samples: Option<(u32, u32)>,
    /// The different answers in the rows: found answers, leaders and targets.
    pub(crate) answers: Vec<Arc<str>>,
}

impl TaskFacts {
    /// Traces that were measured and have a curve.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&TraceFacts, &[Point])> {
        self.traces.iter().filter_map(|trace| Some((trace, trace.measured_curve()?)))
    }

    /// Controls that some measured trace has, in order of name.
    pub(crate) fn controls(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self
            .measured()
            .flat_map(|(trace, _)| trace.curves.iter().map(|(name, _)| name.clone()))
            .filter(|name| &**name != OWN)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether all beliefs are those of `rollout`.
    pub(crate) fn is_rollout(&self) -> bool {
        matches!(self.estimators.as_slice(), [only] if &**only == entrace_measure::Estimator::Rollout.name())
    }
}

/// Number of options in `{"labels": [...], "texts": [...]}`.
fn count_choices(json: &str) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    Some(value.get("labels")?.as_array()?.len())
}

/// A recorded number that is one.
pub(crate) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}
