//! Word problems that are made, not read: `worlds::arith`, at its default difficulty, with seed 0.
//!
//! The questions of a split are its first [`N_QUESTIONS`] problems, `arith-test-000017` the one with index 17. The rationale is the
//! solution without its last line, as for GSM8K, since prompts with examples add the answer themselves. Without examples and without a
//! chat template the text before a trace is `Q: `, the question, a line break and `A:`, exactly `worlds::arith::prompt`.

use entrace_measure::{Answer, Question};
use entrace_worlds::arith::{self, Difficulty};

use super::{Made, Source, Split, TaskSpec};
use crate::format::FormatKind;

/// Questions in each split.
const N_QUESTIONS: usize = 200;

pub(super) const TASK: TaskSpec = TaskSpec {
    name: "arith",
    description: "made word problems of 2 or 3 operations with a numeric answer",
    citation: "entrace-worlds",
    answer_format: FormatKind::Number,
    evaluation_split: Split::Test,
    fewshot_splits: &[Split::Train],
    source: Source::Made(Made { n_questions: N_QUESTIONS, recipe: "seed 0", question }),
};

fn question(split: Split, index: usize) -> Question {
    let split = match split {
        Split::Train => arith::Split::Train,
        Split::Validation => arith::Split::Validation,
        Split::Test => arith::Split::Test,
    };
    let problem = arith::generate(0, split, index as u64, &Difficulty::default());
    Question {
        task: TASK.name.to_string(),
        id: problem.id,
        text: problem.question,
        choices: None,
        target: Some(Answer::Value(problem.solution.answer.to_string())),
        rationale: Some(problem.solution.steps.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use entrace_measure::AnswerFormat;

    use super::*;
    use crate::fewshot;
    use crate::loaded::BadLines;
    use crate::number::NumberFormat;
    use crate::task::load;

    #[test]
    fn questions_need_no_files() {
        let nowhere = Path::new("no such folder");
        let loaded = load(&TASK, nowhere, Split::Test, BadLines::Stop).unwrap();
        assert_eq!(loaded.questions.len(), N_QUESTIONS);
        assert_eq!(loaded.questions[17].id, "arith-test-000017");
        assert_eq!(loaded.source, "made: arith, seed 0, test, 200 questions");
        assert_eq!(loaded.hash.len(), 64);
        let pool = fewshot::pool(&TASK, nowhere, BadLines::Stop).unwrap();
        assert_eq!((pool.split, pool.note), (Split::Train, None));
        assert_ne!(pool.loaded.hash, loaded.hash);
    }

    #[test]
    fn the_prompt_is_that_of_the_world_and_the_solution_states_the_target() {
        for index in 0..500 {
            let problem = arith::generate(0, arith::Split::Train, index as u64, &Difficulty::default());
            let question = question(Split::Train, index);
            assert_eq!(fewshot::render(&[], &question), arith::prompt(&problem.question));
            assert_eq!(
                NumberFormat::default().extract(&problem.solution.completion(), None),
                question.target.clone().unwrap()
            );
            let target = problem.solution.answer.to_string();
            assert_eq!(NumberFormat::default().canonical(&target, None), question.target.unwrap());
        }
    }
}
