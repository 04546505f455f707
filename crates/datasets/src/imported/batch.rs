//! What OpenAI's and vLLM's batches write: one response for each request, known by `custom_id`.
//!
//! The questions are in the file of requests, which has to be given with it: `body.messages` or `body.prompt`. A request may state the
//! answer as its own `target`, or in `metadata` or `body.metadata` under that name. Every choice of a response is a trace; requests that
//! failed are lines that cannot be read, with the error that they met.

use std::collections::HashMap;

use super::{StatedTrace, TracePrompt};
use crate::columns::{Column, ColumnMap};
use crate::jsonl::{Stated, after_marks, option_number};
use crate::messages;
use crate::rows::Line;
use crate::value::{self, Row, Value};

/// The requests of a batch by `custom_id`.
#[derive(Debug, Default)]
pub(super) struct Requests(HashMap<String, Row>);

impl Requests {
    /// From the lines of their file.
    pub(super) fn of(lines: Vec<Line>) -> Self {
        let rows = lines.into_iter().filter_map(|line| line.row.ok());
        Self(rows.filter_map(|row| Some((value::scalar_in(&row, "custom_id").ok()?, row))).collect())
    }
}

/// Whether the rows are responses.
pub(super) fn are_responses(lines: &[Line]) -> bool {
    let row = lines.iter().find_map(|line| line.row.as_ref().ok());
    row.is_some_and(|row| row.get("custom_id").is_some() && row.get("response").is_some())
}

/// The traces of a response.
pub(super) fn traces(
    row: &Row,
    columns: &ColumnMap,
    requests: Option<&Requests>,
) -> Result<Vec<StatedTrace>, String> {
    let id = value::scalar_in(row, "custom_id")?;
    let choices = choices(row)?;
    let requests =
        requests.ok_or("the output of a batch does not hold its questions; give the file of requests too")?;
    let request =
        requests.0.get(&id).ok_or_else(|| format!("there is no request {id:?} in the file of requests"))?;
    let (text, prompt) = asked(request)?;
    let listed = columns.nested(request, Column::Choices)?;
    let target = columns.scalar(request, Column::Target)?;
    let in_metadata =
        ["metadata.target", "body.metadata.target"].into_iter().find_map(|path| request.at(path));
    let target = target.or_else(|| value::scalar(in_metadata?).ok());
    let stated = Stated {
        id,
        text,
        choices: listed.as_deref().map(value::choices).transpose()?,
        option_number: option_number(listed.as_deref(), columns.get(request, Column::Target)?),
        target: target.map(|target| after_marks(&target).to_string()),
    };
    let trace = |(place, choice): (usize, &Value)| {
        let written = match choice.at("message") {
            Some(message) => messages::reply(message)?,
            None => choice.at("text").and_then(Value::as_text).ok_or("a choice has no text")?.to_string(),
        };
        let sample = choice.at("index").and_then(Value::as_index).and_then(|i| usize::try_from(i).ok());
        Ok(StatedTrace {
            stated: stated.clone(),
            prompt: Some(prompt.clone()),
            trace: written,
            step_ends: None,
            correct: None,
            sample: sample.unwrap_or(place),
        })
    };
    choices.iter().enumerate().map(trace).collect()
}

/// The choices of a response that succeeded.
fn choices(row: &Row) -> Result<&[Value], String> {
    if let Some(error) = row.get("error").filter(|error| !error.is_null()) {
        let said = ["message", "code"].into_iter().find_map(|name| error.at(name)?.as_text());
        return Err(format!("the request failed: {}", said.unwrap_or("no reason is given")));
    }
    let status = row.at("response.status_code").and_then(Value::as_index);
    if let Some(status) = status.filter(|status| *status != 200) {
        let said = row.at("response.body.error.message").and_then(Value::as_text);
        return Err(format!(
            "the request failed with status {status}: {}",
            said.unwrap_or("no reason is given")
        ));
    }
    row.at("response.body.choices")
        .and_then(Value::as_list)
        .ok_or_else(|| "the response has no choices".to_string())
}

/// What a request asks, and the prompt that it is.
fn asked(request: &Row) -> Result<(String, TracePrompt), String> {
    if let Some(conversation) = request.at("body.messages") {
        let messages = messages::read(conversation)?;
        let text = messages::last_asked(&messages).ok_or("the request has no message of a user")?.to_string();
        return Ok((text, TracePrompt::Messages(messages)));
    }
    let prompt = request.at("body.prompt").and_then(Value::as_text);
    let prompt = prompt.ok_or("the request has neither body.messages nor a text as body.prompt")?.to_string();
    Ok((prompt.clone(), TracePrompt::Text(prompt)))
}
