//! Single traces that a report shows, chosen by rule.
//!
//! The choice depends on the numbers and the seed alone: the same record shows the same traces. Ties go to the first question. A trace
//! is shown once, for the first rule that picks it.

use std::sync::Arc;

use entrace_measure::Answer;
use entrace_measure::seed::{fnv1a, mix};
use entrace_record::Settings;
use entrace_record::rows::{AnswerRow, PrefixRow, Rows, TokenRow, TraceRow};

use crate::facts::{OWN, Point, TaskFacts, TraceFacts, further_cue};
use crate::index::TraceIndex;

/// A trace to show and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) task: Arc<str>,
    pub(crate) question_id: Arc<str>,
    pub(crate) sample: u32,
    pub(crate) why: &'static str,
}

/// A measured trace with its own curve.
type Candidate<'a> = (&'a TraceFacts, &'a [Point]);

/// A reason to show a trace, and how well a trace fits it; `None` where it does not.
type Rule = (&'static str, fn(&Candidate<'_>) -> Option<f64>);

/// The rules in the order in which they pick.
const RULES: [Rule; 4] = [
    ("Most information gained, correct", most_informative),
    ("Wrong and sure of it", confident_wrong),
    ("Late rescue: the target takes the lead deep in the trace", late_rescue),
    ("Undecided to the end", undecided),
];

/// Up to `limit` traces of a task.
pub(crate) fn choose(task: &TaskFacts, seed: u64, limit: usize) -> Vec<Choice> {
    let candidates: Vec<Candidate<'_>> = task.measured().filter(|(_, points)| !points.is_empty()).collect();
    let mut chosen: Vec<(usize, &'static str)> = Vec::new();
    for (why, fit) in RULES {
        let free = (0..candidates.len()).filter(|i| chosen.iter().all(|(taken, _)| taken != i));
        chosen.extend(best(free, |i| fit(&candidates[i])).map(|i| (i, why)));
    }
    chosen.truncate(limit.saturating_sub(1));
    while chosen.len() < limit {
        let free = (0..candidates.len()).filter(|i| chosen.iter().all(|(taken, _)| taken != i));
        let lot = |i: usize| {
            let trace = candidates[i].0;
            Some(draw(seed, &trace.question_id, trace.sample))
        };
        match best(free, lot) {
            Some(i) => chosen.push((i, "Drawn at random")),
            None => break,
        }
    }
    chosen
        .into_iter()
        .map(|(i, why)| Choice {
            task: task.name.clone(),
            question_id: candidates[i].0.question_id.clone(),
            sample: candidates[i].0.sample,
            why,
        })
        .collect()
}

/// The first position with the largest fit.
fn best(positions: impl Iterator<Item = usize>, fit: impl Fn(usize) -> Option<f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for position in positions {
        let Some(fit) = fit(position) else { continue };
        if best.is_none_or(|(_, largest)| fit > largest) {
            best = Some((position, fit));
        }
    }
    best.map(|(position, _)| position)
}

fn most_informative((trace, points): &Candidate<'_>) -> Option<f64> {
    (trace.correct == Some(true)).then(|| points.last()?.gain()).flatten()
}

fn confident_wrong((trace, points): &Candidate<'_>) -> Option<f64> {
    let last = points.last()?;
    (trace.correct == Some(false) && last.leader_is_target == Some(false)).then_some(-last.entropy)
}

/// Depth of the last prefix at which another answer led, for traces that the target leads in the end.
fn late_rescue((trace, points): &Candidate<'_>) -> Option<f64> {
    if trace.correct != Some(true) || points.last()?.leader_is_target != Some(true) {
        return None;
    }
    points.iter().rev().find(|p| p.leader_is_target == Some(false)).map(|p| p.depth)
}

fn undecided((_, points): &Candidate<'_>) -> Option<f64> {
    points.last().map(|last| last.entropy)
}

/// A number in [0, 1) that the seed and the trace's identity give.
fn draw(seed: u64, question: &str, sample: u32) -> f64 {
    let bytes = question.bytes().chain(sample.to_le_bytes()).chain(seed.to_le_bytes());
    (mix(fnv1a(bytes)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A trace as it is shown: all its rows.
#[derive(Debug, Clone)]
pub(crate) struct Exemplar {
    pub(crate) choice: Choice,
    /// Absent until its row is met.
    pub(crate) trace: Option<TraceRow>,
    /// By step.
    pub(crate) prefixes: Vec<PrefixRow>,
    pub(crate) answers: Vec<AnswerRow>,
    pub(crate) tokens: Vec<TokenRow>,
}

impl Exemplar {
    /// The text of step k, from 1: its tokens put together.
    pub(crate) fn text_of_step(&self, step: u32) -> String {
        self.tokens.iter().filter(|t| t.step == step).map(|t| t.text.as_str()).collect()
    }

    /// Answers at a step, the most likely first, ties as in an answer distribution.
    pub(crate) fn answers_at(&self, step: u32) -> Vec<&AnswerRow> {
        let mut answers: Vec<&AnswerRow> = self.answers.iter().filter(|a| a.step == step).collect();
        let answer = |row: &AnswerRow| Answer::from_name(&row.answer);
        answers.sort_by(|a, b| b.prob.total_cmp(&a.prob).then_with(|| answer(a).cmp(&answer(b))));
        answers
    }
}

/// Picks the rows of chosen traces out of the tables.
#[derive(Debug)]
pub(crate) struct Gatherer {
    exemplars: Vec<Exemplar>,
    index: TraceIndex<usize>,
    settings: Settings,
}

impl Gatherer {
    /// For a run of these settings.
    pub(crate) fn new(choices: Vec<Choice>, settings: &Settings) -> Self {
        let mut index = TraceIndex::new();
        for (i, choice) in choices.iter().enumerate() {
            index.insert(&choice.task, &choice.question_id, choice.sample, i);
        }
        let empty = |choice| Exemplar {
            choice,
            trace: None,
            prefixes: Vec::new(),
            answers: Vec::new(),
            tokens: Vec::new(),
        };
        Self { exemplars: choices.into_iter().map(empty).collect(), index, settings: settings.clone() }
    }

    pub(crate) fn add_rows(&mut self, rows: &Rows) {
        rows.traces.iter().for_each(|row| self.add_trace(row));
        rows.prefixes.iter().for_each(|row| self.add_prefix(row));
        rows.answers.iter().for_each(|row| self.add_answer(row));
        rows.tokens.iter().for_each(|row| self.add_token(row));
    }

    pub(crate) fn add_trace(&mut self, row: &TraceRow) {
        if let Some(i) = self.index.get(&row.task, &row.question_id, row.sample) {
            self.exemplars[i].trace = Some(row.clone());
        }
    }

    pub(crate) fn add_prefix(&mut self, row: &PrefixRow) {
        if &*row.control == OWN
            && further_cue(row.cue).is_none()
            && !self.settings.is_beside(&row.estimator)
            && let Some(i) = self.index.get(&row.task, &row.question_id, row.sample)
        {
            self.exemplars[i].prefixes.push(row.clone());
        }
    }

    pub(crate) fn add_answer(&mut self, row: &AnswerRow) {
        let beside = |estimator: &Arc<str>| self.settings.is_beside(estimator);
        if &*row.control == OWN
            && further_cue(row.cue).is_none()
            && !row.estimator.as_ref().is_some_and(beside)
            && let Some(i) = self.index.get(&row.task, &row.question_id, row.sample)
        {
            self.exemplars[i].answers.push(row.clone());
        }
    }

    pub(crate) fn add_token(&mut self, row: &TokenRow) {
        if let Some(i) = self.index.get(&row.task, &row.question_id, row.sample) {
            self.exemplars[i].tokens.push(row.clone());
        }
    }

    /// The traces in the order in which they were chosen, their rows in order.
    pub(crate) fn finish(mut self) -> Vec<Exemplar> {
        for exemplar in &mut self.exemplars {
            exemplar.prefixes.sort_by_key(|p| p.step);
            exemplar.tokens.sort_by_key(|t| t.index);
        }
        self.exemplars
    }
}
