//! What stops a run. What goes wrong with one question does not: it is recorded with the question.

/// Failures that end a run; what was measured before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] entrace_backend::Error),
    /// The run folder could not be written or read.
    #[error(transparent)]
    Record(#[from] entrace_record::error::Error),
    /// The settings contradict one another, or the questions.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// The engine lacks what a measurement needs.
    #[error("the engine {0}")]
    Lacks(Capability),
    /// The observer asked to stop.
    #[error("interrupted; run the same command again to resume")]
    Interrupted,
}

/// Settings with which nothing could be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// Batches of no questions.
    #[error("the batch size must be at least 1")]
    EmptyBatch,
    /// Options are to be scored, and no question lists any.
    #[error("no question of {task} has options to choose from")]
    NoOptions {
        /// The task.
        task: String,
    },
    /// Draws are to be taken, and none are asked for.
    #[error("the sampling estimators need at least one draw")]
    NoDraws,
    /// Rollouts of no draws.
    #[error("rollouts need at least one draw")]
    NoRolloutDraws,
    /// Rollouts beside an estimator that is nothing else.
    #[error("the estimator rollout measures every prefix by rollouts, so there are none beside it")]
    RolloutsTwice,
    /// Traces are stopped where their steps end, and where that is can be known only once a trace has ended.
    #[error(
        "where steps end is known only once a trace has ended if they are cut by {segment}; a rule that stops traces needs blank-line, line, sentence or tokens:N"
    )]
    StepsNotKnown {
        /// The segmentation.
        segment: String,
    },
    /// Something that is measured on whole traces, and traces that are stopped.
    #[error("a rule stops traces, and {what}")]
    StoppedAndWhole {
        /// What is asked for besides.
        what: &'static str,
    },
    /// Something that measures, and an estimator by which nothing is measured.
    #[error("the estimator none measures nothing, and {what}")]
    NothingAndMore {
        /// What is asked for besides.
        what: &'static str,
    },
    /// Greedy rollouts, which are all alike.
    #[error("rollout needs a temperature above 0: greedy continuations are all alike")]
    GreedyRollouts,
}

/// What an engine may be unable to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Sampling of completions.
    Generate,
    /// Scoring of continuations.
    ScoreTree,
    /// Reading of layers.
    ReadLayers,
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generate => "cannot write text, which traces to be written, the sampling estimators and rollouts need",
            Self::ScoreTree => {
                "cannot score continuations, which the estimators choices and enumerate and the signal p_true need; \
                 the estimator rollout does without"
            }
            Self::ReadLayers => "cannot read layers, hidden states and attention",
        })
    }
}

impl Error {
    /// Whether the fault lies in one item, so that others can be measured.
    fn is_about_one_item(&self) -> bool {
        matches!(self, Self::Engine(error) if error.is_about_the_item())
    }
}

/// A result that is only its item's own failure becomes a reason.
pub(crate) fn own_failure<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.is_about_one_item() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
