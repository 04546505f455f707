//! What can go wrong between a record and a decision.

use std::path::PathBuf;

/// Failures to make or read a rule. Each message fits after "failed to ...:".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record could not be read, or a file not be written beside it.
    #[error(transparent)]
    Record(#[from] entrace_record::Error),
    /// The run has several tasks, or not the one that was asked for.
    #[error("{found}; choose one of {}", tasks.join(", "))]
    Task {
        /// What is wrong.
        found: String,
        /// The tasks of the run.
        tasks: Vec<String>,
    },
    /// The traces of the run were stopped, so that nothing can be said of whole ones.
    #[error(
        "the traces of this run were stopped by a rule ({rule}), and what is decided here is decided on whole ones"
    )]
    Stopped {
        /// The rule.
        rule: String,
    },
    /// Too few questions for what was asked.
    #[error("{what} needs at least {needed} questions with measured traces; the run has {found}")]
    TooFewQuestions {
        /// What needs them.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A signal of this name does not exist, or has no value in this run.
    #[error("{problem}")]
    Signal {
        /// What is wrong, with the names that exist.
        problem: String,
    },
    /// A condition cannot be read.
    #[error(
        "{text:?} is no condition: {problem}; expected a signal, < or >, a number, and on request `for N` steps and `after N` tokens, as in \
         \"answer_entropy < 0.1 for 2\""
    )]
    Condition {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of a rule cannot be used.
    #[error("{} is not a rule of entrace: {problem}", path.display())]
    RuleFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file could not be read.
    #[error("could not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something that needs true answers was asked of a run without them.
    #[error("{what} needs true answers, and no trace of {task} has one; {instead}")]
    NoTargets {
        /// What needs them.
        what: &'static str,
        /// The task.
        task: String,
        /// What can be done without them.
        instead: &'static str,
    },
    /// A number is outside its range.
    #[error("{name} is {value}; expected a number above 0 and below 1")]
    NotAShare {
        /// What it is.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A statistic has no value.
    #[error(transparent)]
    Undefined(#[from] entrace_stats::Undefined),
    /// Something could not be written as JSON.
    #[error("could not write JSON: {0}")]
    Json(#[from] serde_json::Error),
}
