//! GSM8K: grade-school word problems with worked solutions.
//!
//! A row has `question` and `answer`; the answer is a solution in sentences with calculator annotations such as `<<3*4=12>>`,
//! and a last line `#### 12`. The publisher's files have no identities: a question is named by split and line, `test-17`,
//! counted from 1. Source: Cobbe et al. 2021, arXiv:2110.14168.

use std::sync::LazyLock;

use entrace_measure::{AnswerFormat, Question};
use regex::Regex;

use super::{Place, Published, Source, Split, SplitFiles, TaskSpec};
use crate::format::FormatKind;
use crate::number::{NumberFormat, is_number};
use crate::value::{self, Row};

pub(super) const TASK: TaskSpec = TaskSpec {
    name: "gsm8k",
    description: "grade-school math word problems with a numeric answer",
    citation: "Cobbe et al. 2021, arXiv:2110.14168",
    answer_format: FormatKind::Number,
    evaluation_split: Split::Test,
    fewshot_splits: &[Split::Train],
    source: Source::Published(Published {
        hub_repo: "openai/gsm8k",
        splits: &[
            SplitFiles { split: Split::Train, names: &["train.jsonl"], hub_folder: "main" },
            SplitFiles { split: Split::Test, names: &["test.jsonl"], hub_folder: "main" },
        ],
        folders: &[],
        question,
    }),
};

fn question(row: &Row, place: Place<'_>) -> Result<Question, String> {
    let solution = value::text(row, "answer")?;
    let (worked, stated) =
        solution.rsplit_once("####").ok_or("the solution has no line that begins with ####")?;
    if !is_number(stated) {
        return Err(format!("the final answer {:?} is no number", stated.trim()));
    }
    Ok(Question {
        task: place.task.to_string(),
        id: place.name.to_string(),
        text: value::text(row, "question")?.trim().to_string(),
        choices: None,
        target: Some(NumberFormat::default().canonical(stated, None)),
        rationale: Some(strip_annotations(worked).trim().to_string()),
    })
}

static ANNOTATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("<<[^<>]*>>").expect("the pattern is a constant"));

/// The solution without its calculator annotations.
pub fn strip_annotations(solution: &str) -> String {
    ANNOTATION.replace_all(solution, "").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_removed_and_comparisons_stay() {
        assert_eq!(strip_annotations("2 + 3 = <<2+3=5>>5, 1 < 2 << 3"), "2 + 3 = 5, 1 < 2 << 3");
    }
}
