//! What metrics need to know of a trace, without its text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use entrace_measure::number::numerals;
use entrace_measure::profile;
use entrace_measure::readout::TEMPERATURES;
use entrace_measure::signal::{Absent, SIGNALS, TraceData};
use entrace_measure::{Choices, Number, Statement};
use entrace_record::manifest::TaskRecord;
use entrace_record::rows::{Outcome, TraceRow};

/// The control name of a trace as it is.
pub(crate) const OWN: &str = "none";

/// The number of a row's cue if it is not the one that carries the numbers; records with one cue may not name it.
pub(crate) fn further_cue(cue: Option<u32>) -> Option<u32> {
    cue.filter(|&cue| cue > 0)
}

/// Which beliefs of a task are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Those of the run's estimator, at every prefix.
    Recorded,
    /// Rollouts that were measured beside it.
    Rollouts,
}

/// Points by control, in order of name; `none` is the trace itself.
pub(crate) type Curves = Vec<(Arc<str>, Vec<Point>)>;

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
    /// ln p_k(target), where it is finite.
    pub(crate) target_logprob: Option<f64>,
    /// Number of draws, for estimators that sample.
    pub(crate) n_samples: Option<u32>,
    /// ln T_τ p_k(target) at every temperature; `None` without a target, and where some answers are missing.
    pub(crate) readout: Option<[f32; TEMPERATURES.len()]>,
    /// The most likely answer, by its number in the task.
    pub(crate) leader: u32,
    pub(crate) leader_prob: f64,
    /// `None` without a target.
    pub(crate) leader_is_target: Option<bool>,
    pub(crate) elicited_mass: Option<f64>,
    pub(crate) residual_mass: f64,
    /// `None` where nothing was asked after a cue.
    pub(crate) cue_entropy: Option<f64>,
    /// How far rollouts are from the forced belief; `None` but for rollouts beside another estimator.
    pub(crate) disagreement: Option<Disagreement>,
    /// Whether the leader is the last number of the text; `None` without a number in it, and where answers are no numbers.
    pub(crate) leader_is_last_number: Option<bool>,
}

/// How far two readouts at one prefix are from each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disagreement {
    /// TV between them.
    pub(crate) distance: f64,
    /// TV that the draws alone would show.
    pub(crate) floor: f64,
    pub(crate) same_leader: bool,
}

/// The profile of a trace in single numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// e^{H_0}
    pub(crate) effective_first: f64,
    /// e^{H_K}
    pub(crate) effective_last: f64,
    pub(crate) n_switches: usize,
    pub(crate) n_returns: usize,
    /// Relative depth from which the leader stays.
    pub(crate) commitment_depth: f64,
    /// ΣJ_k; `None` where some answers are missing.
    pub(crate) path_length: Option<f64>,
    /// R_direct; `None` also where belief never moved.
    pub(crate) directness: Option<f64>,
    /// `None` without a target.
    pub(crate) outcome: Option<profile::Outcome>,
}

/// A number whose expectation is zero for an honest `rollout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriftKind {
    Target,
    Unreadable,
    Leader,
    RunnerUp,
    TargetEnding,
    LeaderEnding,
}

impl DriftKind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Target,
        Self::Unreadable,
        Self::Leader,
        Self::RunnerUp,
        Self::TargetEnding,
        Self::LeaderEnding,
    ];

    /// The name used in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Unreadable => "unreadable",
            Self::Leader => "leader",
            Self::RunnerUp => "runner-up",
            Self::TargetEnding => "ending in the target",
            Self::LeaderEnding => "ending in the leader",
        }
    }
}

/// The drift of one trace by kind; `None` where the trace says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Drift([Option<f64>; DriftKind::ALL.len()]);

impl Drift {
    pub(crate) fn get(&self, kind: DriftKind) -> Option<f64> {
        self.0[kind as usize]
    }

    pub(crate) fn set(&mut self, kind: DriftKind, value: Option<f64>) {
        self.0[kind as usize] = value;
    }
}

/// Belief under a further cue against that under the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CuePoint {
    /// Number of the further cue, from 1.
    pub(crate) cue: u32,
    pub(crate) step: u32,
    /// Total variation, in [0, 1].
    pub(crate) distance: f64,
    /// Whether the leaders are one.
    pub(crate) agrees: bool,
}

/// Sums over the tokens of a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenSums {
    pub(crate) entropy: f64,
    pub(crate) n_entropy: usize,
    pub(crate) logprob: f64,
    pub(crate) n_logprob: usize,
}

/// What a stopping rule did along a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asking {
    pub(crate) n_decisions: usize,
    /// Tokens that were run to ask.
    pub(crate) n_asked: u64,
    /// Most tokens that had been written at a decision.
    pub(crate) n_written: u32,
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
    pub(crate) choices: Option<Choices>,
    pub(crate) correct: Option<bool>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) n_prompt_tokens: u32,
    pub(crate) n_trace_tokens: u32,
    pub(crate) n_steps: u32,
    /// Equal where completions are.
    pub(crate) completion_hash: u64,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    pub(crate) lock_in_step: Option<u32>,
    pub(crate) total_drop: Option<f64>,
    pub(crate) monotone: Option<bool>,
    pub(crate) n_violations: Option<u32>,
    pub(crate) late_slope: Option<f64>,
    pub(crate) wasted_tokens: Option<u32>,
    /// What asking for belief while it was written took; `None` where nothing was asked then.
    pub(crate) asking: Option<Asking>,
    /// What the steps say of answers; `None` where the record lacks tokens of the trace.
    pub(crate) statements: Option<Statements>,
    /// Belief under further cues against that under the first.
    pub(crate) cues: Vec<CuePoint>,
    /// Of the run's estimator.
    pub(crate) curves: Curves,
    /// Of rollouts that were measured beside the estimator of `curves`.
    pub(crate) rollouts: Curves,
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
            choices: row.choices.as_deref().and_then(read_choices),
            correct: row.correct,
            stop_reason: row.stop_reason.clone(),
            n_prompt_tokens: row.n_prompt_tokens,
            n_trace_tokens: row.n_trace_tokens,
            n_steps: row.n_steps,
            completion_hash: hash_of(&row.completion),
            outcome: row.outcome,
            reason: row.reason.clone(),
            lock_in_step: row.lock_in_step,
            total_drop: finite(row.total_drop),
            monotone: row.monotone,
            n_violations: row.n_violations,
            late_slope: finite(row.late_slope),
            wasted_tokens: row.wasted_tokens,
            asking: None,
            statements: None,
            cues: Vec::new(),
            curves: Vec::new(),
            rollouts: Vec::new(),
            tokens: TokenSums::default(),
            path: None,
            drift: None,
            scores: nothing_recorded(),
        }
    }

    /// Whether the trace states no readable answer; `None` where there was nothing to read it from.
    pub(crate) fn invalid(&self) -> Option<bool> {
        self.answer.as_deref().map(|answer| answer == entrace_measure::Answer::INVALID_NAME)
    }

    /// The curve under a control, by step; `None` where it was not measured.
    pub(crate) fn curve(&self, control: &str) -> Option<&[Point]> {
        self.curve_of(Source::Recorded, control)
    }

    /// The curve of one source under a control.
    pub(crate) fn curve_of(&self, source: Source, control: &str) -> Option<&[Point]> {
        self.curves_of(source)
            .iter()
            .find(|(name, _)| &**name == control)
            .map(|(_, points)| points.as_slice())
    }

    fn curves_of(&self, source: Source) -> &Curves {
        match source {
            Source::Recorded => &self.curves,
            Source::Rollouts => &self.rollouts,
        }
    }

    /// The curve of a trace that was measured.
    pub(crate) fn measured_curve(&self) -> Option<&[Point]> {
        (self.outcome == Outcome::Measured).then(|| self.curve(OWN)).flatten()
    }

    /// Says at each prefix of the trace whether the leader is the last number of the text; `numbers` are the task's answers.
    pub(crate) fn compare_with_last_numbers(&mut self, numbers: &[Option<Number>]) {
        let Some(statements) = &self.statements else { return };
        let Some((_, points)) = self.curves.iter_mut().find(|(control, _)| &**control == OWN) else { return };
        for point in points {
            let last = statements.last_numbers.get(point.step as usize).and_then(Option::as_ref);
            let leader = numbers.get(point.leader as usize).and_then(Option::as_ref);
            point.leader_is_last_number = last.map(|last| leader == Some(last));
        }
    }

    /// The first step, from 1, whose text states the answer that the trace ends with; `None` where none does, where that answer cannot be
    /// read, and where the record lacks the text.
    pub(crate) fn stated_step(&self) -> Option<u32> {
        self.statements.as_ref()?.answer?.first_step
    }

    /// The same of the target.
    pub(crate) fn target_stated_step(&self) -> Option<u32> {
        self.statements.as_ref()?.target?.first_step
    }

    /// lock_in_step / n_steps: the relative depth from which the answer stands.
    pub(crate) fn lock_in_depth(&self) -> Option<f64> {
        let step = f64::from(self.lock_in_step?);
        Some(if self.n_steps == 0 { 0.0 } else { step / f64::from(self.n_steps) })
    }
}

/// Scores of a trace of which nothing is known.
fn nothing_recorded() -> Vec<Result<f64, Absent>> {
    let data = TraceData::default();
    SIGNALS.iter().map(|signal| signal.score(&data)).collect()
}

/// What the text of a trace's steps says of answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statements {
    /// Of the answer that the trace ends with; `None` where it cannot be read or text cannot state it.
    pub(crate) answer: Option<Stated>,
    /// Of the target; `None` without one.
    pub(crate) target: Option<Stated>,
    /// The last number of the text of the steps 1..k, for k from 0.
    pub(crate) last_numbers: Vec<Option<Number>>,
}

/// When an answer is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stated {
    /// From 1; `None` where no step states it.
    pub(crate) first_step: Option<u32>,
}

impl Statements {
    /// Reads the steps of a trace: `ends` are the bytes of its text at which steps end.
    pub(crate) fn of(trace: &TraceFacts, text: &str, ends: &[usize]) -> Self {
        let stated = |answer: &str| {
            let first_step = Statement::of(answer, trace.choices.as_ref())?.first_step(text, ends);
            Some(Stated { first_step: first_step.map(|step| u32::try_from(step).unwrap_or(u32::MAX)) })
        };
        let numerals = numerals(text);
        let last_number = |&end: &usize| {
            let n = numerals.partition_point(|numeral| numeral.bytes.end <= end);
            n.checked_sub(1).map(|last| numerals[last].number.clone())
        };
        Self {
            answer: trace.answer.as_deref().and_then(stated),
            target: trace.target.as_deref().and_then(stated),
            last_numbers: std::iter::once(&0).chain(ends).map(last_number).collect(),
        }
    }
}

/// The same in every run of this program, and no more than that.
fn hash_of(text: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What traces were drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TraceSampling {
    /// The likeliest token each time.
    Greedy,
    /// The model's distribution as it is: temperature 1, all tokens.
    Whole,
    /// Another temperature, some of the tokens, or what a file does not tell.
    Other,
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
    /// Whether rollouts are sampled as the traces were; greedy traces are not, since greedy rollouts would all be alike.
    pub(crate) rollouts_follow_traces: bool,
    pub(crate) trace_sampling: TraceSampling,
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
        self.controls_of(Source::Recorded)
    }

    /// The same of one source of beliefs.
    pub(crate) fn controls_of(&self, source: Source) -> Vec<Arc<str>> {
        let names = self
            .measured()
            .flat_map(|(trace, _)| trace.curves_of(source).iter().map(|(name, _)| name.clone()));
        let mut names: Vec<Arc<str>> = names.filter(|name| &**name != OWN).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether answers are read as numbers.
    pub(crate) fn answers_are_numbers(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.answer_format == "number")
    }

    /// Fewest and most draws of rollouts beside the run's estimator; `None` without any.
    pub(crate) fn rollout_draws(&self) -> Option<(u32, u32)> {
        let curves = self.measured().flat_map(|(trace, _)| &trace.rollouts);
        let draws = curves.flat_map(|(_, points)| points).filter_map(|point| point.n_samples);
        draws.fold(None, |range, m| {
            Some(range.map_or((m, m), |(low, high): (u32, u32)| (low.min(m), high.max(m))))
        })
    }

    /// Whether all beliefs are those of `rollout`.
    pub(crate) fn is_rollout(&self) -> bool {
        matches!(self.estimators.as_slice(), [only] if &**only == entrace_measure::Estimator::Rollout.name())
    }
}

/// The options in `{"labels": [...], "texts": [...]}`.
pub(crate) fn read_choices(json: &str) -> Option<Choices> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let list = |name: &str| -> Option<Vec<String>> {
        let items = value.get(name)?.as_array()?;
        items.iter().map(|item| item.as_str().map(str::to_string)).collect()
    };
    Choices::new(list("labels")?, list("texts")?).ok()
}

/// A recorded number that is one.
pub(crate) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}
