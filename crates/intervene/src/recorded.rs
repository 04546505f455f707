//! Traces as a run folder has them: tokens, steps, answer.
//!
//! The tokens are those of `tokens.parquet`, never the text tokenised again; the prompt is the recorded text, whose tokens must be as many as
//! were recorded. A trace of which that cannot be said is left out with a reason.

use crate::error::Error;
use entrace_backend::{Prompt, Text};
use entrace_measure::{Answer, Choices, Question, StopReason, ThoughtKind, TokenId, Trace};
use entrace_record::RunReader;
use entrace_record::rows::{Outcome, TraceRow};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// A recorded trace.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its question.
    pub question: Question,
    /// Its number among those of the question.
    pub sample: u32,
    /// The prompt.
    pub prompt: Prompt,
    /// The thought in which it begins.
    pub opened: Option<ThoughtKind>,
    /// Tokens and text.
    pub trace: Trace,
    /// Tokens t_0 = 0 < t_1 < … < t_K at the end of each step.
    pub ends: Vec<usize>,
    /// Tokens at the beginning that only open a thought: they belong to no step that is changed.
    pub n_opening: usize,
    /// The answer that the completion states.
    pub answer: Answer,
    /// Whether that is right, where it is known.
    pub correct: Option<bool>,
    /// Whether the trace was written elsewhere.
    pub imported: bool,
}

/// Traces by the name of their task.
pub type ByTask = Vec<(String, Vec<Recorded>)>;

/// Traces that do not take part, by reason.
pub type LeftOut = BTreeMap<String, usize>;

impl Recorded {
    /// Number of steps K.
    pub fn n_steps(&self) -> usize {
        self.ends.len() - 1
    }

    /// Tokens of step k, from 1, without what opens a thought.
    pub fn tokens(&self, step: usize) -> Range<usize> {
        self.ends[step - 1].max(self.n_opening)..self.ends[step]
    }

    /// Bytes of step k of the trace's text, from 1, likewise.
    pub fn bytes(&self, step: usize) -> Range<usize> {
        let tokens = self.tokens(step);
        let end = |n: usize| self.trace.text_of_prefix(n).len();
        let last = if tokens.end == self.trace.len() { self.trace.text().len() } else { end(tokens.end) };
        end(tokens.start)..last
    }

    /// Bytes of all steps.
    pub fn all_bytes(&self) -> Vec<Range<usize>> {
        (1..=self.n_steps()).map(|step| self.bytes(step)).collect()
    }

    /// The text of step k, from 1.
    pub fn text_of_step(&self, step: usize) -> &str {
        &self.trace.text()[self.bytes(step)]
    }

    /// Names the random streams of what is drawn for the trace.
    pub(crate) fn stream(&self) -> [String; 3] {
        [self.question.task.clone(), self.question.id.clone(), self.sample.to_string()]
    }
}

/// The traces of a run by task, in the order of the record; of each task those of the first `limit` questions.
pub fn load(reader: &RunReader, text: &dyn Text, limit: Option<usize>) -> Result<(ByTask, LeftOut), Error> {
    let mut tokens = tokens(reader)?;
    let mut tasks: ByTask = Vec::new();
    let mut seen: HashMap<String, HashSet<String>> = HashMap::new();
    let mut left_out = LeftOut::new();
    for row in reader.stream_traces() {
        let row = row?;
        let questions = seen.entry(row.task.to_string()).or_default();
        if !questions.contains(&*row.question_id) {
            if limit.is_some_and(|limit| questions.len() >= limit) {
                continue;
            }
            questions.insert(row.question_id.to_string());
        }
        let key = (row.task.to_string(), row.question_id.to_string(), row.sample);
        match recorded(&row, tokens.remove(&key).unwrap_or_default(), text) {
            Ok(trace) => match tasks.iter_mut().find(|(task, _)| **task == *row.task) {
                Some((_, traces)) => traces.push(trace),
                None => tasks.push((row.task.to_string(), vec![trace])),
            },
            Err(reason) => *left_out.entry(reason).or_default() += 1,
        }
    }
    Ok((tasks, left_out))
}

/// Tokens of one trace: number, step, text.
#[derive(Default)]
struct Tokens {
    ids: Vec<TokenId>,
    steps: Vec<u32>,
    ends: Vec<usize>,
    text: String,
}

fn tokens(reader: &RunReader) -> Result<HashMap<(String, String, u32), Tokens>, Error> {
    let mut all: HashMap<(String, String, u32), Tokens> = HashMap::new();
    for row in reader.stream_tokens() {
        let row = row?;
        let tokens = all.entry((row.task.to_string(), row.question_id.to_string(), row.sample)).or_default();
        tokens.ids.push(row.token_id);
        tokens.steps.push(row.step);
        tokens.text += &row.text;
        tokens.ends.push(tokens.text.len());
    }
    Ok(all)
}

fn recorded(row: &TraceRow, tokens: Tokens, text: &dyn Text) -> Result<Recorded, String> {
    if row.outcome != Outcome::Measured {
        return Err(format!("the trace was {}", row.outcome.name()));
    }
    if tokens.ids.is_empty() {
        return Err("the record has no tokens of the trace".into());
    }
    let vocab_size = text.info().vocab_size;
    if tokens.ids.iter().any(|&id| id as usize >= vocab_size) {
        return Err("the trace has tokens that the model does not know".into());
    }
    let prompt = text.encode_prompt(&row.prompt).map_err(|e| e.to_string())?;
    if prompt.token_ids.len() != row.n_prompt_tokens as usize {
        return Err("the recorded prompt has another number of tokens for this model".into());
    }
    let ends = (0..tokens.ids.len()).filter(|&i| tokens.steps.get(i + 1) != Some(&tokens.steps[i]));
    let ends: Vec<usize> = std::iter::once(0).chain(ends.map(|i| i + 1)).collect();
    let trace = Trace::new(tokens.text, tokens.ids, tokens.ends).map_err(|e| e.to_string())?;
    let thoughts = text.thoughts();
    let division = thoughts.divide(&row.completion, thoughts.opened_by(&row.prompt).as_ref());
    let n_opening = trace.token_ends().partition_point(|&end| end <= division.opening_len());
    let opened = division.open_at(0).cloned();
    Ok(Recorded {
        question: Question {
            task: row.task.to_string(),
            id: row.question_id.to_string(),
            text: row.question.clone(),
            choices: row.choices.as_deref().and_then(choices),
            target: row.target.as_deref().map(Answer::from_name),
            rationale: None,
        },
        sample: row.sample,
        prompt,
        opened,
        n_opening: if n_opening < ends[1] { n_opening } else { 0 },
        trace,
        ends,
        answer: row.answer.as_deref().map_or(Answer::Invalid, Answer::from_name),
        correct: row.correct,
        imported: row.stop_reason.as_deref() == Some(StopReason::Imported.name()),
    })
}

/// The options in `{"labels": [...], "texts": [...]}`.
fn choices(json: &str) -> Option<Choices> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let list = |name: &str| -> Option<Vec<String>> {
        value.get(name)?.as_array()?.iter().map(|item| item.as_str().map(str::to_string)).collect()
    };
    Choices::new(list("labels")?, list("texts")?).ok()
}
