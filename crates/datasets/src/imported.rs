//! Traces that were made elsewhere.
//!
//! A row has `trace` (or `steps`, strings that together are the trace), `question` or `prompt`, and if known `id`, `target`,
//! `choices`, `correct`, `sample`. Prompt and trace may be conversations (`messages`), or one column `messages` holds both: its
//! last message is then the trace. Two rows of one id are the same trace twice, and the second is a bad line, unless `sample`
//! tells them apart. An empty trace is taken over as such: there is something to report about it, if nothing to measure.
//!
//! lm-eval's `samples_<task>_<date>.jsonl` is known by its columns `doc_id`, `doc`, `resps`: each generated response is a
//! trace. Its scores are left aside: whether a trace is correct is judged here, from the trace. Logs of inspect, TRL's completions, verl's
//! rollouts, lighteval's details and the output of OpenAI's and vLLM's batches are known by their columns too, each in a file of its own.
//!
//! Traces are text. They are tokenised once, by the caller; a step's end is a byte offset into the text.

mod batch;
mod inspect;
mod lighteval;
mod lm_eval;
mod rollouts;

use std::collections::HashSet;
use std::path::Path;

use entrace_measure::Question;

use self::batch::Requests;
use self::rollouts::Rollouts;
use crate::columns::{Column, ColumnMap};
use crate::error::Error;
use crate::format::{FormatKind, NumberStyle};
use crate::jsonl::{Options, Stated, kinds_of, missing_targets, stated_rows, style_of};
use crate::loaded::BadLine;
use crate::messages::{self, Message};
use crate::rows::{self, Line};
use crate::value::{self, Row, Value};

/// What a trace follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TracePrompt {
    /// This very text.
    Text(String),
    /// A conversation, through the model's chat template.
    Messages(Vec<Message>),
}

/// A trace made elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedTrace {
    /// What was asked. Its text is the prompt where the row has no question.
    pub question: Question,
    /// What the trace follows, if it was recorded.
    pub prompt: Option<TracePrompt>,
    /// The trace.
    pub trace: String,
    /// Ends of the steps in bytes of the trace, increasing; the last is its length. `None` if the row had no steps.
    pub step_ends: Option<Vec<usize>>,
    /// Whether its answer was judged correct where it was made.
    pub correct: Option<bool>,
    /// Which of the question's traces it is, from 0.
    pub sample: usize,
    /// The format of its answer.
    pub answer_format: FormatKind,
}

/// The traces of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The traces, in the order of the file.
    pub traces: Vec<ImportedTrace>,
    /// The lines that gave none.
    pub bad_lines: Vec<BadLine>,
    /// How the targets write numbers.
    pub style: NumberStyle,
    /// What the user should know of the formats and of missing targets.
    pub notes: Vec<String>,
    /// The file.
    pub source: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub hash: String,
}

/// A trace as its row states it.
#[derive(Debug, Clone)]
struct StatedTrace {
    stated: Stated,
    prompt: Option<TracePrompt>,
    trace: String,
    step_ends: Option<Vec<usize>>,
    correct: Option<bool>,
    sample: usize,
}

/// Who wrote the rows of a file.
enum Origin {
    /// A file with columns that are known by their names or mapped.
    Anyone,
    /// lm-eval, with the filter whose rows are taken.
    LmEval(Value),
    Inspect,
    Rollouts(Rollouts),
    Batch(Option<Requests>),
    Lighteval,
}

impl Origin {
    fn of(lines: &[Line], columns: &ColumnMap, requests: Option<Requests>) -> Self {
        if let Some(filter) = lm_eval::first_filter(lines) {
            return Self::LmEval(filter);
        }
        // A mapped column of the trace overrides what the columns look like.
        if columns.path(Column::Trace).is_some() {
            return Self::Anyone;
        }
        if inspect::are_samples(lines) {
            Self::Inspect
        } else if batch::are_responses(lines) {
            Self::Batch(requests)
        } else if lighteval::are_details(lines) {
            Self::Lighteval
        } else {
            Rollouts::of(lines).map_or(Self::Anyone, Self::Rollouts)
        }
    }

    /// The traces of a row.
    fn traces(&self, line: &Line, row: &Row, columns: &ColumnMap) -> Result<Vec<StatedTrace>, String> {
        let one = |trace| vec![trace];
        match self {
            Self::Anyone => trace(row, columns, line.number).map(one),
            Self::LmEval(filter) => lm_eval::traces(row, columns, filter),
            Self::Inspect => inspect::trace(row).map(one),
            Self::Rollouts(rollouts) => rollouts.trace(line, row, columns).map(one),
            Self::Batch(requests) => batch::traces(row, columns, requests.as_ref()),
            Self::Lighteval => lighteval::traces(row, line.number),
        }
    }
}

/// Reads the traces of the file; `task` is the name they are recorded under.
pub fn load(path: &Path, task: &str, options: &Options) -> Result<Imported, Error> {
    load_with(path, None, task, options)
}

/// Reads the traces of the file; of the output of a batch with the file of its requests.
pub fn load_with(
    path: &Path,
    requests: Option<&Path>,
    task: &str,
    options: &Options,
) -> Result<Imported, Error> {
    let max_cell_bytes = options.max_cell_bytes.unwrap_or(rows::MAX_CELL_BYTES);
    let requests = requests.map(|path| rows::load(&[path.to_path_buf()], max_cell_bytes)).transpose()?;
    let read = rows::load(&[path.to_path_buf()], max_cell_bytes)?;
    options.columns.check(path, &read.lines, &Column::OF_TRACES)?;
    let origin = Origin::of(&read.lines, &options.columns, requests.map(|read| Requests::of(read.lines)));
    let (rows, mut bad_lines) =
        stated_rows(&read.lines, options.bad_lines, |line, row| origin.traces(line, row, &options.columns))?;
    let stated = rows.iter().flat_map(|(line, row)| row.iter().map(move |trace| (*line, &trace.stated)));
    let style = style_of(stated.clone().map(|(_, stated)| stated));
    let (kinds, note) = kinds_of(options, style, stated.clone());
    let notes = note.into_iter().chain(missing_targets(stated)).collect();
    let (mut traces, mut seen) = (Vec::new(), HashSet::new());
    let rows = rows.iter().flat_map(|(line, row)| row.iter().map(move |trace| (line, trace)));
    for ((line, row), kind) in rows.zip(kinds) {
        let StatedTrace { stated, prompt, trace, step_ends, correct, sample } = row.clone();
        match stated.question(task, kind, style) {
            Ok(question) if !seen.insert((question.id.clone(), sample)) => {
                let reason = format!(
                    "the id {:?} appeared before with sample {sample}; several traces of one question need a sample column",
                    question.id
                );
                options.bad_lines.take(&mut bad_lines, line.bad(reason))?;
            }
            Ok(question) => traces.push(ImportedTrace {
                question,
                prompt,
                trace,
                step_ends,
                correct,
                sample,
                answer_format: kind,
            }),
            Err(reason) => options.bad_lines.take(&mut bad_lines, line.bad(reason))?,
        }
    }
    bad_lines.sort_by_key(|line| line.line_number);
    if traces.is_empty() {
        return Err(Error::NoUsableLine { path: path.to_path_buf(), first: bad_lines.into_iter().next() });
    }
    Ok(Imported { traces, bad_lines, style, notes, source: read.source, hash: read.hash })
}

fn trace(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<StatedTrace, String> {
    let steps = columns.nested(row, Column::Steps)?.as_deref().map(steps).transpose()?;
    let mut prompt = prompt(row, columns)?;
    let trace = match (written(row, columns)?, &steps) {
        (Some(trace), _) => trace,
        (None, Some(steps)) => steps.concat(),
        (None, None) => {
            let Some(conversation) = columns.nested(row, Column::Messages)? else {
                return Err(columns.missing(row, &[Column::Trace, Column::Messages]));
            };
            let (before, reply) = messages::split(&conversation)?;
            prompt = prompt.or(Some(TracePrompt::Messages(before)));
            reply
        }
    };
    let text = match (columns.scalar(row, Column::Question)?, &prompt) {
        (Some(question), _) => question,
        (None, Some(TracePrompt::Text(prompt))) => prompt.clone(),
        (None, Some(TracePrompt::Messages(messages))) => {
            messages::last_asked(messages).ok_or("the conversation has no message of a user")?.to_string()
        }
        (None, None) => return Err(columns.missing(row, &[Column::Question, Column::Prompt])),
    };
    let step_ends = steps.map(|steps| step_ends(&steps, &trace)).transpose()?;
    Ok(StatedTrace {
        stated: Stated { text, ..Stated::without_text(row, columns, line_number)? },
        prompt,
        trace,
        step_ends,
        correct: columns.get(row, Column::Correct)?.map(correct).transpose()?,
        sample: columns.get(row, Column::Sample)?.map_or(Ok(0), sample)?,
    })
}

fn prompt(row: &Row, columns: &ColumnMap) -> Result<Option<TracePrompt>, String> {
    match columns.conversation(row, Column::Prompt)? {
        Some(conversation) => messages::read(&conversation).map(TracePrompt::Messages).map(Some),
        None => Ok(columns.scalar(row, Column::Prompt)?.map(TracePrompt::Text)),
    }
}

/// The column of the trace: a text, or a message or conversation of the assistant. A path that ends in a message's
/// `content` leads to the message, whose reasoning may be beside it.
fn written(row: &Row, columns: &ColumnMap) -> Result<Option<String>, String> {
    let message = columns.path(Column::Trace).and_then(|path| row.at(path.strip_suffix(".content")?));
    if let Some(message) = message.filter(|message| messages::has_reasoning(message)) {
        return messages::reply(message).map(Some);
    }
    if let Some(message @ Value::Object(_)) = columns.get(row, Column::Trace)? {
        return messages::reply(message).map(Some);
    }
    match columns.conversation(row, Column::Trace)? {
        Some(conversation) => messages::reply(&conversation).map(Some),
        None => columns.scalar(row, Column::Trace),
    }
}

fn correct(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(correct) => Ok(*correct),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Number(_) if value.as_index() == Some(1) => Ok(true),
        Value::Number(_) if value.as_index() == Some(0) => Ok(false),
        other => Err(format!("correct is {}, expected true, false, 1 or 0", shown(other))),
    }
}

fn sample(value: &Value) -> Result<usize, String> {
    let number = value.as_index().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("sample is {}, expected a number from 0", shown(value)))
}

fn steps(value: &Value) -> Result<Vec<String>, String> {
    let strings =
        value.as_list().map(|items| items.iter().map(|item| item.as_text().map(str::to_string)).collect());
    strings.flatten().ok_or_else(|| "steps are no list of texts".to_string())
}

/// A value for a message: its text, or what it is.
fn shown(value: &Value) -> String {
    value::scalar(value).unwrap_or_else(|_| value.kind().to_string())
}

/// Ends of the steps in the trace; empty steps have none of their own.
fn step_ends(steps: &[String], trace: &str) -> Result<Vec<usize>, String> {
    let (mut ends, mut end) = (Vec::new(), 0);
    for (i, step) in steps.iter().enumerate() {
        let rest = &trace[end..];
        if !rest.starts_with(step.as_str()) {
            return Err(difference(i, step, rest, end));
        }
        end += step.len();
        if !step.is_empty() {
            ends.push(end);
        }
    }
    if end < trace.len() {
        return Err(format!(
            "the {} steps end at byte {end}, the trace goes on with {:?}",
            steps.len(),
            start(&trace[end..])
        ));
    }
    Ok(ends)
}

/// Names the first place where step and trace differ.
fn difference(i: usize, step: &str, rest: &str, end: usize) -> String {
    let same: usize =
        step.chars().zip(rest.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    format!(
        "step {} differs from the trace at byte {}: the step has {:?}, the trace {:?}",
        i + 1,
        end + same,
        start(&step[same..]),
        start(&rest[same..])
    )
}

fn start(text: &str) -> String {
    text.chars().take(20).collect()
}
