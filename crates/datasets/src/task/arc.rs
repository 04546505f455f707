//! ARC: science questions of US school examinations with three to five options; `challenge` holds those that retrieval and word
//! statistics got wrong, `easy` the others.
//!
//! AI2's rows have `id`, `question: {stem, choices: [{text, label}]}` and `answerKey`; the Hub's have `question` as text and
//! parallel lists `choices: {text, label}`. Labels are mostly letters, in some questions numbers; the target is the label as
//! the row spells it. Source: Clark et al. 2018, arXiv:1803.05457.

use entrace_measure::{Answer, Question};

use super::{Place, Published, Source, Split, SplitFiles, TaskSpec};
use crate::format::FormatKind;
use crate::value::{self, Row, Value};

pub(super) const CHALLENGE: TaskSpec = TaskSpec {
    name: "arc_challenge",
    description: "school science questions with options, the hard part",
    citation: "Clark et al. 2018, arXiv:1803.05457",
    answer_format: FormatKind::Choice,
    evaluation_split: Split::Test,
    fewshot_splits: &[Split::Train, Split::Validation],
    source: Source::Published(Published {
        hub_repo: "allenai/ai2_arc",
        splits: &[
            SplitFiles {
                split: Split::Train,
                names: &["train.jsonl", "ARC-Challenge-Train.jsonl"],
                hub_folder: "ARC-Challenge",
            },
            SplitFiles {
                split: Split::Validation,
                names: &["dev.jsonl", "ARC-Challenge-Dev.jsonl"],
                hub_folder: "ARC-Challenge",
            },
            SplitFiles {
                split: Split::Test,
                names: &["test.jsonl", "ARC-Challenge-Test.jsonl"],
                hub_folder: "ARC-Challenge",
            },
        ],
        folders: &["ARC-Challenge", "ARC-V1-Feb2018-2/ARC-Challenge"],
        question,
    }),
};

pub(super) const EASY: TaskSpec = TaskSpec {
    name: "arc_easy",
    description: "school science questions with options, the easy part",
    source: Source::Published(Published {
        hub_repo: "allenai/ai2_arc",
        splits: &[
            SplitFiles {
                split: Split::Train,
                names: &["train.jsonl", "ARC-Easy-Train.jsonl"],
                hub_folder: "ARC-Easy",
            },
            SplitFiles {
                split: Split::Validation,
                names: &["dev.jsonl", "ARC-Easy-Dev.jsonl"],
                hub_folder: "ARC-Easy",
            },
            SplitFiles {
                split: Split::Test,
                names: &["test.jsonl", "ARC-Easy-Test.jsonl"],
                hub_folder: "ARC-Easy",
            },
        ],
        folders: &["ARC-Easy", "ARC-V1-Feb2018-2/ARC-Easy"],
        question,
    }),
    ..CHALLENGE
};

fn question(row: &Row, place: Place<'_>) -> Result<Question, String> {
    let (text, choices) = match row.get("question") {
        Some(Value::Object(question)) => (value::text(question, "stem")?, question.get("choices")),
        _ => (value::text(row, "question")?, row.get("choices")),
    };
    let choices = value::choices(choices.ok_or("the question has no choices")?)?;
    let key = value::scalar_in(row, "answerKey")?;
    if !choices.labels().contains(&key) {
        return Err(format!("the answer key {key:?} is none of the labels {}", choices.labels().join(", ")));
    }
    Ok(Question {
        task: place.task.to_string(),
        id: value::scalar_in(row, "id")?,
        text: text.trim().to_string(),
        choices: Some(choices),
        target: Some(Answer::Value(key)),
        rationale: None,
    })
}
