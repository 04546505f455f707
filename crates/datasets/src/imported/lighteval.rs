//! lighteval's details, `details_<task>_<date>.parquet`.
//!
//! `doc` is the question: `query`, `choices` with `gold_index`, `id`; `model_response` what was generated: `input` the prompt, `text` the
//! completions, `reasonings` the thoughts before them. A task that generates has its answer as the only choice; where there are more, they
//! are options. Its scores, `metric`, are left aside: they are means over completions.

use super::{StatedTrace, TracePrompt};
use crate::jsonl::{Stated, after_marks};
use crate::messages;
use crate::rows::Line;
use crate::value::{self, Row, Value};

/// Whether the rows are details.
pub(super) fn are_details(lines: &[Line]) -> bool {
    let row = lines.iter().find_map(|line| line.row.as_ref().ok());
    row.is_some_and(|row| row.at("doc.query").is_some() && row.get("model_response").is_some())
}

/// The traces of one question.
pub(super) fn traces(row: &Row, line_number: usize) -> Result<Vec<StatedTrace>, String> {
    let query = row.at("doc.query").and_then(Value::as_text).ok_or("doc.query is no text")?;
    let texts = row.at("model_response.text").and_then(Value::as_list).unwrap_or_default();
    if texts.is_empty() {
        return Err("nothing was generated; a task that compares log-probabilities leaves no traces".into());
    }
    let prompt = match row.at("model_response.input") {
        Some(Value::Text(prompt)) => Some(TracePrompt::Text(prompt.clone())),
        Some(conversation @ Value::List(_)) => Some(TracePrompt::Messages(messages::read(conversation)?)),
        _ => None,
    };
    let id = row.at("doc.id").and_then(|id| value::scalar(id).ok()).filter(|id| !id.is_empty());
    let listed =
        row.at("doc.choices").filter(|choices| choices.as_list().is_some_and(|items| !items.is_empty()));
    let gold = gold(row)?;
    let has_options = listed.and_then(Value::as_list).is_some_and(|items| items.len() > 1);
    let stated = Stated {
        id: id.unwrap_or_else(|| format!("line-{line_number}")),
        text: query.to_string(),
        choices: listed.filter(|_| has_options).map(value::choices).transpose()?,
        option_number: gold.filter(|_| has_options),
        target: match (gold, has_options) {
            (Some(gold), true) => Some(gold.to_string()),
            (Some(gold), false) => {
                let answer = row.at(&format!("doc.choices.{gold}"));
                answer
                    .and_then(|answer| value::scalar(answer).ok())
                    .map(|answer| after_marks(&answer).to_string())
            }
            (None, _) => None,
        },
    };
    let thoughts = row.at("model_response.reasonings").and_then(Value::as_list).unwrap_or_default();
    let trace = |(sample, text): (usize, &Value)| {
        let text = text.as_text().ok_or("a completion is no text")?;
        let thought = thoughts.get(sample).and_then(Value::as_text).filter(|thought| !thought.is_empty());
        Ok(StatedTrace {
            stated: stated.clone(),
            prompt: prompt.clone(),
            trace: thought.map_or_else(|| text.to_string(), |thought| messages::joined(thought, text)),
            step_ends: None,
            correct: None,
            sample,
        })
    };
    texts.iter().enumerate().map(trace).collect()
}

/// The number of the true choice, of which there may be none.
fn gold(row: &Row) -> Result<Option<u64>, String> {
    match row.at("doc.gold_index") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::List(golds)) => match golds.as_slice() {
            [] => Ok(None),
            [gold] => Ok(gold.as_index()),
            golds => Err(format!("there are {} true choices, expected one", golds.len())),
        },
        Some(gold) => Ok(gold.as_index()),
    }
}
