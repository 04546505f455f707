//! A worked solution: one line for each operation, then the answer.
//!
//! Lines are separated by single line breaks, so entrace's `line` rule (and `auto`, as there are no blank lines) gives one step for each
//! line. The last line is `The answer is 34.`, from which the number format reads 34.

use super::plan::Op;

/// What the holder of the things has.
pub(super) const HOLDER: &[&str] = &[
    "{C} has {eq} {obj}.",
    "Now {C} has {eq} {obj}.",
    "So {C} has {eq} {obj}.",
    "That makes {eq} {obj} for {C}.",
    "{eq}, so {C} has {r} {obj}.",
];

/// What is in the packs.
pub(super) const PACKS: &[&str] = &[
    "The {packs} hold {eq} {obj}.",
    "There are {eq} {obj} in the {packs}.",
    "{eq}, so the {packs} hold {r} {obj}.",
];

/// What two people have.
pub(super) const TOGETHER: &[&str] = &[
    "Together they have {eq} {obj}.",
    "In all they have {eq} {obj}.",
    "{eq}, so together they have {r} {obj}.",
];

/// What is in one container.
pub(super) const BOX: &[&str] = &[
    "Each {box} has {eq} {obj}.",
    "There are {eq} {obj} in each {box}.",
    "{eq}, so each {box} has {r} {obj}.",
];

/// Every phrasing of a line.
pub(super) const PHRASINGS: [&[&str]; 4] = [HOLDER, PACKS, TOGETHER, BOX];

/// What precedes the answer.
pub(super) const ANSWER_LEAD: &str = "The answer is";

/// `17 + 5 = 22`.
pub(super) fn equation_text(left: i64, op: Op, right: i64, result: i64) -> String {
    format!("{left} {} {right} = {result}", op.sign())
}

/// A worked solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// One sentence for each operation, without line breaks.
    pub steps: Vec<String>,
    /// The answer that it ends with.
    pub answer: i64,
}

impl Solution {
    /// `The answer is 34.`
    pub fn answer_line(&self) -> String {
        format!("{ANSWER_LEAD} {}.", self.answer)
    }

    /// The steps and the answer, a line each, without a line break at the end.
    pub fn trace(&self) -> String {
        let mut text = self.steps.join("\n");
        text.push('\n');
        text + &self.answer_line()
    }

    /// The trace as it follows [`prompt`](super::prompt): after a space.
    pub fn completion(&self) -> String {
        format!(" {}", self.trace())
    }

    /// The completion up to the end of step `n_steps` (at most all of them), which ends in no line break; empty for 0.
    pub fn prefix(&self, n_steps: usize) -> String {
        match &self.steps[..n_steps.min(self.steps.len())] {
            [] => String::new(),
            told => format!(" {}", told.join("\n")),
        }
    }

    /// The completion of an annotator who is asked for the answer after `n_steps` steps and knows it: those steps, then the answer line.
    ///
    /// All steps give [`completion`](Self::completion); more give the answer line twice, as when it is asked for once more at the end.
    pub fn interrupted(&self, n_steps: usize) -> String {
        let again =
            if n_steps > self.steps.len() { format!("\n{}", self.answer_line()) } else { String::new() };
        format!("{}{again}\n{}", self.prefix(n_steps), self.answer_line())
    }
}
