//! Rows of a record, gathered trace by trace and reduced to what metrics need.
//!
//! Tables are read once, row by row: `traces` first, then the others in any order. What is kept is a few
//! numbers for each prefix and answer, about 190 and 24 bytes, and for tokens nothing beyond sums, scores, and what the steps state: the
//! tokens of a trace are reduced as soon as all of them have come. Statements are found in the text, with the function that made the columns
//! of the record, so that records from before those columns have them too. Rows may come in any order within a table: curves are put in order of step at the
//! end, questions in order of their identity, so that metrics do not depend on how a run was batched or resumed. A trace row that
//! comes twice replaces the first; a row of another table without its trace row is left out. A prefix whose numbers are not finite takes
//! its curve with it: the trace is failed, with that reason, or lacks the control. Rollouts that were measured beside the estimator of a
//! question have curves of their own.

use std::collections::HashMap;
use std::sync::Arc;

use entrace_measure::{Choices, Number};
use entrace_record::manifest::TraceSource;
use entrace_record::rows::{AnswerRow, DecisionRow, Outcome, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};
use entrace_record::{Manifest, RunReader, Settings};
use rayon::prelude::*;

use crate::belief::{self, Mass};
use crate::cues;
use crate::disagreement;
use crate::error::Error;
use crate::facts::{
    OWN, Point, Source, Statements, TaskFacts, TraceFacts, TraceSampling, finite, further_cue,
};
use crate::index::TraceIndex;
use crate::readouts;
use crate::signals::{self, Token};

/// Answers by control.
type Masses = Vec<(Arc<str>, Vec<Mass>)>;

/// What is kept of a trace only until it is complete.
#[derive(Debug, Default)]
struct Pending {
    masses: Masses,
    rollout_masses: Masses,
    under_further_cues: cues::Found,
    tokens: Vec<Token>,
    /// Controls with a prefix that is no belief.
    broken: Vec<Arc<str>>,
}

/// Takes rows and gives facts.
#[derive(Debug)]
pub struct Collector {
    tasks: Vec<TaskFacts>,
    /// For each task, what its traces wait for, by the position of the trace.
    pending: Vec<Vec<Pending>>,
    /// For each task, the number of each answer.
    answer_numbers: Vec<HashMap<Arc<str>, u32>>,
    task_numbers: HashMap<Arc<str>, usize>,
    /// Number of the task and position of the trace in it.
    positions: TraceIndex<(usize, usize)>,
    settings: Settings,
}

impl Collector {
    /// Knows the tasks of the manifest, so that a task without rows is still reported.
    pub fn new(manifest: &Manifest) -> Self {
        let mut collector = Self {
            tasks: Vec::new(),
            pending: Vec::new(),
            answer_numbers: Vec::new(),
            task_numbers: HashMap::new(),
            positions: TraceIndex::new(),
            settings: manifest.settings.clone(),
        };
        for record in &manifest.settings.tasks {
            let task = collector.task_number(&Arc::from(record.name.as_str()));
            collector.tasks[task].record = Some(record.clone());
        }
        collector
    }

    /// Reads all tables of a run folder, row by row.
    pub fn of_run(reader: &RunReader) -> Result<Self, Error> {
        let mut collector = Self::new(reader.manifest());
        for row in reader.stream_traces() {
            collector.add_trace(&row?);
        }
        for row in reader.stream_prefixes() {
            collector.add_prefix(&row?);
        }
        for row in reader.stream_answers() {
            collector.add_answer(&row?);
        }
        for row in reader.stream_tokens() {
            collector.add_token(&row?);
        }
        for row in reader.stream_signals() {
            collector.add_signal(&row?);
        }
        for row in reader.stream_decisions() {
            collector.add_decision(&row?);
        }
        Ok(collector)
    }

    /// Takes all rows of all tables.
    pub fn add_rows(&mut self, rows: &Rows) {
        rows.traces.iter().for_each(|row| self.add_trace(row));
        rows.prefixes.iter().for_each(|row| self.add_prefix(row));
        rows.answers.iter().for_each(|row| self.add_answer(row));
        rows.tokens.iter().for_each(|row| self.add_token(row));
        rows.signals.iter().for_each(|row| self.add_signal(row));
        rows.decisions.iter().for_each(|row| self.add_decision(row));
    }

    /// Takes a row of `traces`.
    pub fn add_trace(&mut self, row: &TraceRow) {
        let task = self.task_number(&row.task);
        if let Some(target) = &row.target {
            self.answer_number(task, &Arc::from(target.as_str()));
        }
        let facts = TraceFacts::of(row);
        if let Some((_, position)) = self.positions.get(&row.task, &row.question_id, row.sample) {
            self.tasks[task].traces[position] = facts;
            return;
        }
        let position = self.tasks[task].traces.len();
        self.positions.insert(&row.task, &row.question_id, row.sample, (task, position));
        self.tasks[task].traces.push(facts);
        self.pending[task].push(Pending::default());
    }

    /// Takes a row of `prefixes`.
    pub fn add_prefix(&mut self, row: &PrefixRow) {
        let Some((number, position)) = self.positions.get(&row.task, &row.question_id, row.sample) else {
            return;
        };
        if let Some(cue) = further_cue(row.cue) {
            let found = &mut self.pending[number][position].under_further_cues;
            found.leaders.push((cue, row.step, row.leader.clone()));
            return;
        }
        let leader = self.answer_number(number, &row.leader);
        if self.settings.is_beside(&row.estimator) {
            let trace = &mut self.tasks[number].traces[position];
            let point = point(row, leader, trace.target.as_deref());
            if not_finite(row).is_none() {
                of_control(&mut trace.rollouts, &row.control).push(point);
            }
            return;
        }
        let task = &mut self.tasks[number];
        if !task.estimators.contains(&row.estimator) {
            task.estimators.push(row.estimator.clone());
        }
        if let Some(m) = row.n_samples {
            let (fewest, most) = task.n_samples.unwrap_or((m, m));
            task.n_samples = Some((fewest.min(m), most.max(m)));
        }
        let trace = &mut task.traces[position];
        if let Some(column) = not_finite(row) {
            if &*row.control == OWN {
                fail(trace, &format!("the record's {column} after step {} is not finite", row.step));
            } else {
                self.pending[number][position].broken.push(row.control.clone());
            }
            return;
        }
        let point = point(row, leader, trace.target.as_deref());
        of_control(&mut trace.curves, &row.control).push(point);
    }

    /// Takes a row of `answers`.
    pub fn add_answer(&mut self, row: &AnswerRow) {
        let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) else {
            return;
        };
        if let Some(cue) = further_cue(row.cue) {
            let found = &mut self.pending[task][position].under_further_cues;
            found.masses.push((cue, row.step, row.answer.clone(), row.prob));
            return;
        }
        let answer = self.answer_number(task, &row.answer);
        let mass = Mass { step: row.step, answer, prob: row.prob, logprob: row.logprob };
        let beside = row.estimator.as_ref().is_some_and(|estimator| self.settings.is_beside(estimator));
        let pending = &mut self.pending[task][position];
        let masses = if beside { &mut pending.rollout_masses } else { &mut pending.masses };
        of_control(masses, &row.control).push(mass);
    }

    /// Takes a row of `tokens`.
    pub fn add_token(&mut self, row: &TokenRow) {
        let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) else {
            return;
        };
        let trace = &mut self.tasks[task].traces[position];
        let token = Token {
            index: row.index,
            step: row.step,
            text: row.text.clone(),
            entropy: finite(row.token_entropy),
            logprob: finite(row.logprob),
            margin: finite(row.top2_margin),
            confidence: finite(row.topk_confidence),
            divergence: finite(row.uniform_divergence),
        };
        if let Some(entropy) = token.entropy {
            trace.tokens.entropy += entropy;
            trace.tokens.n_entropy += 1;
        }
        if let Some(logprob) = token.logprob {
            trace.tokens.logprob += logprob;
            trace.tokens.n_logprob += 1;
        }
        let tokens = &mut self.pending[task][position].tokens;
        tokens.push(token);
        if tokens.len() == trace.n_trace_tokens as usize {
            let mut tokens = std::mem::take(tokens);
            tokens.sort_unstable_by_key(|token| token.index);
            signals::from_tokens(trace, &tokens);
            trace.statements = Some(statements(trace, &tokens));
        }
    }

    /// Takes a row of `signals`.
    pub fn add_signal(&mut self, row: &SignalRow) {
        if let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) {
            signals::from_run(&mut self.tasks[task].traces[position].scores, &row.signal, finite(row.value));
        }
    }

    /// Takes a row of `decisions`.
    pub fn add_decision(&mut self, row: &DecisionRow) {
        if let Some((task, position)) = self.positions.get(&row.task, &row.question_id, row.sample) {
            let asking = self.tasks[task].traces[position].asking.get_or_insert_default();
            asking.n_decisions += 1;
            asking.n_asked += u64::from(row.n_asked);
            asking.n_written = asking.n_written.max(row.n_written);
        }
    }

    /// Tasks in the order of the manifest, everything else in order of name or number.
    pub(crate) fn finish(self) -> Vec<TaskFacts> {
        let Self { mut tasks, pending, .. } = self;
        for (task, pending) in tasks.iter_mut().zip(pending) {
            task.estimators.sort_unstable();
            let numbers = task.answers_are_numbers().then(|| parsed(&task.answers));
            let (names, is_rollout) = (std::mem::take(&mut task.answers), task.is_rollout());
            task.traces.par_iter_mut().zip(pending).for_each(|(trace, mut pending)| {
                trace.curves.retain(|(control, _)| !pending.broken.contains(control));
                trace.curves.sort_by(|a, b| a.0.cmp(&b.0));
                for (_, points) in trace.curves.iter_mut().chain(&mut trace.rollouts) {
                    points.sort_by_key(|point| point.step);
                }
                for (_, masses) in pending.masses.iter_mut().chain(&mut pending.rollout_masses) {
                    masses.sort_by_key(|mass| mass.step);
                }
                fill_readouts(trace, &pending, &names);
                let last = trace.curve(OWN).and_then(|points| points.last());
                let cue_entropy = last.and_then(|point| point.cue_entropy);
                signals::from_cue(&mut trace.scores, cue_entropy);
                belief::reduce(trace, masses_of(&pending.masses, OWN), &names, is_rollout);
                if let Some(points) = trace.curve_of(Source::Rollouts, OWN) {
                    let masses = masses_of(&pending.rollout_masses, OWN);
                    trace.drift = belief::drift_of_rollouts(trace, points, masses, &names);
                }
                fill_disagreements(trace, &pending);
                let found = std::mem::take(&mut pending.under_further_cues);
                let points = trace.curve(OWN).unwrap_or_default();
                trace.cues = cues::differences(points, masses_of(&pending.masses, OWN), &names, found);
                if let Some(numbers) = &numbers {
                    trace.compare_with_last_numbers(numbers);
                }
            });
            task.answers = names;
            task.traces.sort_by(|a, b| (&a.question_id, a.sample).cmp(&(&b.question_id, b.sample)));
            task.n_questions = number_questions(&mut task.traces);
            signals::from_agreement(&mut task.traces);
        }
        tasks
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
            rollouts_follow_traces: follows(&self.settings),
            trace_sampling: trace_sampling(&self.settings.traces),
            n_samples: None,
            answers: Vec::new(),
        });
        self.pending.push(Vec::new());
        self.answer_numbers.push(HashMap::new());
        self.task_numbers.insert(name.clone(), self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    /// The number of an answer in its task, a new one for a new answer.
    fn answer_number(&mut self, task: usize, name: &Arc<str>) -> u32 {
        if let Some(&number) = self.answer_numbers[task].get(name) {
            return number;
        }
        let answers = &mut self.tasks[task].answers;
        let number = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        answers.push(name.clone());
        self.answer_numbers[task].insert(name.clone(), number);
        number
    }
}

/// Whether rollouts beside the estimator have the temperature of the traces.
fn follows(settings: &Settings) -> bool {
    match (&settings.traces, &settings.rollouts) {
        (TraceSource::Generated { temperature, .. }, Some(rollouts)) => {
            (temperature - rollouts.sampling.temperature).abs() < 1e-9
        }
        _ => true,
    }
}

fn trace_sampling(traces: &TraceSource) -> TraceSampling {
    match traces {
        TraceSource::Generated { temperature, .. } if *temperature <= 0.0 => TraceSampling::Greedy,
        TraceSource::Generated { temperature, top_p, top_k: 0, .. }
            if (temperature - 1.0).abs() < 1e-9 && *top_p >= 1.0 =>
        {
            TraceSampling::Whole
        }
        TraceSource::Generated { .. } | TraceSource::Imported { .. } => TraceSampling::Other,
    }
}

/// What a control has so far.
fn of_control<'a, T>(all: &'a mut Vec<(Arc<str>, Vec<T>)>, control: &Arc<str>) -> &'a mut Vec<T> {
    let position = all.iter().position(|(name, _)| name == control).unwrap_or_else(|| {
        all.push((control.clone(), Vec::new()));
        all.len() - 1
    });
    &mut all[position].1
}

fn masses_of<'a>(masses: &'a Masses, control: &str) -> &'a [Mass] {
    masses.iter().find(|(name, _)| &**name == control).map_or(&[], |(_, masses)| masses)
}

fn fill_readouts(trace: &mut TraceFacts, pending: &Pending, names: &[Arc<str>]) {
    let Some(target) = trace.target.clone() else { return };
    let n_choices = trace.choices.as_ref().map(Choices::len);
    let sources = [(&mut trace.curves, &pending.masses), (&mut trace.rollouts, &pending.rollout_masses)];
    for (curves, masses) in sources {
        for (control, points) in curves {
            readouts::fill(points, masses_of(masses, control), names, &target, n_choices);
        }
    }
}

fn fill_disagreements(trace: &mut TraceFacts, pending: &Pending) {
    let Some((_, forced)) = trace.curves.iter().find(|(control, _)| &**control == OWN) else { return };
    if let Some((_, points)) = trace.rollouts.iter_mut().find(|(control, _)| &**control == OWN) {
        let (drawn, believed) = (masses_of(&pending.rollout_masses, OWN), masses_of(&pending.masses, OWN));
        disagreement::fill(points, drawn, forced, believed);
    }
}

/// What the steps of a trace state, from all of its tokens in order.
fn statements(trace: &TraceFacts, tokens: &[Token]) -> Statements {
    let text: String = tokens.iter().map(|token| token.text.as_str()).collect();
    let end = |step: u32| tokens.iter().take_while(|token| token.step <= step).map(|t| t.text.len()).sum();
    let ends: Vec<usize> = (1..=trace.n_steps).map(end).collect();
    Statements::of(trace, &text, &ends)
}

/// The first column that no metric can do without and that is NaN or infinite.
fn not_finite(row: &PrefixRow) -> Option<&'static str> {
    let columns = [
        ("depth", row.depth),
        ("answer_entropy", row.answer_entropy),
        ("entropy_lower", row.entropy_lower),
        ("entropy_upper", row.entropy_upper),
        ("leader_prob", row.leader_prob),
        ("residual_mass", row.residual_mass),
    ];
    columns.into_iter().find(|(_, value)| !value.is_finite()).map(|(name, _)| name)
}

/// Takes a trace out of the measured ones; one that was none keeps its reason.
fn fail(trace: &mut TraceFacts, reason: &str) {
    if trace.outcome == Outcome::Measured {
        (trace.outcome, trace.reason) = (Outcome::Failed, Some(reason.to_string()));
    }
}

fn point(row: &PrefixRow, leader: u32, target: Option<&str>) -> Point {
    Point {
        step: row.step,
        n_tokens: row.n_tokens,
        depth: row.depth,
        entropy: row.answer_entropy,
        lower: row.entropy_lower,
        upper: row.entropy_upper,
        gain: finite(row.information_gain),
        target_logprob: finite(row.target_logprob),
        n_samples: row.n_samples,
        readout: None,
        disagreement: None,
        leader,
        leader_prob: row.leader_prob,
        leader_is_target: target.map(|target| &*row.leader == target),
        elicited_mass: finite(row.elicited_mass),
        residual_mass: row.residual_mass,
        cue_entropy: finite(row.cue_entropy),
        leader_is_last_number: None,
    }
}

/// Each answer as a number, where it is one.
fn parsed(answers: &[Arc<str>]) -> Vec<Option<Number>> {
    answers.iter().map(|answer| Number::parse(answer)).collect()
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
