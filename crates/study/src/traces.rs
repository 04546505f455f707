//! Existing traces: rows of a file, conversations, and what other harnesses log.

use crate::error::Error;
use crate::host::Host;
use crate::prompt::{Asking, PromptOptions};
use crate::tasks::{Planned, by_kind, limited};
use entrace_datasets::imported::{self, Imported, ImportedTrace, TracePrompt};
use entrace_datasets::{FormatKind, jsonl, stem};
use entrace_record::manifest::TaskRecord;
use entrace_run::{Measurement, Prompting, TraceInput, WorkItem};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Which traces are measured.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// The file.
    pub path: PathBuf,
    /// The file of requests, where the traces are the output of a batch.
    pub requests: Option<PathBuf>,
    /// Name under which they are recorded; by default the file's.
    pub name: Option<String>,
    /// How the file is read.
    pub reading: jsonl::Options,
    /// Only so many traces; below 1, that share of them.
    pub limit: Option<f64>,
    /// How questions are put to the model, where traces come with one; without examples.
    pub prompt: PromptOptions,
}

impl TraceOptions {
    /// All traces of a file, whose columns have the usual names.
    pub fn of_file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            requests: None,
            name: None,
            reading: jsonl::Options::default(),
            limit: None,
            prompt: PromptOptions::default(),
        }
    }

    /// Reads the traces, which needs no model.
    ///
    /// # Errors
    /// Where the options cannot be meant, or the file cannot be read.
    pub fn open(self, host: &dyn Host) -> Result<Traces, Error> {
        self.prompt.check()?;
        limited(0, self.limit)?;
        host.doing(format!("reading {}", self.path.display()));
        let requests = self.requests.as_deref();
        let read = imported::load_with(&self.path, requests, &self.task(), &self.reading)?;
        Ok(Traces { options: self, read })
    }

    /// The name under which they are recorded.
    pub(crate) fn task(&self) -> String {
        self.name.clone().or_else(|| stem(&self.path)).unwrap_or_else(|| "traces".into())
    }
}

/// Traces that were read, and how their questions are asked.
pub struct Traces {
    pub(crate) options: TraceOptions,
    pub(crate) read: Imported,
}

/// What is to be measured of the traces. Where a prompt is made here, completions stop where its blocks do.
pub(crate) fn plan(
    read: Imported,
    options: &TraceOptions,
    asking: &Asking,
    how: &mut Measurement,
) -> Result<Planned, Error> {
    let name = options.task();
    let n_available = n_questions(&read.traces);
    let mut traces = read.traces;
    traces.truncate(limited(traces.len(), options.limit)?);
    let n_questions = n_questions(&traces);
    if traces.iter().any(|trace| !matches!(trace.prompt, Some(TracePrompt::Text(_)))) {
        how.traces.sampling.stop.extend(asking.stop());
    }
    let kinds: Vec<FormatKind> = traces.iter().map(|trace| trace.answer_format).collect();
    let record = TaskRecord {
        name: name.clone(),
        source: read.source,
        hash: read.hash,
        items_hash: String::new(),
        n_available,
        n_questions,
        n_bad_lines: read.bad_lines.len(),
        answer_format: FormatKind::names(&kinds),
        estimator: how.estimator.name().to_string(),
    };
    Ok((by_kind(&name, read.style, items(traces, asking)?, how.seed), record))
}

fn n_questions(traces: &[ImportedTrace]) -> usize {
    traces.iter().map(|trace| trace.question.id.as_str()).collect::<BTreeSet<&str>>().len()
}

/// One item for each question and prompt, with the kind of its answer, in the order in which they come first.
fn items(traces: Vec<ImportedTrace>, asking: &Asking) -> Result<Vec<(FormatKind, WorkItem)>, Error> {
    let mut items: Vec<(FormatKind, WorkItem)> = Vec::new();
    let mut of_question: HashMap<String, Vec<usize>> = HashMap::new();
    for trace in traces {
        let prompting = match &trace.prompt {
            Some(TracePrompt::Text(prompt)) => Prompting::Verbatim(prompt.clone()),
            Some(TracePrompt::Messages(messages)) => {
                asking.conversation(messages, &trace.question, trace.answer_format)?
            }
            None => asking.prompting(&trace.question, trace.answer_format, &[]),
        };
        let sample = u32::try_from(trace.sample).unwrap_or(u32::MAX);
        let input =
            TraceInput::Imported { text: trace.trace, step_ends: trace.step_ends, correct: trace.correct };
        let known = of_question.entry(trace.question.id.clone()).or_default();
        match known.iter().find(|&&index| items[index].1.prompting == prompting) {
            Some(&index) => items[index].1.traces.push((sample, input)),
            None => {
                known.push(items.len());
                let question = Arc::new(trace.question);
                let item = WorkItem { question, prompting, traces: vec![(sample, input)] };
                items.push((trace.answer_format, item));
            }
        }
    }
    for (_, item) in &mut items {
        item.traces.sort_by_key(|(sample, _)| *sample);
    }
    Ok(items)
}
