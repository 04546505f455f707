//! Where the rows of a run come from, table by table and as often as they are asked for: a run folder, or memory.

use std::convert::Infallible;
use std::iter::Peekable;
use std::sync::Arc;

use entrace_record::RunReader;
use entrace_record::rows::{AnswerRow, DecisionRow, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};

/// The tables of a run.
pub(super) trait Source {
    /// Why they cannot be read.
    type Error;

    /// Tells what numbers the traces, row by row.
    fn traces(&self, take: impl FnMut(TraceKey<'_>)) -> Result<(), Self::Error>;

    /// Tells what numbers leaders and estimators, row by row.
    fn prefixes(&self, take: impl FnMut(PrefixKey<'_>)) -> Result<(), Self::Error>;

    /// All tables from their beginnings.
    fn streams(&self) -> Streams<'_, Self::Error>;
}

/// What numbers a trace and its target.
pub(super) struct TraceKey<'a> {
    pub(super) task: &'a Arc<str>,
    pub(super) question_id: &'a Arc<str>,
    pub(super) sample: u32,
    pub(super) target: Option<&'a str>,
}

/// What numbers the leader at a prefix.
pub(super) struct PrefixKey<'a> {
    pub(super) task: &'a Arc<str>,
    pub(super) question_id: &'a Arc<str>,
    pub(super) sample: u32,
    pub(super) estimator: &'a Arc<str>,
    pub(super) leader: &'a str,
    pub(super) n_samples: Option<u32>,
    pub(super) cue: Option<u32>,
}

type Stream<'a, R, E> = Box<dyn Iterator<Item = Result<R, E>> + 'a>;

/// The rows of every table.
pub(super) struct Streams<'a, E> {
    pub(super) traces: Stream<'a, TraceRow, E>,
    pub(super) prefixes: Cursor<'a, PrefixRow, E>,
    pub(super) answers: Cursor<'a, AnswerRow, E>,
    pub(super) tokens: Cursor<'a, TokenRow, E>,
    pub(super) signals: Cursor<'a, SignalRow, E>,
    pub(super) decisions: Cursor<'a, DecisionRow, E>,
}

/// The rows of a table, one after another.
pub(super) struct Cursor<'a, R, E> {
    rows: Peekable<Stream<'a, R, E>>,
}

impl<'a, R, E> Cursor<'a, R, E> {
    fn new(rows: impl Iterator<Item = Result<R, E>> + 'a) -> Self {
        let rows: Stream<'a, R, E> = Box::new(rows);
        Self { rows: rows.peekable() }
    }

    /// The next row, without taking it.
    pub(super) fn peek(&mut self) -> Result<Option<&R>, E> {
        if let Some(Err(error)) = self.rows.next_if(Result::is_err) {
            return Err(error);
        }
        Ok(self.rows.peek().and_then(|row| row.as_ref().ok()))
    }

    /// Takes the next row.
    pub(super) fn next(&mut self) -> Result<Option<R>, E> {
        self.rows.next().transpose()
    }
}

impl Source for RunReader {
    type Error = entrace_record::error::Error;

    fn traces(&self, mut take: impl FnMut(TraceKey<'_>)) -> Result<(), Self::Error> {
        for row in self.stream_trace_heads() {
            let row = row?;
            take(TraceKey {
                task: &row.task,
                question_id: &Arc::from(row.question_id),
                sample: row.sample,
                target: row.target.as_deref(),
            });
        }
        Ok(())
    }

    fn prefixes(&self, mut take: impl FnMut(PrefixKey<'_>)) -> Result<(), Self::Error> {
        for row in self.stream_prefix_leaders() {
            let row = row?;
            take(PrefixKey {
                task: &row.task,
                question_id: &row.question_id,
                sample: row.sample,
                estimator: &row.estimator,
                leader: &row.leader,
                n_samples: row.n_samples,
                cue: row.cue,
            });
        }
        Ok(())
    }

    fn streams(&self) -> Streams<'_, Self::Error> {
        Streams {
            traces: Box::new(self.stream_traces()),
            prefixes: Cursor::new(self.stream_prefixes()),
            answers: Cursor::new(self.stream_answers()),
            tokens: Cursor::new(self.stream_tokens()),
            signals: Cursor::new(self.stream_signals()),
            decisions: Cursor::new(self.stream_decisions()),
        }
    }
}

impl Source for Rows {
    type Error = Infallible;

    fn traces(&self, mut take: impl FnMut(TraceKey<'_>)) -> Result<(), Infallible> {
        for row in &self.traces {
            let target = row.target.as_deref();
            take(TraceKey { task: &row.task, question_id: &row.question_id, sample: row.sample, target });
        }
        Ok(())
    }

    fn prefixes(&self, mut take: impl FnMut(PrefixKey<'_>)) -> Result<(), Infallible> {
        for row in &self.prefixes {
            take(PrefixKey {
                task: &row.task,
                question_id: &row.question_id,
                sample: row.sample,
                estimator: &row.estimator,
                leader: &row.leader,
                n_samples: row.n_samples,
                cue: row.cue,
            });
        }
        Ok(())
    }

    fn streams(&self) -> Streams<'_, Infallible> {
        Streams {
            traces: Box::new(self.traces.iter().cloned().map(Ok)),
            prefixes: Cursor::new(self.prefixes.iter().cloned().map(Ok)),
            answers: Cursor::new(self.answers.iter().cloned().map(Ok)),
            tokens: Cursor::new(self.tokens.iter().cloned().map(Ok)),
            signals: Cursor::new(self.signals.iter().cloned().map(Ok)),
            decisions: Cursor::new(self.decisions.iter().cloned().map(Ok)),
        }
    }
}
