//! The traces of a task one after another, so that memory holds one of them.
//!
//! The rows of a trace stand together in each table, and the traces of a run in one order in all of them; the tables are read side by side along
//! `traces`. Where rows stand elsewhere, as in tables that were sorted anew, a pass over the tables' keys finds their traces, and those
//! are held until their last row has come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, TokenRow, TraceRow};
use entrace_record::{RunReader, Settings};

use super::{Collected, Found, RecordedPrefix, RecordedTrace};
use crate::error::Error;

/// Question and number of a trace.
type Key = (Arc<str>, u32);

/// The measured traces of a task, and where they stand.
pub(crate) struct Order {
    task: String,
    /// In the order in which they are written.
    numbers: HashMap<Key, usize>,
    /// By question and sample.
    keys: Vec<Key>,
    /// For each number, the position among `keys`.
    ranks: Vec<usize>,
    n_rows: usize,
    /// Traces with rows after those of later ones.
    scattered: BTreeSet<usize>,
}

/// The texts of a trace.
pub(crate) struct Texts {
    pub(crate) question: String,
    pub(crate) prompt: String,
}

impl Order {
    /// Looks up the traces of a task.
    pub(crate) fn of(reader: &RunReader, task: &str) -> Result<Self, Error> {
        let (mut numbers, mut keys, mut scattered, mut n_rows) =
            (HashMap::new(), Vec::new(), BTreeSet::new(), 0);
        for row in reader.stream_trace_heads() {
            let row = row?;
            if *row.task != *task {
                continue;
            }
            n_rows += 1;
            let key: Key = (Arc::from(row.question_id), row.sample);
            if row.outcome != Outcome::Measured {
                continue;
            }
            if let Some(&twice) = numbers.get(&key) {
                scattered.insert(twice);
                continue;
            }
            numbers.insert(key.clone(), keys.len());
            keys.push(key);
        }
        let mut by_key: Vec<usize> = (0..keys.len()).collect();
        by_key.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
        let mut ranks = vec![0; keys.len()];
        by_key.iter().enumerate().for_each(|(rank, &number)| ranks[number] = rank);
        keys.sort();
        let mut order = Self { task: task.to_string(), numbers, keys, ranks, n_rows, scattered };
        order.find_scattered(reader)?;
        Ok(order)
    }

    /// Rows of `traces`, measured or not.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The traces by question and sample.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The position of a trace among them.
    pub(crate) fn rank(&self, question: &Arc<str>, sample: u32) -> Option<usize> {
        self.numbers.get(&(question.clone(), sample)).map(|&number| self.ranks[number])
    }

    fn find_scattered(&mut self, reader: &RunReader) -> Result<(), Error> {
        let settings = &reader.manifest().settings;
        let (mut scattered, mut last) = (BTreeSet::new(), 0);
        let mut next = |row: Option<(&Arc<str>, u32)>| match row {
            Some((question, sample)) => {
                let Some(&number) = self.numbers.get(&(question.clone(), sample)) else { return };
                if number < last {
                    scattered.insert(number);
                }
                last = last.max(number);
            }
            None => last = 0,
        };
        for row in reader.stream_prefix_heads() {
            let row = row?;
            if self.is_wanted(settings, &row.task, &row.control, row.cue, Some(&row.estimator)) {
                next(Some((&row.question_id, row.sample)));
            }
        }
        next(None);
        for row in reader.stream_answer_heads() {
            let row = row?;
            if self.is_wanted(settings, &row.task, &row.control, row.cue, row.estimator.as_ref()) {
                next(Some((&row.question_id, row.sample)));
            }
        }
        next(None);
        for row in reader.stream_token_heads() {
            let row = row?;
            if *row.task == *self.task {
                next(Some((&row.question_id, row.sample)));
            }
        }
        self.scattered.extend(scattered);
        Ok(())
    }

    /// Whether a belief is the run's own, of the traces themselves, under the first cue.
    fn is_wanted(
        &self,
        settings: &Settings,
        task: &str,
        control: &str,
        cue: Option<u32>,
        estimator: Option<&Arc<str>>,
    ) -> bool {
        let is_beside = estimator.is_some_and(|estimator| settings.is_beside(estimator));
        *task == *self.task && control == "none" && cue.unwrap_or(0) == 0 && !is_beside
    }

    /// Takes every trace with its position among the keys; `None` for one whose rows are damaged.
    pub(crate) fn for_each(
        &self,
        reader: &RunReader,
        mut take: impl FnMut(usize, Option<RecordedTrace>, Texts) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let settings = &reader.manifest().settings;
        let mut prefixes = wanted(reader.stream_prefixes(), |row| {
            self.is_wanted(settings, &row.task, &row.control, row.cue, Some(&row.estimator))
        });
        let mut answers = wanted(reader.stream_answers(), |row| {
            self.is_wanted(settings, &row.task, &row.control, row.cue, row.estimator.as_ref())
        });
        let mut tokens = wanted(reader.stream_tokens(), |row| *row.task == *self.task);
        let mut give = |number: usize, mut trace: Collected| {
            let texts = Texts {
                question: std::mem::take(&mut trace.row.question),
                prompt: std::mem::take(&mut trace.row.prompt),
            };
            take(self.ranks[number], trace.into_trace(), texts)
        };
        let mut open: BTreeMap<usize, Collected> = BTreeMap::new();
        for row in reader.stream_traces() {
            let row = row?;
            let Some(number) = self.number(&row) else { continue };
            if let Some(known) = open.get_mut(&number) {
                known.row = row;
                continue;
            }
            open.insert(number, Collected::of(row));
            self.collect(&mut prefixes, number, &mut open)?;
            self.collect(&mut answers, number, &mut open)?;
            self.collect(&mut tokens, number, &mut open)?;
            if !self.scattered.contains(&number) {
                open.remove(&number).map_or(Ok(()), |trace| give(number, trace))?;
            }
        }
        self.collect(&mut prefixes, usize::MAX, &mut open)?;
        self.collect(&mut answers, usize::MAX, &mut open)?;
        self.collect(&mut tokens, usize::MAX, &mut open)?;
        open.into_iter().try_for_each(|(number, trace)| give(number, trace))
    }

    fn number(&self, row: &TraceRow) -> Option<usize> {
        let is_measured = *row.task == *self.task && row.outcome == Outcome::Measured;
        let number = self.numbers.get(&(row.question_id.clone(), row.sample));
        number.copied().filter(|_| is_measured)
    }

    /// Gives the traces that are open the rows up to those of a later trace.
    fn collect<R: Part>(
        &self,
        rows: &mut Peekable<impl Iterator<Item = Result<R, Error>>>,
        number: usize,
        open: &mut BTreeMap<usize, Collected>,
    ) -> Result<(), Error> {
        let is_later = |row: &R| {
            let (question, sample) = row.key();
            self.numbers.get(&(question.clone(), sample)).is_some_and(|&found| found > number)
        };
        while let Some(row) = rows.next_if(|row| !row.as_ref().is_ok_and(is_later)) {
            let row = row?;
            let (question, sample) = row.key();
            let found = self.numbers.get(&(question.clone(), sample));
            if let Some(trace) = found.and_then(|found| open.get_mut(found)) {
                row.put(trace);
            }
        }
        Ok(())
    }
}

/// The rows that are wanted, and errors.
fn wanted<R, E>(
    rows: impl Iterator<Item = Result<R, E>>,
    is_wanted: impl Fn(&R) -> bool,
) -> Peekable<impl Iterator<Item = Result<R, Error>>>
where
    Error: From<E>,
{
    let rows = rows.filter(move |row| row.as_ref().map_or(true, &is_wanted));
    rows.map(|row| row.map_err(Error::from)).peekable()
}

/// A row of a trace.
trait Part {
    /// Question and number of the trace.
    fn key(&self) -> (&Arc<str>, u32);

    /// Puts it to its trace.
    fn put(self, trace: &mut Collected);
}

impl Part for PrefixRow {
    fn key(&self) -> (&Arc<str>, u32) {
        (&self.question_id, self.sample)
    }

    fn put(self, trace: &mut Collected) {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let prefix = RecordedPrefix {
            n_tokens: self.n_tokens,
            entropy: self.answer_entropy,
            leader: self.leader,
            leader_prob: self.leader_prob,
            target_logprob: finite(self.target_logprob),
            cue_entropy: finite(self.cue_entropy),
            is_sampled: self.n_samples.is_some(),
            found: Vec::new(),
            residual: self.residual_mass,
        };
        trace.prefixes.insert(self.step, prefix);
    }
}

impl Part for AnswerRow {
    fn key(&self) -> (&Arc<str>, u32) {
        (&self.question_id, self.sample)
    }

    fn put(self, trace: &mut Collected) {
        trace.answers.push((self.step, Found { answer: self.answer, logprob: self.logprob }));
    }
}

impl Part for TokenRow {
    fn key(&self) -> (&Arc<str>, u32) {
        (&self.question_id, self.sample)
    }

    fn put(self, trace: &mut Collected) {
        trace.tokens.push(self);
    }
}
