//! What can go wrong between a run and its page.

use std::io;

/// Failures to open, serve or export runs. Each message fits after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A run folder cannot be read.
    #[error(transparent)]
    Record(#[from] entrace_record::Error),
    /// The server could not begin.
    #[error("cannot listen on port {port} of this machine: {source}")]
    Listen {
        /// The port that was asked for; 0 for any.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no random numbers for the link.
    #[error("no random numbers for a link that nobody can guess: {0}")]
    Random(getrandom::Error),
    /// More traces than one file can hold.
    #[error(
        "one file holds at most {most} traces, and there are {found}; serve the run as a page, or record fewer questions to export"
    )]
    TooManyTraces {
        /// Traces of all runs.
        found: usize,
        /// Most traces of an export.
        most: usize,
    },
    /// More text than one file can hold.
    #[error(
        "one file holds at most {} MiB, and these traces take more; serve the run as a page, or record fewer questions to export",
        most >> 20
    )]
    TooLarge {
        /// Most bytes of an export.
        most: usize,
    },
    /// A request that makes no sense.
    #[error("{0}")]
    BadQuery(String),
}
