//! SVAMP: one-step arithmetic word problems, varied from two older sets to show shallow reading.
//!
//! A row has `ID, Body, Question, Equation, Answer, Type`. The question is body and question joined by a space, as in the
//! chain-of-thought literature; the solution is the equation with its value. The authors publish one file of 1,000, which is
//! the evaluation set here; the Hub's copy splits it into 700 and 300. Source: Patel et al. 2021, arXiv:2103.07191.

use entrace_measure::{AnswerFormat, Question};

use super::{Place, Published, Source, Split, SplitFiles, TaskSpec};
use crate::format::FormatKind;
use crate::number::{NumberFormat, is_number};
use crate::value::{self, Row};

pub(super) const TASK: TaskSpec = TaskSpec {
    name: "svamp",
    description: "one-step arithmetic word problems with a numeric answer",
    citation: "Patel et al. 2021, arXiv:2103.07191",
    answer_format: FormatKind::Number,
    evaluation_split: Split::Test,
    fewshot_splits: &[Split::Train, Split::Test],
    source: Source::Published(Published {
        hub_repo: "ChilleD/SVAMP",
        splits: &[
            SplitFiles { split: Split::Train, names: &["train.json"], hub_folder: "data" },
            SplitFiles { split: Split::Test, names: &["SVAMP.json", "test.json"], hub_folder: "data" },
        ],
        folders: &["SVAMP"],
        question,
    }),
};

fn question(row: &Row, place: Place<'_>) -> Result<Question, String> {
    let answer = value::scalar_in(row, "Answer")?;
    if !is_number(&answer) {
        return Err(format!("the answer {answer:?} is no number"));
    }
    let target = NumberFormat::default().canonical(&answer, None);
    let equation = value::text(row, "Equation")?.replace(".0 ", " ");
    Ok(Question {
        task: place.task.to_string(),
        id: value::scalar_in(row, "ID")?,
        text: format!("{} {}", value::text(row, "Body")?.trim(), value::text(row, "Question")?.trim()),
        choices: None,
        rationale: Some(format!("{} = {}", equation.trim(), target.name())),
        target: Some(target),
    })
}
