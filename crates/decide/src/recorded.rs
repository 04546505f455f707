//! The traces of one task of a run, with what was known at each prefix.
//!
//! Beliefs are those of the run's estimator under the first cue, for the traces themselves: controls, further cues and rollouts beside
//! another estimator are passed over. Traces that were not measured are left out and counted; so is one whose rows are damaged (steps
//! that are missing or do not rise, numbers that are not finite).

mod order;

use std::collections::BTreeMap;
use std::sync::Arc;

use entrace_measure::signature::Point;
use entrace_measure::{AnswerDistribution, AnswerMass, Segmentation, Trace, prefixes};
use entrace_record::RunReader;
use entrace_record::rows::{TokenRow, TraceRow};

use crate::error::Error;
pub(crate) use order::{Order, Texts};

/// The measured traces of a task, those of one question together.
#[derive(Debug, Clone)]
pub struct TaskTraces {
    /// Name of the task.
    pub name: String,
    /// Number of questions that have a measured trace.
    pub n_questions: usize,
    /// The traces, by question and sample.
    pub traces: Vec<RecordedTrace>,
    /// Traces that are left out: not measured, or damaged.
    pub n_left_out: usize,
}

/// One measured trace.
#[derive(Debug, Clone)]
pub struct RecordedTrace {
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the question, from 0.
    pub question: usize,
    /// Number of the trace among those of the question.
    pub sample: u32,
    /// The true answer, if known.
    pub target: Option<Arc<str>>,
    /// The answer of the whole trace: what it states, else the leader at its end.
    pub answer: Arc<str>,
    /// Whether the trace states it.
    pub states_answer: bool,
    /// Whether that is right, if known.
    pub correct: Option<bool>,
    /// Tokens of the trace T.
    pub n_tokens: u32,
    /// The prefixes k = 0..K, in order.
    pub prefixes: Vec<RecordedPrefix>,
    /// What is recorded of each token.
    pub tokens: Tokens,
}

/// Belief at one prefix.
#[derive(Debug, Clone)]
pub struct RecordedPrefix {
    /// Trace tokens t_k.
    pub n_tokens: u32,
    /// H_k in nats.
    pub entropy: f64,
    /// The most likely answer.
    pub leader: Arc<str>,
    /// Its probability.
    pub leader_prob: f64,
    /// ln p_k(target), where it is finite.
    pub target_logprob: Option<f64>,
    /// Entropy of the next token after the cue.
    pub cue_entropy: Option<f64>,
    /// Whether the belief was read from draws.
    pub is_sampled: bool,
    /// ln p_k of each answer found.
    pub found: Vec<Found>,
    /// Probability of what was not found.
    pub residual: f64,
}

/// One answer found at a prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The answer.
    pub answer: Arc<str>,
    /// Natural logarithm of its probability.
    pub logprob: f64,
}

/// Numbers of each token of a trace, `[T]`; one that some token lacks is `None`.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// ln p of the token.
    pub logprobs: Option<Vec<f64>>,
    /// Entropy of its distribution.
    pub entropies: Option<Vec<f64>>,
    /// ln p of the most likely token less that of the second.
    pub margins: Option<Vec<f64>>,
    /// Mean −ln p over the most likely tokens.
    pub confidences: Option<Vec<f64>>,
    /// Divergence from the even distribution.
    pub divergences: Option<Vec<f64>>,
    /// The text of each token.
    pub texts: Vec<String>,
}

impl RecordedPrefix {
    /// A belief as it is recorded.
    pub fn of(n_tokens: u32, belief: &AnswerDistribution) -> Self {
        let found = |mass: &AnswerMass| Found { answer: mass.answer.name().into(), logprob: mass.logprob };
        let leader = belief.leader();
        Self {
            n_tokens,
            entropy: belief.entropy.nats,
            leader: leader.answer.name().into(),
            leader_prob: leader.prob,
            target_logprob: belief.target_logprob.filter(|logprob| logprob.is_finite()),
            cue_entropy: belief.cue_entropy.filter(|entropy| entropy.is_finite()),
            is_sampled: belief.n_samples.is_some(),
            found: belief.masses().iter().map(found).collect(),
            residual: belief.residual_mass(),
        }
    }

    /// Whether the leader surely leads: no answer that was not found can have more. An enumeration follows the ways to the true answer
    /// whatever it is worth, so a leader that could be beaten may be the true answer for that reason alone.
    pub fn leads(&self) -> bool {
        self.leader_prob >= self.residual
    }
}

impl RecordedTrace {
    /// A trace of which nothing is written, nor known what it will answer.
    pub(crate) fn begun() -> Self {
        Self {
            question_id: "".into(),
            question: 0,
            sample: 0,
            target: None,
            answer: "".into(),
            states_answer: false,
            correct: None,
            n_tokens: 0,
            prefixes: Vec::new(),
            tokens: Tokens::default(),
        }
    }

    /// Whether the leader after k steps is right, if known; a leader that may not lead is no answer.
    pub fn leader_is_right(&self, k: usize) -> Option<bool> {
        let leader = &self.prefixes[k].leader;
        let is_right = match &self.target {
            Some(target) => Some(leader == target),
            None => self.correct.map(|correct| correct && *leader == self.answer),
        };
        is_right.map(|is_right| is_right && self.prefixes[k].leads())
    }

    /// Whether the leader after k steps is the answer of the whole trace.
    pub fn leader_stays(&self, k: usize) -> bool {
        self.prefixes[k].leads() && self.prefixes[k].leader == self.answer
    }

    /// Whether its steps are those that a rule cuts.
    fn is_cut_by(&self, rule: &Segmentation) -> bool {
        let ends = self.tokens.texts.iter().scan(0, |end, text| {
            *end += text.len();
            Some(*end)
        });
        let (text, n_tokens) = (self.tokens.texts.concat(), self.n_tokens);
        let trace = Trace::new(text, (0..n_tokens).collect(), ends.collect());
        let cut = trace.ok().and_then(|trace| prefixes(&trace, rule, None, None).ok());
        let own = self.prefixes.iter().map(|prefix| prefix.n_tokens as usize);
        cut.is_some_and(|cut| cut.iter().map(|prefix| prefix.n_tokens).eq(own))
    }

    /// Prefixes at which a stop would end the trace early.
    pub fn n_early(&self) -> usize {
        self.prefixes.iter().take_while(|prefix| prefix.n_tokens < self.n_tokens).count()
    }

    /// The answer curve up to k, with depths relative to k.
    pub(crate) fn curve(&self, k: usize) -> Vec<Point<'_>> {
        let depth = |i: usize| if k == 0 { 0.0 } else { i as f64 / k as f64 };
        let point = |(i, prefix): (usize, &'_ RecordedPrefix)| (i, prefix.n_tokens, prefix.entropy);
        self.prefixes[..=k]
            .iter()
            .enumerate()
            .map(|(i, prefix)| {
                let (_, n_tokens, entropy) = point((i, prefix));
                Point {
                    n_tokens: n_tokens as usize,
                    depth: depth(i),
                    entropy,
                    leader: &prefix.leader,
                    leader_prob: prefix.leader_prob,
                }
            })
            .collect()
    }
}

impl TaskTraces {
    /// Reads a task of a run; without a name, the only one.
    pub fn read(reader: &RunReader, task: Option<&str>) -> Result<Self, Error> {
        let name = task_name(reader, task)?;
        let order = Order::of(reader, &name)?;
        let mut kept: Vec<(usize, RecordedTrace)> = Vec::new();
        order.for_each(reader, |rank, trace, _| {
            kept.extend(trace.map(|trace| (rank, trace)));
            Ok(())
        })?;
        kept.sort_by_key(|(rank, _)| *rank);
        let mut traces: Vec<RecordedTrace> = kept.into_iter().map(|(_, trace)| trace).collect();
        let mut n_questions = 0;
        for question in traces.chunk_by_mut(|a, b| a.question_id == b.question_id) {
            question.iter_mut().for_each(|trace| trace.question = n_questions);
            n_questions += 1;
        }
        Ok(Self { n_left_out: order.n_rows() - traces.len(), name, n_questions, traces })
    }

    /// The traces of each question.
    pub fn by_question(&self) -> Vec<&[RecordedTrace]> {
        self.traces.chunk_by(|a, b| a.question == b.question).collect()
    }

    /// The rule by which the steps of all traces were cut: the one that was asked for, or the one that `auto` came down to. `None` where where
    /// a step ends is known only once its trace has ended.
    pub fn segmentation(&self, asked: &str) -> Option<Segmentation> {
        match Segmentation::parse(asked).ok()? {
            Segmentation::Auto => [Segmentation::BlankLine, Segmentation::Line, Segmentation::Sentence]
                .into_iter()
                .find(|rule| self.traces.iter().all(|trace| trace.is_cut_by(rule))),
            Segmentation::Steps | Segmentation::Regex(_) => None,
            known => Some(known),
        }
    }

    /// Whether some trace is known to be right or wrong.
    pub fn has_verdicts(&self) -> bool {
        self.traces.iter().any(|trace| trace.correct.is_some())
    }
}

/// The task that is meant.
pub(crate) fn task_name(reader: &RunReader, task: Option<&str>) -> Result<String, Error> {
    let name = named(reader, task)?;
    match &reader.manifest().settings.stopping {
        Some(stopping) => Err(Error::Stopped { rule: stopping.rule.clone() }),
        None => Ok(name),
    }
}

fn named(reader: &RunReader, task: Option<&str>) -> Result<String, Error> {
    let tasks: Vec<String> = reader.manifest().settings.tasks.iter().map(|task| task.name.clone()).collect();
    let found = match (task, tasks.as_slice()) {
        (Some(task), tasks) if tasks.iter().any(|known| known == task) => return Ok(task.to_string()),
        (None, [only]) => return Ok(only.clone()),
        (Some(task), _) => format!("the run has no task {task:?}"),
        (None, _) => format!("the run has {} tasks", tasks.len()),
    };
    Err(Error::Task { found, tasks })
}

/// A trace whose rows are being collected.
struct Collected {
    row: TraceRow,
    prefixes: BTreeMap<u32, RecordedPrefix>,
    answers: Vec<(u32, Found)>,
    tokens: Vec<TokenRow>,
}

impl Collected {
    fn of(row: TraceRow) -> Self {
        Self { row, prefixes: BTreeMap::new(), answers: Vec::new(), tokens: Vec::new() }
    }

    /// The trace, unless its rows are damaged.
    fn into_trace(self) -> Option<RecordedTrace> {
        let Self { row, mut prefixes, answers, mut tokens } = self;
        for (step, found) in answers {
            prefixes.entry(step).and_modify(|prefix| prefix.found.push(found));
        }
        let steps_are_there = prefixes.keys().copied().eq(0..row.n_steps + 1);
        let prefixes: Vec<RecordedPrefix> = prefixes.into_values().collect();
        let rising = prefixes.windows(2).all(|pair| pair[0].n_tokens <= pair[1].n_tokens);
        let sound = |p: &RecordedPrefix| p.entropy.is_finite() && (0.0..=1.0).contains(&p.leader_prob);
        let fits = prefixes.last()?.n_tokens <= row.n_trace_tokens;
        if !steps_are_there || !rising || !fits || !prefixes.iter().all(sound) {
            return None;
        }
        tokens.sort_by_key(|token| token.index);
        let stated = row.answer.filter(|answer| answer != entrace_measure::Answer::INVALID_NAME);
        let states_answer = stated.is_some();
        let answer = stated.map_or_else(|| prefixes.last().map(|p| p.leader.clone()), |a| Some(a.into()))?;
        Some(RecordedTrace {
            question_id: row.question_id,
            question: 0,
            sample: row.sample,
            target: row.target.map(Arc::from),
            answer,
            states_answer,
            correct: row.correct,
            n_tokens: row.n_trace_tokens,
            prefixes,
            tokens: Tokens::of(tokens, row.n_trace_tokens as usize),
        })
    }
}

impl Tokens {
    /// Of tokens as they are drawn: log-probability, entropy, margin, confidence and divergence of each.
    pub fn drawn(numbers: &[[Option<f64>; 5]]) -> Self {
        let all = |number: usize| numbers.iter().map(|n| n[number].filter(|n| n.is_finite())).collect();
        Self {
            logprobs: all(0),
            entropies: all(1),
            margins: all(2),
            confidences: all(3),
            divergences: all(4),
            texts: Vec::new(),
        }
    }

    fn of(rows: Vec<TokenRow>, n_tokens: usize) -> Self {
        let is_whole =
            rows.len() == n_tokens && rows.iter().enumerate().all(|(i, row)| row.index as usize == i);
        if !is_whole {
            return Self::default();
        }
        let all = |number: fn(&TokenRow) -> Option<f64>| -> Option<Vec<f64>> {
            rows.iter().map(|row| number(row).filter(|value| value.is_finite())).collect()
        };
        Self {
            logprobs: all(|row| row.logprob),
            entropies: all(|row| row.token_entropy),
            margins: all(|row| row.top2_margin),
            confidences: all(|row| row.topk_confidence),
            divergences: all(|row| row.uniform_divergence),
            texts: rows.into_iter().map(|row| row.text).collect(),
        }
    }
}
