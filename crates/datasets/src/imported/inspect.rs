//! Samples of inspect's logs.
//!
//! `id` with `epoch` is the identity, `input` the question, `choices` the options, `target` the answer (a text, or a list of one), and
//! `messages` the conversation: what precedes the last message of the assistant is the prompt. A part of a message that is reasoning is
//! the thought before the reply. The verdict is that of the first score that is correct (`C`) or incorrect (`I`); other scores are left aside.

use super::{StatedTrace, TracePrompt};
use crate::jsonl::{Stated, after_marks, option_number};
use crate::messages;
use crate::rows::Line;
use crate::value::{self, Row, Value};

/// Whether the rows are samples.
pub(super) fn are_samples(lines: &[Line]) -> bool {
    let row = lines.iter().find_map(|line| line.row.as_ref().ok());
    let is_there =
        |row: &Row| ["epoch", "input", "messages", "output"].iter().all(|name| row.get(name).is_some());
    row.is_some_and(is_there)
}

/// The trace of a sample.
pub(super) fn trace(row: &Row) -> Result<StatedTrace, String> {
    let conversation: Vec<Value> =
        row.get("messages").and_then(Value::as_list).unwrap_or_default().iter().map(with_reasoning).collect();
    let is_reply = |message: &Value| message.at("role").and_then(Value::as_text) == Some("assistant");
    let end = conversation.iter().rposition(is_reply).ok_or_else(|| unanswered(row))?;
    let (before, trace) = messages::split(&Value::List(conversation[..=end].to_vec()))?;
    let text = match row.get("input") {
        Some(Value::Text(input)) => input.clone(),
        _ => messages::last_asked(&before).ok_or("the sample has no message of a user")?.to_string(),
    };
    let listed =
        row.get("choices").filter(|choices| choices.as_list().is_some_and(|items| !items.is_empty()));
    let target = target(row)?;
    let epoch = row.get("epoch").and_then(Value::as_index).filter(|&epoch| epoch >= 1);
    let epoch = epoch.ok_or("the sample has no epoch from 1")?;
    Ok(StatedTrace {
        stated: Stated {
            id: value::scalar_in(row, "id")?,
            text,
            choices: listed.map(value::choices).transpose()?,
            option_number: option_number(listed, row.get("target")),
            target,
        },
        prompt: Some(TracePrompt::Messages(before)),
        trace,
        step_ends: None,
        correct: verdict(row),
        sample: usize::try_from(epoch - 1).map_err(|_| "the epoch is too large")?,
    })
}

/// Why there is no reply.
fn unanswered(row: &Row) -> String {
    match row.at("error.message").and_then(Value::as_text) {
        Some(error) => format!("the sample failed: {}", error.lines().next().unwrap_or_default()),
        None => "the sample has no message of the assistant".to_string(),
    }
}

/// A message whose parts of reasoning are beside its content, as chat interfaces write it.
fn with_reasoning(message: &Value) -> Value {
    let (Some(row), Some(parts)) = (message.as_object(), message.at("content").and_then(Value::as_list))
    else {
        return message.clone();
    };
    let is_thought = |part: &&Value| part.at("type").and_then(Value::as_text) == Some("reasoning");
    let (thoughts, said): (Vec<&Value>, Vec<&Value>) = parts.iter().partition(is_thought);
    let thought: Vec<&str> =
        thoughts.iter().filter_map(|part| part.at("reasoning").and_then(Value::as_text)).collect();
    let others = row.iter().filter(|(name, _)| *name != "content").map(|(n, v)| (n.to_string(), v.clone()));
    let content = ("content".to_string(), Value::List(said.into_iter().cloned().collect()));
    let reasoning = ("reasoning_content".to_string(), Value::Text(thought.join("\n")));
    Value::Object(others.chain([content, reasoning]).collect())
}

/// The target, of which there may be none.
fn target(row: &Row) -> Result<Option<String>, String> {
    let target = match row.get("target") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::List(targets)) => match targets.as_slice() {
            [target] => target,
            targets => return Err(format!("the sample has {} targets, expected one", targets.len())),
        },
        Some(target) => target,
    };
    let target = value::scalar(target).map_err(|reason| format!("the target: {reason}"))?;
    Ok(Some(after_marks(&target).to_string()).filter(|target| !target.is_empty()))
}

fn verdict(row: &Row) -> Option<bool> {
    let scores = row.get("scores")?.as_object()?;
    scores.iter().find_map(|(_, score)| match score.at("value")?.as_text()? {
        "C" => Some(true),
        "I" => Some(false),
        _ => None,
    })
}
