//! All rows of one trace, and what becomes of them.

use std::sync::Arc;

use entrace_measure::Choices;
use entrace_measure::Number;
use entrace_record::Settings;
use entrace_record::rows::{AnswerRow, DecisionRow, Outcome, PrefixRow, SignalRow, TokenRow, TraceRow};

use super::Collector;
use crate::belief::{self, Mass};
use crate::cues;
use crate::disagreement;
use crate::facts::{
    Asking, Draft, Drafts, OWN, Statements, TaskFacts, TraceFacts, finite, further_cue, read_choices,
};
use crate::readouts;
use crate::signals::{self, Scores, Token};

/// Answers by control.
type Masses = Vec<(Arc<str>, Vec<Mass>)>;

/// What has come of a trace.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) trace: Option<TraceRow>,
    /// Under the cue that carries the numbers, with the number of the leader.
    prefixes: Vec<(PrefixRow, u32)>,
    masses: Masses,
    rollout_masses: Masses,
    under_further_cues: cues::Found,
    tokens: Vec<Token>,
    signals: Vec<SignalRow>,
    asking: Option<Asking>,
}

impl Gathered {
    /// The row of the trace, and nothing yet of other tables.
    pub(super) fn of(trace: TraceRow) -> Self {
        Self { trace: Some(trace), ..Self::default() }
    }
}

/// A row of a trace.
pub(super) trait Taken {
    /// Task, question and number of its trace.
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32);

    /// Puts it to the others.
    fn put(self, gathered: &mut Gathered, collector: &mut Collector, task: usize);
}

impl Taken for PrefixRow {
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32) {
        (&self.task, &self.question_id, self.sample)
    }

    fn put(self, gathered: &mut Gathered, collector: &mut Collector, task: usize) {
        if let Some(cue) = further_cue(self.cue) {
            gathered.under_further_cues.leaders.push((cue, self.step, self.leader));
        } else {
            let leader = collector.answer_number(task, &self.leader);
            gathered.prefixes.push((self, leader));
        }
    }
}

impl Taken for AnswerRow {
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32) {
        (&self.task, &self.question_id, self.sample)
    }

    fn put(self, gathered: &mut Gathered, collector: &mut Collector, task: usize) {
        if let Some(cue) = further_cue(self.cue) {
            gathered.under_further_cues.masses.push((cue, self.step, self.answer, self.prob));
            return;
        }
        let mass = collector.mass(task, &self);
        let is_beside = self.estimator.as_ref().is_some_and(|it| collector.settings.is_beside(it));
        let masses = if is_beside { &mut gathered.rollout_masses } else { &mut gathered.masses };
        of_control(masses, &self.control).push(mass);
    }
}

impl Taken for TokenRow {
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32) {
        (&self.task, &self.question_id, self.sample)
    }

    fn put(self, gathered: &mut Gathered, _: &mut Collector, _: usize) {
        gathered.tokens.push(Token {
            index: self.index,
            step: self.step,
            text: self.text,
            entropy: finite(self.token_entropy),
            logprob: finite(self.logprob),
            margin: finite(self.top2_margin),
            confidence: finite(self.topk_confidence),
            divergence: finite(self.uniform_divergence),
        });
    }
}

impl Taken for SignalRow {
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32) {
        (&self.task, &self.question_id, self.sample)
    }

    fn put(self, gathered: &mut Gathered, _: &mut Collector, _: usize) {
        gathered.signals.push(self);
    }
}

impl Taken for DecisionRow {
    fn key(&self) -> (&Arc<str>, &Arc<str>, u32) {
        (&self.task, &self.question_id, self.sample)
    }

    fn put(self, gathered: &mut Gathered, _: &mut Collector, _: usize) {
        let asking = gathered.asking.get_or_insert_default();
        asking.n_decisions += 1;
        asking.n_asked += u64::from(self.n_asked);
        asking.n_written = asking.n_written.max(self.n_written);
    }
}

/// Reduces the rows of a trace to its facts. All answers of the task have their numbers.
pub(super) fn reduce(
    mut trace: TraceFacts,
    mut gathered: Gathered,
    task: &TaskFacts,
    settings: &Settings,
) -> TraceFacts {
    let names = task.answers.as_slice();
    let choices = gathered.trace.as_ref().and_then(|row| row.choices.as_deref()).and_then(read_choices);
    let (mut curves, mut rollouts) = curves(&mut trace, std::mem::take(&mut gathered.prefixes), settings);
    let mut scores = signals::nothing_recorded();
    let tokens = std::mem::take(&mut gathered.tokens);
    let last_numbers = read_tokens(&mut trace, &mut scores, choices.as_ref(), tokens);
    for row in &gathered.signals {
        signals::from_run(&mut scores, &row.signal, finite(row.value));
    }
    trace.asking = gathered.asking.map(Box::new);
    for (_, masses) in gathered.masses.iter_mut().chain(&mut gathered.rollout_masses) {
        masses.sort_by_key(|mass| mass.step);
    }
    let (masses, drawn) = (&gathered.masses, &gathered.rollout_masses);
    if let Some(target) = &trace.target {
        let n_choices = choices.as_ref().map(Choices::len);
        for (curves, masses) in [(&mut curves, masses), (&mut rollouts, drawn)] {
            for (control, points) in curves {
                readouts::fill(points, masses_of(masses, control), names, target, n_choices);
            }
        }
    }
    let own = curve_of(&curves, OWN).unwrap_or_default();
    signals::from_cue(&mut scores, own.last().and_then(|point| point.cue_entropy));
    if trace.outcome == Outcome::Measured {
        belief::reduce(&mut trace, &mut scores, own, masses_of(masses, OWN), names, task.is_rollout());
    }
    if let Some(points) = curve_of(&rollouts, OWN) {
        let drift = belief::drift_of_rollouts(&trace, points, masses_of(drawn, OWN), names);
        trace.drift = drift.map(Box::new);
        if let Some(forced) = curve_of(&curves, OWN) {
            let believed = masses_of(masses, OWN);
            trace.disagreements = disagreement::of(points, masses_of(drawn, OWN), forced, believed).into();
        }
    }
    let found = std::mem::take(&mut gathered.under_further_cues);
    trace.cues = cues::differences(own, masses_of(masses, OWN), names, found).into();
    if task.answers_are_numbers() && trace.statements.is_some() {
        compare_with_last_numbers(&mut curves, &last_numbers, names);
    }
    trace.scores = Scores::of(&scores);
    trace.keep(curves, rollouts);
    trace
}

/// The curves of the run's estimator, in order of their controls, and those of rollouts beside it.
fn curves(trace: &mut TraceFacts, rows: Vec<(PrefixRow, u32)>, settings: &Settings) -> (Drafts, Drafts) {
    let (mut curves, mut rollouts, mut broken) = (Drafts::new(), Drafts::new(), Vec::new());
    for (row, leader) in rows {
        let point = Draft::of(&row, leader, trace.target.as_deref());
        match (settings.is_beside(&row.estimator), not_finite(&row)) {
            (true, None) => of_control(&mut rollouts, &row.control).push(point),
            (true, Some(_)) => {}
            (false, None) => of_control(&mut curves, &row.control).push(point),
            (false, Some(column)) if &*row.control == OWN => {
                fail(trace, &format!("the record's {column} after step {} is not finite", row.step));
            }
            (false, Some(_)) => broken.push(row.control),
        }
    }
    curves.retain(|(control, _)| !broken.contains(control));
    curves.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, points) in curves.iter_mut().chain(&mut rollouts) {
        points.sort_by_key(|point| point.step);
    }
    (curves, rollouts)
}

/// Takes what the tokens say: sums, scores, and, if all of the trace are there, what its steps state. Returns the last number of the text of the
/// steps 1..k, for k from 0.
fn read_tokens(
    trace: &mut TraceFacts,
    scores: &mut [signals::Score],
    choices: Option<&Choices>,
    mut tokens: Vec<Token>,
) -> Vec<Option<Number>> {
    for token in &tokens {
        if let Some(entropy) = token.entropy {
            trace.tokens.entropy += entropy;
            trace.tokens.n_entropy += 1;
        }
        if let Some(logprob) = token.logprob {
            trace.tokens.logprob += logprob;
            trace.tokens.n_logprob += 1;
        }
    }
    let n_tokens = trace.n_trace_tokens as usize;
    if tokens.is_empty() || n_tokens == 0 || tokens.len() < n_tokens {
        return Vec::new();
    }
    tokens.truncate(n_tokens);
    tokens.sort_unstable_by_key(|token| token.index);
    signals::from_tokens(scores, trace.n_steps, &tokens);
    let text: String = tokens.iter().map(|token| token.text.as_str()).collect();
    let end = |step: u32| tokens.iter().take_while(|token| token.step <= step).map(|t| t.text.len()).sum();
    let ends: Vec<usize> = (1..=trace.n_steps).map(end).collect();
    let (statements, last_numbers) = Statements::of(trace, choices, &text, &ends);
    trace.statements = Some(statements);
    last_numbers
}

/// Says at each prefix of the trace whether the leader is the last number of the text.
fn compare_with_last_numbers(curves: &mut Drafts, last_numbers: &[Option<Number>], names: &[Arc<str>]) {
    let Some((_, points)) = curves.iter_mut().find(|(control, _)| &**control == OWN) else { return };
    for point in points {
        let last = last_numbers.get(point.step as usize).and_then(Option::as_ref);
        let is_leader = |last: &Number| Number::parse(&names[point.leader as usize]).as_ref() == Some(last);
        point.point.leader_is_last_number = last.map(is_leader);
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

fn curve_of<'a>(curves: &'a Drafts, control: &str) -> Option<&'a [Draft]> {
    curves.iter().find(|(name, _)| &**name == control).map(|(_, points)| points.as_slice())
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
        (trace.outcome, trace.reason) = (Outcome::Failed, Some(reason.into()));
    }
}
