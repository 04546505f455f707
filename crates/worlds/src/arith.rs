//! Grade-school word problems with worked solutions.
//!
//! A problem is a story of one or two people and their things: a start, events that change a number, perhaps a sentence with a
//! number that does not matter, and a question. Its solution has one line for each operation and a last line with the answer:
//!
//! ```text
//! Q: Tom has 17 shells. He finds 5 more shells. Then Tom opens 3 bags that hold 4 shells each. How many shells does Tom have now?
//! A: Tom has 17 + 5 = 22 shells.
//! The bags hold 3 * 4 = 12 shells.
//! Now Tom has 22 + 12 = 34 shells.
//! The answer is 34.
//! ```
//!
//! [`prompt`] is the text up to and with `A:`, which is how entrace asks a model without a chat template; what follows it is
//! [`Solution::completion`], with its leading space. The last line is the wording of entrace's default cue, so a model that has learnt
//! these texts can be asked for its answer after any step: [`Solution::interrupted`] is the text of one who was.
//!
//! Random access: problem i of (seed, split, difficulty) needs no other problem. **Splits share nothing**: a hash of the equations with
//! all their numbers ([`Problem::equations`]) decides the split, whatever seed, difficulty, names, things or wording, and problems are
//! drawn until one falls into the split that is asked for. So a test problem has a chain of equations that is in no training problem.
//!
//! All numbers are positive integers. Files in reading order: `difficulty`; `plan`, the arithmetic; `story`, its wording; `solution`;
//! `noise`, solutions with a wrong step; `aside`, solutions with a line that nothing uses; `pieces`, the vocabulary.

mod aside;
mod difficulty;
mod noise;
mod pieces;
mod plan;
mod solution;
mod story;

use serde_json::json;

pub use self::aside::Aside;
pub use self::difficulty::{Difficulty, NotADifficulty};
pub use self::noise::{NoisySolution, noisy};
pub use self::pieces::{PIECE_PATTERN, pieces, split_pieces};
pub use self::solution::Solution;

use self::plan::Plan;
use self::story::Story;
use crate::stream::{Purpose, Stream};
use entrace_measure::seed::{fnv1a, mix};

/// A part of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Eight tenths of all chains of equations.
    Train,
    /// One tenth.
    Validation,
    /// One tenth.
    Test,
}

impl Split {
    /// The name used in ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split to which a chain of equations belongs.
    fn of(equations: &str) -> Self {
        match mix(fnv1a(equations.bytes())) % 10 {
            0 => Self::Test,
            1 => Self::Validation,
            _ => Self::Train,
        }
    }

    fn purpose(self) -> Purpose {
        match self {
            Self::Train => Purpose::TrainProblem,
            Self::Validation => Purpose::ValidationProblem,
            Self::Test => Purpose::TestProblem,
        }
    }
}

/// A word problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `arith-test-000017`: split and index. Unique among the problems of one seed and difficulty.
    pub id: String,
    /// The story and what is asked, on one line.
    pub question: String,
    /// How a careful person solves it.
    pub solution: Solution,
    plan: Plan,
    story: Story,
}

/// Problem `index` of a split.
pub fn generate(seed: u64, split: Split, index: u64, difficulty: &Difficulty) -> Problem {
    let mut stream = Stream::new(seed, split.purpose(), index);
    let plan = loop {
        let plan = Plan::draw(&mut stream, difficulty);
        if Split::of(&plan.equations_text()) == split {
            break plan;
        }
    };
    let story = Story::draw(&mut stream, &plan, difficulty);
    let solution = story.solution(&plan.equations, &plan.values());
    let id = format!("arith-{}-{index:06}", split.name());
    Problem { id, question: story.question.clone(), solution, plan, story }
}

impl Problem {
    /// The chain of equations without spaces, such as `17+5=22;3*4=12;22+12=34`.
    pub fn equations(&self) -> String {
        self.plan.equations_text()
    }

    /// The problem as a line of a JSON Lines file (without the line break): `id`, `question`, `trace`, `target`.
    ///
    /// `datasets::jsonl` and `datasets::imported` read these columns under these names. The trace is that of `solution`, as it
    /// follows the prompt, so another solution can be exported instead of the problem's own.
    pub fn json_line(&self, solution: &Solution) -> String {
        let target = self.solution.answer.to_string();
        json!({"id": self.id, "question": self.question, "trace": solution.completion(), "target": target})
            .to_string()
    }
}

/// The text before a solution: `Q: `, the question, a line break, `A:`.
pub fn prompt(question: &str) -> String {
    format!("Q: {question}\nA:")
}

#[cfg(test)]
mod tests;
