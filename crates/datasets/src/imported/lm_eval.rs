//! Rows of lm-eval's `samples_<task>_<date>.jsonl`.
//!
//! `doc_id` is the identity, `target` the answer (a worked solution for GSM8K), `doc` the benchmark's row, `arguments` the
//! prompt: a list `[[prompt, settings]]` or, in later versions, `{"gen_args_0": {"arg_0": prompt}}`. `resps` is a list for each
//! request of a list of responses. A task with several filters writes every document once for each; the rows of the first
//! filter are taken. Responses that are numbers come from tasks that compare log-probabilities: there is no trace in them.

use super::{StatedTrace, TracePrompt};
use crate::columns::{Column, ColumnMap};
use crate::jsonl::{Stated, after_marks, option_number};
use crate::rows::Line;
use crate::value::{self, Row, Value};

/// The filter of the first row if this is such a file, null if its rows name none; `None` if it is another file.
pub(super) fn first_filter(lines: &[Line]) -> Option<Value> {
    let row = lines.iter().find_map(|line| line.row.as_ref().ok())?;
    let known = ["doc_id", "doc", "resps"].iter().all(|column| row.get(column).is_some());
    known.then(|| row.get("filter").cloned().unwrap_or(Value::Null))
}

/// The traces of one row; none if it repeats a document for another filter.
pub(super) fn traces(row: &Row, columns: &ColumnMap, filter: &Value) -> Result<Vec<StatedTrace>, String> {
    if row.get("filter").unwrap_or(&Value::Null) != filter {
        return Ok(Vec::new());
    }
    let responses = responses(row.get("resps").unwrap_or(&Value::Null))?;
    let prompt = prompt(row.get("arguments").unwrap_or(&Value::Null));
    let doc = row.get("doc").and_then(Value::as_object);
    let in_doc = |name: &str| doc.and_then(|doc| doc.get(name));
    let question = columns.scalar(row, Column::Question)?;
    let text = question.or_else(|| in_doc("question").and_then(Value::as_text).map(str::to_string));
    let listed = in_doc("choices").filter(|value| !value.is_null());
    let stated = Stated {
        id: value::scalar_in(row, "doc_id")?,
        text: text
            .or_else(|| prompt.clone())
            .ok_or("neither doc nor arguments have a question; map question=doc.COLUMN")?,
        choices: listed.map(value::choices).transpose()?,
        target: columns.scalar(row, Column::Target)?.map(|target| after_marks(&target).to_string()),
        option_number: option_number(listed, columns.get(row, Column::Target)?),
    };
    let trace = |(sample, trace)| StatedTrace {
        stated: stated.clone(),
        prompt: prompt.clone().map(TracePrompt::Text),
        trace,
        step_ends: None,
        correct: None,
        sample,
    };
    Ok(responses.into_iter().enumerate().map(trace).collect())
}

fn responses(value: &Value) -> Result<Vec<String>, String> {
    let requests = value.as_list().ok_or("resps is no list")?;
    let responses = requests.iter().flat_map(|request| match request {
        Value::List(responses) => responses.as_slice(),
        single => std::slice::from_ref(single),
    });
    let texts: Option<Vec<String>> =
        responses.map(|response| response.as_text().map(str::to_string)).collect();
    texts.ok_or_else(|| {
        "the responses are no texts; a task that compares log-probabilities leaves no traces".into()
    })
}

fn prompt(arguments: &Value) -> Option<String> {
    let first = arguments.at("gen_args_0.arg_0").or_else(|| arguments.at("0.0"));
    first.and_then(Value::as_text).map(str::to_string)
}
