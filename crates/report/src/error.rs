//! What can go wrong between a record and its report.

use std::path::PathBuf;

/// Failures to make or write a report. Each message fits after "failed to ...:".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record could not be read, or the report not be written beside it.
    #[error(transparent)]
    Record(#[from] entrace_record::Error),
    /// A figure could not be drawn.
    #[error("could not draw the figure {name}: {problem}")]
    Figure {
        /// Its name.
        name: String,
        /// What the drawing library said.
        problem: String,
    },
    /// Fewer than two runs were given to compare.
    #[error("a comparison needs at least two runs, and {found} was given")]
    TooFewRuns {
        /// How many there were.
        found: usize,
    },
    /// The numbers of the runs do not mean the same.
    #[error("the runs cannot be compared:\n- {}\nonly the model should differ: run them with the same tasks, questions and settings", differences.join("\n- "))]
    NotComparable {
        /// What differs, one sentence each.
        differences: Vec<String>,
    },
    /// The metrics could not be written as JSON.
    #[error("could not write metrics as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A folder could not be created.
    #[error("could not create the folder {}: {source}; choose a folder that can be written", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
