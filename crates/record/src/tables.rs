//! The tables of a run read here and there: some columns of all rows, or all rows of one trace.
//!
//! [`Tables`] reads one row group at a time and keeps none. Numbers of traces are those of the rows of `traces`, in order. The rows of a trace
//! are found through [`Places`], which say for each row group of each table which traces it may hold: from the first to the last whose question is
//! in its dictionary. Runs are written in the order of their questions, so that few row groups hold any one trace; where tables are in another order
//! the answer is the same, and only takes longer.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::interventions;
use crate::reader::{RunReader, TraceKey};
use crate::rows::{
    AnswerRow, DecisionRow, InterventionRow, Outcome, PrefixRow, Rows, SignalRow, TokenRow, TraceRow,
};
use crate::table::{Part, Row, TableFile};

/// A trace without its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceHead {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question within the task.
    pub question_id: String,
    /// Number of the trace among those of the question.
    pub sample: u32,
    /// The true answer.
    pub target: Option<String>,
    /// The answer that the completion states.
    pub answer: Option<String>,
    /// Whether they agree.
    pub correct: Option<bool>,
    /// How the trace ended.
    pub stop_reason: Option<Arc<str>>,
    /// Tokens of the trace T.
    pub n_trace_tokens: u32,
    /// Steps of the trace K.
    pub n_steps: u32,
    /// `measured`, `skipped` or `failed`.
    pub outcome: Outcome,
    /// First step from which the leader never changes and leads clearly.
    pub lock_in_step: Option<u32>,
    /// H_0 − H_K in nats.
    pub total_drop: Option<f64>,
}

/// The question of a trace as stated.
pub(crate) struct Asked {
    pub(crate) question: String,
}

/// What a list of traces needs of a belief.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixHead {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// `none`, `swapped`, `shuffled` or `unstated`.
    pub control: Arc<str>,
    /// k/K.
    pub depth: f64,
    /// `choices`, `enumerate`, `sample` or `rollout`.
    pub estimator: Arc<str>,
    /// H_k in nats.
    pub answer_entropy: f64,
    /// ℓ_k − ℓ_0 in nats.
    pub information_gain: Option<f64>,
    /// Probability of the most likely answer.
    pub leader_prob: f64,
    /// Number of the cue.
    pub cue: Option<u32>,
}

/// What numbers the answers and estimators of a run need of a belief.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixLeader {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// `choices`, `enumerate`, `sample` or `rollout`.
    pub estimator: Arc<str>,
    /// The most likely answer.
    pub leader: Arc<str>,
    /// Number of draws m.
    pub n_samples: Option<u32>,
    /// Number of the cue.
    pub cue: Option<u32>,
}

/// Which trace and which kind of belief an answer belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerHead {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// `none`, `swapped`, `shuffled` or `unstated`.
    pub control: Arc<str>,
    /// The estimator; `None` in records whose prefixes have one.
    pub estimator: Option<Arc<str>>,
    /// Number of the cue.
    pub cue: Option<u32>,
}

/// What a trace needs of a token to be followed by others.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenStep {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// The step that the token belongs to, from 1.
    pub step: u32,
    /// The token's number in the vocabulary.
    pub token_id: u32,
}

/// What a list of traces needs of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenHead {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// Entropy of the distribution it was drawn from, in nats.
    pub token_entropy: Option<f64>,
}

/// Numbers of traces that a row group may hold, the first and the last; `None` where it holds none that is known.
type Span = Option<RangeInclusive<u32>>;

/// Which row groups hold the rows of which traces.
#[derive(Debug, Clone, Default)]
pub struct Places {
    prefixes: Vec<Span>,
    answers: Vec<Span>,
    tokens: Vec<Span>,
    signals: Vec<Span>,
    decisions: Vec<Span>,
    interventions: Vec<Span>,
}

/// The tables of a run.
pub struct Tables {
    traces: Files<TraceRow>,
    prefixes: Files<PrefixRow>,
    answers: Files<AnswerRow>,
    tokens: Files<TokenRow>,
    signals: Files<SignalRow>,
    decisions: Files<DecisionRow>,
    interventions: Files<InterventionRow>,
}

impl Tables {
    /// The tables of a run folder; interventions are those that belong to their settings.
    pub fn open(run: &RunReader) -> Result<Self, Error> {
        let interventions = match interventions::settings(run.dir())? {
            Some(_) => vec![run.dir().join(interventions::TABLE_FILE)],
            None => Vec::new(),
        };
        let mut decisions = run.files(DecisionRow::TABLE);
        decisions.retain(|file| file.exists());
        Ok(Self {
            traces: Files::open(run.files(TraceRow::TABLE))?,
            prefixes: Files::open(run.files(PrefixRow::TABLE))?,
            answers: Files::open(run.files(AnswerRow::TABLE))?,
            tokens: Files::open(run.files(TokenRow::TABLE))?,
            signals: Files::open(run.files(SignalRow::TABLE))?,
            decisions: Files::open(decisions)?,
            interventions: Files::open(interventions)?,
        })
    }

    /// Number of traces.
    pub fn n_traces(&self) -> usize {
        // A damaged file may claim any number.
        self.traces.groups.iter().fold(0, |sum, group| sum.saturating_add(group.n_rows))
    }

    /// Whether there are interventions.
    pub fn has_interventions(&self) -> bool {
        !self.interventions.groups.is_empty()
    }

    /// All traces without their texts, a row group at a time.
    pub fn trace_heads(&self) -> impl ExactSizeIterator<Item = Result<Vec<TraceHead>, Error>> {
        self.traces.parts()
    }

    /// The questions of all traces, likewise.
    pub fn questions(&self) -> impl ExactSizeIterator<Item = Result<Vec<String>, Error>> {
        let parts = self.traces.parts();
        parts.map(|rows| Ok(rows?.into_iter().map(|row: Asked| row.question).collect()))
    }

    /// All beliefs, likewise.
    pub fn prefix_heads(&self) -> impl ExactSizeIterator<Item = Result<Vec<PrefixHead>, Error>> {
        self.prefixes.parts()
    }

    /// All tokens, likewise.
    pub fn token_heads(&self) -> impl ExactSizeIterator<Item = Result<Vec<TokenHead>, Error>> {
        self.tokens.parts()
    }

    /// All signals, likewise.
    pub fn signals(&self) -> impl ExactSizeIterator<Item = Result<Vec<SignalRow>, Error>> {
        self.signals.all()
    }

    /// Finds out which row groups hold which traces. `numbers` says which traces a question has, the first and the last, by task and identity.
    pub fn places(
        &self,
        mut numbers: impl FnMut(&str, &str) -> Option<RangeInclusive<u32>>,
    ) -> Result<Places, Error> {
        Ok(Places {
            prefixes: self.prefixes.spans(&mut numbers)?,
            answers: self.answers.spans(&mut numbers)?,
            tokens: self.tokens.spans(&mut numbers)?,
            signals: self.signals.spans(&mut numbers)?,
            decisions: self.decisions.spans(&mut numbers)?,
            interventions: self.interventions.spans(&mut numbers)?,
        })
    }

    /// The row of a trace; `None` for a number that no trace has.
    pub fn trace(&self, number: u32) -> Result<Option<TraceRow>, Error> {
        let mut row = usize::try_from(number).unwrap_or(usize::MAX);
        for group in 0..self.traces.groups.len() {
            let n_rows = self.traces.groups[group].n_rows;
            if row < n_rows {
                return Ok(self
                    .traces
                    .read(group, |file, index| file.rows(index, std::iter::once(row..row + 1).collect()))?
                    .pop());
            }
            row -= n_rows;
        }
        Ok(None)
    }

    /// The rows of a trace in all tables, in the order in which they stand there.
    pub fn rows_of(&self, trace: TraceRow, number: u32, places: &Places) -> Result<TraceRows, Error> {
        let (task, id) = (Arc::clone(&trace.task), Arc::clone(&trace.question_id));
        let key = (&*task, &*id, trace.sample);
        let interventions = self.interventions.rows_of(key, number, &places.interventions)?;
        let rows = Rows {
            prefixes: self.prefixes.rows_of(key, number, &places.prefixes)?,
            answers: self.answers.rows_of(key, number, &places.answers)?,
            tokens: self.tokens.rows_of(key, number, &places.tokens)?,
            signals: self.signals.rows_of(key, number, &places.signals)?,
            decisions: self.decisions.rows_of(key, number, &places.decisions)?,
            traces: vec![trace],
        };
        Ok(TraceRows { rows, interventions })
    }
}

/// All rows of one trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceRows {
    /// Those of the tables of the run; one in `traces`.
    pub rows: Rows,
    /// What changes in the trace did.
    pub interventions: Vec<InterventionRow>,
}

/// A row group: in which file, under which number there, of how many rows.
#[derive(Debug, Clone, Copy)]
struct Group {
    file: usize,
    index: usize,
    n_rows: usize,
}

/// A file that is open, with its number.
type Opened<R> = (usize, Arc<TableFile<R>>);

/// A table in one file or, of an unfinished run, in several. The file that was read last stays open.
struct Files<R> {
    paths: Vec<PathBuf>,
    groups: Vec<Group>,
    latest: Mutex<Option<Opened<R>>>,
    /// Clones of a file share their place in it, so that row groups are read one after another.
    reading: Mutex<()>,
}

impl<R: Row> Files<R> {
    fn open(paths: Vec<PathBuf>) -> Result<Self, Error> {
        let (mut groups, mut latest) = (Vec::new(), None);
        for (file, path) in paths.iter().enumerate() {
            let opened = TableFile::<R>::open(path)?;
            let sizes = opened.group_sizes().into_iter().enumerate();
            groups.extend(sizes.map(|(index, n_rows)| Group { file, index, n_rows }));
            latest = Some((file, Arc::new(opened)));
        }
        Ok(Self { paths, groups, latest: Mutex::new(latest), reading: Mutex::new(()) })
    }

    /// The file of a row group, and its number there.
    fn file(&self, group: usize) -> Result<(Arc<TableFile<R>>, usize), Error> {
        let Group { file, index, .. } = self.groups[group];
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &*latest {
            Some((number, opened)) if *number == file => Arc::clone(opened),
            _ => Arc::new(TableFile::open(&self.paths[file])?),
        };
        *latest = Some((file, Arc::clone(&opened)));
        Ok((opened, index))
    }

    /// Reads from a row group.
    fn read<T>(
        &self,
        group: usize,
        read: impl FnOnce(&TableFile<R>, usize) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (file, index) = self.file(group)?;
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        read(&file, index)
    }

    fn parts<P: Part<Table = R>>(&self) -> impl ExactSizeIterator<Item = Result<Vec<P>, Error>> {
        (0..self.groups.len()).map(|group| self.read(group, TableFile::part))
    }

    fn all(&self) -> impl ExactSizeIterator<Item = Result<Vec<R>, Error>> {
        (0..self.groups.len()).map(|group| self.read(group, TableFile::all))
    }

    /// For each row group, the first and the last trace whose question it names.
    fn spans(
        &self,
        numbers: &mut impl FnMut(&str, &str) -> Option<RangeInclusive<u32>>,
    ) -> Result<Vec<Span>, Error> {
        let span = |group: usize| {
            let values = |name| self.read(group, |file, index| file.values(index, name));
            let (tasks, questions) = (values("task")?, values("question_id")?);
            let mut span: Span = None;
            for (task, question) in tasks.iter().flat_map(|task| questions.iter().map(move |q| (task, q))) {
                let Some(found) = numbers(task, question) else { continue };
                let (first, last) = found.into_inner();
                span = Some(match span {
                    Some(span) => first.min(*span.start())..=last.max(*span.end()),
                    None => first..=last,
                });
            }
            Ok(span)
        };
        (0..self.groups.len()).map(span).collect()
    }

    fn rows_of(&self, key: TraceKey<'_>, number: u32, spans: &[Span]) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        for (group, span) in spans.iter().enumerate() {
            if span.as_ref().is_some_and(|span| span.contains(&number)) {
                rows.extend(self.read(group, |file, index| rows_in_group(file, index, key))?);
            }
        }
        Ok(rows)
    }
}

fn rows_in_group<R: Row>(file: &TableFile<R>, index: usize, key: TraceKey<'_>) -> Result<Vec<R>, Error> {
    let (task, id, sample) = key;
    let questions = file.column::<Arc<str>>(index, "question_id")?;
    if !questions.iter().any(|question| **question == *id) {
        return Ok(Vec::new());
    }
    let tasks = file.column::<Arc<str>>(index, "task")?;
    let samples = file.column::<u32>(index, "sample")?;
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for row in 0..questions.len() {
        if *questions[row] != *id || *tasks[row] != *task || samples[row] != sample {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if range.end == row => range.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    if ranges.is_empty() { Ok(Vec::new()) } else { file.rows(index, ranges) }
}

#[cfg(test)]
mod tests;
