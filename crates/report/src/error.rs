//! What can go wrong between a record and its report.

use std::path::PathBuf;

/// Failures to make or write a report. Each message fits "failed to ...: <message>".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record could not be read.
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
    /// The metrics could not be written as JSON.
    #[error("could not write metrics as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file could not be written.
    #[error("could not write {}: {source}; choose a folder that can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
