//! Rollouts that trainers log: TRL's `completions_<step>.parquet` and verl's `<step>.jsonl`.
//!
//! TRL's rows have `step`, `prompt`, `completion`, rewards by name and `advantage`; prompt and completion are texts or conversations. verl's
//! have `input`, `output`, `gts` (the answer), `score`, `step` and what the reward function says beside it, of which `acc`, where it is
//! there, is the verdict. Rewards are left aside: their scale is the trainer's own. Neither names its questions, so rows with the same prompt
//! are traces of one question: `step-1-prompt-2` is the second prompt of the file.

use std::collections::HashMap;

use super::{StatedTrace, TracePrompt, correct};
use crate::columns::{Column, ColumnMap};
use crate::jsonl::{Stated, after_marks};
use crate::rows::Line;
use crate::value::{self, Row, Value, text};

/// A file of rollouts.
#[derive(Debug)]
pub(super) struct Rollouts {
    is_verl: bool,
    /// Question and sample of each line.
    places: HashMap<usize, (String, usize)>,
}

const TRL: [&str; 4] = ["step", "prompt", "completion", "advantage"];
const VERL: [&str; 4] = ["step", "input", "output", "score"];

impl Rollouts {
    /// The rollouts, if these are some.
    pub(super) fn of(lines: &[Line]) -> Option<Self> {
        let rows = || lines.iter().filter_map(|line| Some((line.number, line.row.as_ref().ok()?)));
        let first = rows().next()?.1;
        let has = |names: [&str; 4]| names.iter().all(|name| first.get(name).is_some());
        let is_verl = has(VERL);
        if !is_verl && !has(TRL) {
            return None;
        }
        let prompt = if is_verl { "input" } else { "prompt" };
        let (mut questions, mut places) = (HashMap::<String, (usize, usize)>::new(), HashMap::new());
        for (number, row) in rows() {
            let step = row.get("step").and_then(|step| value::scalar(step).ok()).unwrap_or_default();
            let next = questions.len() + 1;
            let key = format!("{step} {:?}", row.get(prompt));
            let (question, n_seen) = questions.entry(key).or_insert((next, 0));
            places.insert(number, (format!("step-{step}-prompt-{question}"), *n_seen));
            *n_seen += 1;
        }
        Some(Self { is_verl, places })
    }

    /// The trace of a line.
    pub(super) fn trace(&self, line: &Line, row: &Row, columns: &ColumnMap) -> Result<StatedTrace, String> {
        let mut trace = match self.is_verl {
            true => of_verl(row, columns, line.number)?,
            false => super::trace(row, columns, line.number)?,
        };
        if let Some((id, sample)) = self.places.get(&line.number) {
            if columns.get(row, Column::Id)?.is_none() {
                trace.stated.id.clone_from(id);
            }
            if columns.get(row, Column::Sample)?.is_none() {
                trace.sample = *sample;
            }
        }
        Ok(trace)
    }
}

fn of_verl(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<StatedTrace, String> {
    let prompt = text(row, "input")?.to_string();
    let stated = Stated::without_text(row, columns, line_number)?;
    let truth = row.get("gts").map(|gts| gts.at("ground_truth").unwrap_or(gts)).filter(|gts| !gts.is_null());
    let truth = truth.map(value::scalar).transpose().map_err(|reason| format!("gts: {reason}"))?;
    let target = stated.target.clone().or_else(|| truth.map(|truth| after_marks(&truth).to_string()));
    Ok(StatedTrace {
        stated: Stated { text: prompt.clone(), target, ..stated },
        prompt: Some(TracePrompt::Text(prompt)),
        trace: text(row, "output")?.to_string(),
        step_ends: None,
        correct: row.get("acc").and_then(|verdict: &Value| correct(verdict).ok()),
        sample: 0,
    })
}
