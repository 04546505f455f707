//! What ends a measurement of interventions. What goes wrong with one change is a reason in its row.

use std::path::PathBuf;

/// Failures of a whole measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine failed, or the observer asked to stop.
    #[error(transparent)]
    Run(#[from] entrace_run::Error),
    /// The run folder could not be read or written.
    #[error(transparent)]
    Record(#[from] entrace_record::Error),
    /// The settings contradict one another or the run.
    #[error("{0}")]
    Settings(String),
    /// A folder of rollouts is not as expected.
    #[error("{}: {problem}", path.display())]
    Import {
        /// The file or folder.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
}

impl From<entrace_backend::Error> for Error {
    fn from(error: entrace_backend::Error) -> Self {
        Self::Run(error.into())
    }
}
