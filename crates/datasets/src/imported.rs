//! Traces that were made elsewhere.
//!
//! A row has `trace` (or `steps`, strings that together are the trace), `question` or `prompt`, and if known `id`, `target`,
//! `choices`, `correct`, `sample`. Two rows of one id are the same trace twice, and the second is a bad line, unless `sample`
//! tells them apart. An empty trace is taken over as such: there is something to report about it, if nothing to measure.
//!
//! lm-eval's `samples_<task>_<date>.jsonl` is known by its columns `doc_id`, `doc`, `resps`: each generated response is a
//! trace. Its scores are left aside: whether a trace is correct is judged here, from the trace.
//!
//! Traces are text. They are tokenised once, by the caller; a step's end is a byte offset into the text.

mod lm_eval;

use std::collections::HashSet;
use std::path::Path;

use entrace_measure::Question;
use serde_json::Value;

use crate::columns::{Column, ColumnMap};
use crate::error::Error;
use crate::format::{FormatKind, NumberStyle};
use crate::jsonl::{Options, Stated, kinds_of, stated_rows, style_of};
use crate::loaded::BadLine;
use crate::rows::{self, Row};

/// A trace made elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedTrace {
    /// What was asked. Its text is the prompt where the row has no question.
    pub question: Question,
    /// The exact text that the trace follows, if it was recorded.
    pub prompt: Option<String>,
    /// The trace.
    pub trace: String,
    /// Ends of the steps in bytes of the trace, increasing; the last is its length. `None` if the row had no steps.
    pub step_ends: Option<Vec<usize>>,
    /// Whether its answer was judged correct by whoever made it.
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
    /// What the user should know of the formats.
    pub note: Option<String>,
    /// The file.
    pub source: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub hash: String,
}

/// A trace as its row states it.
#[derive(Debug, Clone)]
struct StatedTrace {
    stated: Stated,
    prompt: Option<String>,
    trace: String,
    step_ends: Option<Vec<usize>>,
    correct: Option<bool>,
    sample: usize,
}

/// Reads the traces of the file; `task` is the name they are recorded under.
pub fn load(path: &Path, task: &str, options: &Options) -> Result<Imported, Error> {
    let read = rows::load(&[path.to_path_buf()])?;
    let filter = lm_eval::first_filter(&read.lines);
    let (rows, mut bad_lines) = stated_rows(&read.lines, options.bad_lines, |line, row| match &filter {
        Some(filter) => lm_eval::traces(row, &options.columns, filter),
        None => trace(row, &options.columns, line.number).map(|trace| vec![trace]),
    })?;
    let stated = rows.iter().flat_map(|(line, row)| row.iter().map(move |trace| (*line, &trace.stated)));
    let style = style_of(stated.clone().map(|(_, stated)| stated));
    let (kinds, note) = kinds_of(options, style, stated);
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
    Ok(Imported { traces, bad_lines, style, note, source: read.source, hash: read.hash })
}

fn trace(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<StatedTrace, String> {
    let prompt = columns.scalar(row, Column::Prompt)?;
    let text = columns.scalar(row, Column::Question)?.or_else(|| prompt.clone());
    let text = text.ok_or("there is no column question or prompt; name one with question=COLUMN")?;
    let steps = columns.get(row, Column::Steps)?.map(steps).transpose()?;
    let trace = match (columns.scalar(row, Column::Trace)?, &steps) {
        (Some(trace), _) => trace,
        (None, Some(steps)) => steps.concat(),
        (None, None) => columns.required(row, Column::Trace)?,
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

fn correct(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(correct) => Ok(*correct),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
        other => Err(format!("correct is {other}, expected true, false, 1 or 0")),
    }
}

fn sample(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("sample is {value}, expected a number from 0"))
}

fn steps(value: &Value) -> Result<Vec<String>, String> {
    let strings =
        value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_string)).collect());
    strings.flatten().ok_or_else(|| "steps are no list of texts".to_string())
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
