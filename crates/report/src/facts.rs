//! What metrics need to know of a trace, without its text.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use entrace_measure::number::numerals;
use entrace_measure::profile;
use entrace_measure::readout::{TEMPERATURES, TargetReadout};
use entrace_measure::{Choices, Number, Statement};
use entrace_record::manifest::TaskRecord;
use entrace_record::rows::{Outcome, PrefixRow, TraceRow};

use crate::signals::Scores;

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
pub(crate) type Curves = Box<[(Arc<str>, Box<[Point]>)]>;

/// Belief at one prefix, without text. There are millions of them: what is undefined takes no room of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) depth: f64,
    pub(crate) entropy: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) leader_prob: f64,
    pub(crate) residual_mass: f64,
    /// NaN where it is undefined.
    gain: f64,
    /// NaN where it is undefined.
    elicited_mass: f64,
    pub(crate) step: u32,
    /// ln T_τ p_k(target) at every temperature; NaN without a target, and where some answers are missing.
    readout: [f32; TEMPERATURES.len()],
    /// `None` without a target.
    pub(crate) leader_is_target: Option<bool>,
    /// Whether the leader is the last number of the text; `None` without a number in it, and where answers are no numbers.
    pub(crate) leader_is_last_number: Option<bool>,
}

impl Point {
    /// ℓ_k − ℓ_0, where it is finite.
    pub(crate) fn gain(&self) -> Option<f64> {
        finite(Some(self.gain))
    }

    /// Share of raw probability on answers, where it is known.
    pub(crate) fn elicited_mass(&self) -> Option<f64> {
        finite(Some(self.elicited_mass))
    }

    /// ln T_τ p_k(target) at every temperature; `None` without a target, and where some answers are missing.
    pub(crate) fn readout(&self) -> Option<TargetReadout> {
        (!self.readout[0].is_nan()).then(|| self.readout.map(f64::from))
    }

    pub(crate) fn set_readout(&mut self, readout: TargetReadout) {
        self.readout = readout.map(|logprob| logprob as f32);
    }
}

/// Curves while their trace is being read.
pub(crate) type Drafts = Vec<(Arc<str>, Vec<Draft>)>;

/// A point with what is needed only while its trace is being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) point: Point,
    pub(crate) n_tokens: u32,
    /// The most likely answer, by its number in the task.
    pub(crate) leader: u32,
    /// ln p_k(target), where it is finite.
    pub(crate) target_logprob: Option<f64>,
    /// Number of draws, for estimators that sample.
    pub(crate) n_samples: Option<u32>,
    /// `None` where nothing was asked after a cue.
    pub(crate) cue_entropy: Option<f64>,
}

impl Deref for Draft {
    type Target = Point;

    fn deref(&self) -> &Point {
        &self.point
    }
}

impl Draft {
    pub(crate) fn of(row: &PrefixRow, leader: u32, target: Option<&str>) -> Self {
        let point = Point {
            depth: row.depth,
            entropy: row.answer_entropy,
            lower: row.entropy_lower,
            upper: row.entropy_upper,
            leader_prob: row.leader_prob,
            residual_mass: row.residual_mass,
            gain: finite(row.information_gain).unwrap_or(f64::NAN),
            elicited_mass: finite(row.elicited_mass).unwrap_or(f64::NAN),
            step: row.step,
            readout: [f32::NAN; TEMPERATURES.len()],
            leader_is_target: target.map(|target| &*row.leader == target),
            leader_is_last_number: None,
        };
        Self {
            point,
            n_tokens: row.n_tokens,
            leader,
            target_logprob: finite(row.target_logprob),
            n_samples: row.n_samples,
            cue_entropy: finite(row.cue_entropy),
        }
    }
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
    pub(crate) target: Option<Arc<str>>,
    /// The answer that the trace states.
    pub(crate) answer: Option<Arc<str>>,
    /// Number of options; `None` where answers are open.
    pub(crate) n_choices: Option<u32>,
    pub(crate) correct: Option<bool>,
    pub(crate) stop_reason: Option<Arc<str>>,
    pub(crate) n_prompt_tokens: u32,
    pub(crate) n_trace_tokens: u32,
    pub(crate) n_steps: u32,
    /// Equal where completions are.
    pub(crate) completion_hash: u64,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) lock_in_step: Option<u32>,
    pub(crate) total_drop: Option<f64>,
    pub(crate) monotone: Option<bool>,
    pub(crate) n_violations: Option<u32>,
    pub(crate) late_slope: Option<f64>,
    pub(crate) wasted_tokens: Option<u32>,
    /// What asking for belief while it was written took; `None` where nothing was asked then.
    pub(crate) asking: Option<Box<Asking>>,
    /// What the steps say of answers; `None` where the record lacks tokens of the trace.
    pub(crate) statements: Option<Statements>,
    /// Belief under further cues against that under the first.
    pub(crate) cues: Box<[CuePoint]>,
    /// Of the run's estimator.
    pub(crate) curves: Curves,
    /// Of rollouts that were measured beside the estimator of `curves`.
    pub(crate) rollouts: Curves,
    /// Fewest and most draws of these; `None` without any.
    pub(crate) rollout_draws: Option<(u32, u32)>,
    /// How far these are from the forced beliefs at the same steps, for each point of the trace itself; empty without either.
    pub(crate) disagreements: Box<[Option<Disagreement>]>,
    pub(crate) tokens: TokenSums,
    /// The way that belief took; `None` without prefixes.
    pub(crate) path: Option<Box<Path>>,
    /// How belief drifted, for `rollout`.
    pub(crate) drift: Option<Box<Drift>>,
    /// The score of every signal, in the order of the registry.
    pub(crate) scores: Scores,
}

impl TraceFacts {
    /// Of its row alone; `texts` are those that traces share.
    pub(crate) fn of(row: &TraceRow, texts: &mut HashSet<Arc<str>>) -> Self {
        let mut shared = |text: &Option<String>| text.as_deref().map(|text| share(texts, text));
        Self {
            question_id: row.question_id.clone(),
            question: 0,
            sample: row.sample,
            target: shared(&row.target),
            answer: shared(&row.answer),
            n_choices: row.choices.as_deref().and_then(read_choices).map(|choices| choices.len() as u32),
            correct: row.correct,
            stop_reason: shared(&row.stop_reason),
            n_prompt_tokens: row.n_prompt_tokens,
            n_trace_tokens: row.n_trace_tokens,
            n_steps: row.n_steps,
            completion_hash: hash_of(&row.completion),
            outcome: row.outcome,
            reason: shared(&row.reason),
            lock_in_step: row.lock_in_step,
            total_drop: finite(row.total_drop),
            monotone: row.monotone,
            n_violations: row.n_violations,
            late_slope: finite(row.late_slope),
            wasted_tokens: row.wasted_tokens,
            asking: None,
            statements: None,
            cues: Box::default(),
            curves: Box::default(),
            rollouts: Box::default(),
            rollout_draws: None,
            disagreements: Box::default(),
            tokens: TokenSums::default(),
            path: None,
            drift: None,
            scores: Scores::default(),
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
        self.curves_of(source).iter().find(|(name, _)| &**name == control).map(|(_, points)| &**points)
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

    /// Keeps the points of curves, without what was needed to read them.
    pub(crate) fn keep(&mut self, curves: Drafts, rollouts: Drafts) {
        let draws = rollouts.iter().flat_map(|(_, points)| points).filter_map(|point| point.n_samples);
        self.rollout_draws = draws.map(|m| (m, m)).reduce(widest);
        let kept = |drafts: Drafts| -> Curves {
            let points = |points: Vec<Draft>| points.into_iter().map(|draft| draft.point).collect();
            drafts.into_iter().map(|(control, drafts)| (control, points(drafts))).collect()
        };
        (self.curves, self.rollouts) = (kept(curves), kept(rollouts));
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

/// One copy of a text that many traces have.
fn share(texts: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return known.clone();
    }
    let shared: Arc<str> = Arc::from(text);
    texts.insert(shared.clone());
    shared
}

/// The range that holds both.
fn widest((low, high): (u32, u32), (other_low, other_high): (u32, u32)) -> (u32, u32) {
    (low.min(other_low), high.max(other_high))
}

/// What the text of a trace's steps says of answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statements {
    /// Of the answer that the trace ends with; `None` where it cannot be read or text cannot state it.
    pub(crate) answer: Option<Stated>,
    /// Of the target; `None` without one.
    pub(crate) target: Option<Stated>,
}

/// When an answer is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stated {
    /// From 1; `None` where no step states it.
    pub(crate) first_step: Option<u32>,
}

impl Statements {
    /// Reads the steps of a trace: `ends` are the bytes of its text at which steps end. Returns the last number of the text of the steps
    /// 1..k as well, for k from 0.
    pub(crate) fn of(
        trace: &TraceFacts,
        choices: Option<&Choices>,
        text: &str,
        ends: &[usize],
    ) -> (Self, Vec<Option<Number>>) {
        let stated = |answer: &str| {
            let first_step = Statement::of(answer, choices)?.first_step(text, ends);
            Some(Stated { first_step: first_step.map(|step| u32::try_from(step).unwrap_or(u32::MAX)) })
        };
        let numerals = numerals(text);
        let last_number = |&end: &usize| {
            let n = numerals.partition_point(|numeral| numeral.bytes.end <= end);
            n.checked_sub(1).map(|last| numerals[last].number.clone())
        };
        let statements = Self {
            answer: trace.answer.as_deref().and_then(stated),
            target: trace.target.as_deref().and_then(stated),
        };
        (statements, std::iter::once(&0).chain(ends).map(last_number).collect())
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
        self.measured().filter_map(|(trace, _)| trace.rollout_draws).reduce(widest)
    }

    /// Takes note of an estimator that beliefs are read by, and of its draws.
    pub(crate) fn add_estimator(&mut self, estimator: &Arc<str>, n_samples: Option<u32>) {
        if !self.estimators.contains(estimator) {
            self.estimators.push(estimator.clone());
        }
        if let Some(m) = n_samples {
            self.n_samples = Some(self.n_samples.map_or((m, m), |range| widest(range, (m, m))));
        }
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
