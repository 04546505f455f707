//! Rows of a record, gathered trace by trace and reduced to what metrics need.
//!
//! Tables are read once, row by row: `traces` first, then `prefixes`, `answers` and `tokens` in any order. What is kept is a few
//! numbers for each prefix and sums for tokens, so memory grows with prefixes (about 100 bytes each), not with text. Rows may come
//! in any order within a table: curves are put in order of step at the end, questions in order of their identity, so that metrics do
//! not depend on how a run was batched or resumed. A trace row that comes twice replaces the first; a row of another table without
//! its trace row is left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entrace_measure::Answer;
use entrace_record::Manifest;
use entrace_record::manifest::TaskRecord;
use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, TokenRow, TraceRow};

use crate::index::TraceIndex;

/// The control name of a trace as it is.
pub(crate) const OWN: &str = "none";

/// Belief at one prefix, without text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) step: u32,
    pub(crate) depth: f64,
    pub(crate) entropy: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) gain: Option<f64>,
    pub(crate) leader_prob: f64,
    /// `None` without a target.
    pub(crate) leader_is_target: Option<bool>,
    pub(crate) elicited_mass: Option<f64>,
    pub(crate) residual_mass: f64,
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
    pub(crate) n_choices: Option<usize>,
    pub(crate) invalid: Option<bool>,
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
}

impl TraceFacts {
    fn of(row: &TraceRow) -> Self {
        Self {
            question_id: row.question_id.clone(),
            question: 0,
            sample: row.sample,
            target: row.target.clone(),
            n_choices: row.choices.as_deref().and_then(count_choices),
            invalid: row.answer.as_deref().map(|answer| answer == Answer::INVALID_NAME),
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
        }
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
    /// Largest number of draws at a prefix.
    pub(crate) n_samples: Option<u32>,
    /// Number of different answers in the rows: found answers, leaders and targets.
    pub(crate) n_answers: usize,
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
}

/// Takes rows and gives facts.
#[derive(Debug)]
pub struct Collector {
    tasks: Vec<TaskFacts>,
    answers: Vec<HashSet<Arc<str>>>,
    task_numbers: HashMap<Arc<str>, usize>,
    /// Number of the task and position of the trace in it.
    positions: TraceIndex<(usize, usize)>,
}

impl Collector {
    /// Knows the tasks of the manifest, so that a task without rows is still reported.
    pub fn new(manifest: &Manifest) -> Self {
        let mut collector = Self {
            tasks: Vec::new(),
            answers: Vec::new(),
            task_numbers: HashMap::new(),
            positions: TraceIndex::new(),
        };
        for record in &manifest.settings.tasks {
            let task = collector.task_number(&Arc::from(record.name.as_str()));
            collector.tasks[task].record = Some(record.clone());
        }
        collector
    }

    /// Takes all rows of all tables.
    pub fn add_rows(&mut self, rows: &Rows) {
        rows.traces.iter().for_each(|row| self.add_trace(row));
        rows.prefixes.iter().for_each(|row| self.add_prefix(row));
        rows.answers.iter().for_each(|row| self.add_answer(row));
        rows.tokens.iter().for_each(|row| self.add_token(row));
    }

    /// Takes a row of `traces`.
    pub fn add_trace(&mut self, row: &TraceRow) {
        let task = self.task_number(&row.task);
        if let Some(target) = &row.target {
            self.answers[task].insert(Arc::from(target.as_str()));
        }
        let facts = TraceFacts::of(row);
        if let Some((_, position)) = self.positions.get(&row.task, &row.question_id, row.sample) {
            self.tasks[task].traces[position] = facts;
            return;
        }
        let position = self.tasks[task].traces.len();
        self.positions.insert(&row.task, &row.question_id, row.sample, (task, position));
        self.tasks[task].traces.push(facts);
    }

    /// Takes a row of `prefixes`.
    pub fn add_prefix(&mut self, row: &PrefixRow) {
        let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) else {
            return;
        };
        insert(&mut self.answers[task], &row.leader);
        let task = &mut self.tasks[task];
        if !task.estimators.contains(&row.estimator) {
            task.estimators.push(row.estimator.clone());
        }
        task.n_samples = task.n_samples.max(row.n_samples);
        let trace = &mut task.traces[position];
        let point = point(row, trace.target.as_deref());
        match trace.curves.iter_mut().find(|(control, _)| *control == row.control) {
            Some((_, points)) => points.push(point),
            None => trace.curves.push((row.control.clone(), vec![point])),
        }
    }

    /// Takes a row of `answers`.
    pub fn add_answer(&mut self, row: &AnswerRow) {
        if let Some(&task) = self.task_numbers.get(&row.task) {
            insert(&mut self.answers[task], &row.answer);
        }
    }

    /// Takes a row of `tokens`.
    pub fn add_token(&mut self, row: &TokenRow) {
        let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) else {
            return;
        };
        let sums = &mut self.tasks[task].traces[position].tokens;
        if let Some(entropy) = finite(row.token_entropy) {
            sums.entropy += entropy;
            sums.n_entropy += 1;
        }
        if let Some(logprob) = finite(row.logprob) {
            sums.logprob += logprob;
            sums.n_logprob += 1;
        }
    }

    /// Tasks in the order of the manifest, everything else in order of name or number.
    pub(crate) fn finish(mut self) -> Vec<TaskFacts> {
        for (task, answers) in self.tasks.iter_mut().zip(&self.answers) {
            task.n_answers = answers.len();
            task.estimators.sort_unstable();
            task.traces.sort_by(|a, b| (&a.question_id, a.sample).cmp(&(&b.question_id, b.sample)));
            task.n_questions = number_questions(&mut task.traces);
            for trace in &mut task.traces {
                trace.curves.sort_by(|a, b| a.0.cmp(&b.0));
                for (_, points) in &mut trace.curves {
                    points.sort_by_key(|point| point.step);
                }
            }
        }
        self.tasks
    }

    fn task_number(&mut self, name: &Arc<str>) -> usize {
        if let Some(&number) = self.task_numbers.get(name) {
            return number;
        }
        self.tasks.push(TaskFacts {
            name: name.clone(),
            record: None,
            traces: Vec::new(),
            n_questions: 0,
            estimators: Vec::new(),
            n_samples: None,
            n_answers: 0,
        });
        self.answers.push(HashSet::new());
        self.task_numbers.insert(name.clone(), self.tasks.len() - 1);
        self.tasks.len() - 1
    }
}

fn insert(answers: &mut HashSet<Arc<str>>, answer: &Arc<str>) {
    if !answers.contains(answer) {
        answers.insert(answer.clone());
    }
}

fn point(row: &PrefixRow, target: Option<&str>) -> Point {
    Point {
        step: row.step,
        depth: row.depth,
        entropy: row.answer_entropy,
        lower: row.entropy_lower,
        upper: row.entropy_upper,
        gain: finite(row.information_gain),
        leader_prob: row.leader_prob,
        leader_is_target: target.map(|target| &*row.leader == target),
        elicited_mass: finite(row.elicited_mass),
        residual_mass: row.residual_mass,
    }
}

fn number_questions(traces: &mut [TraceFacts]) -> usize {
    let mut n_questions = 0;
    let mut previous: Option<Arc<str>> = None;
    for trace in traces {
        if previous.as_ref() != Some(&trace.question_id) {
            n_questions += 1;
            previous = Some(trace.question_id.clone());
        }
        trace.question = n_questions - 1;
    }
    n_questions
}

/// Number of options in `{"labels": [...], "texts": [...]}`.
fn count_choices(json: &str) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    Some(value.get("labels")?.as_array()?.len())
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}
