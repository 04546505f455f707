//! What went wrong with one request, by what can be done about it.

use std::time::Duration;

/// Why a request has no answer that can be used. Every text says what happened and holds no key.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The server asks for patience (429, 503): nothing was begun.
    Busy {
        /// What it said.
        problem: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// Nobody can be reached there, or the connection broke.
    Down {
        /// What happened.
        problem: String,
        /// Whether the request had been sent, so that it may be what broke the server.
        reached: bool,
    },
    /// Nothing came for as long as we wait.
    Slow {
        /// What happened.
        problem: String,
    },
    /// An answer that is none: an internal error, a cut body, a text that is no JSON.
    Broken {
        /// What happened.
        problem: String,
    },
    /// An answer with numbers that cannot be right.
    Wrong {
        /// What is wrong with them.
        problem: String,
    },
    /// The server refuses the request.
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        problem: String,
        /// Whether any request would be refused so, as for the lack of a key.
        always: bool,
    },
}

impl Fault {
    /// An answer that cannot be right.
    pub(crate) fn wrong(problem: impl Into<String>) -> Self {
        Self::Wrong { problem: problem.into() }
    }

    /// An answer that is none.
    pub(crate) fn broken(problem: impl Into<String>) -> Self {
        Self::Broken { problem: problem.into() }
    }

    /// What happened.
    pub fn problem(&self) -> &str {
        match self {
            Self::Busy { problem, .. }
            | Self::Down { problem, .. }
            | Self::Slow { problem }
            | Self::Broken { problem }
            | Self::Wrong { problem }
            | Self::Refused { problem, .. } => problem,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status, problem, .. } => {
                write!(f, "the server refused the request ({status}): {problem}")
            }
            _ => f.write_str(self.problem()),
        }
    }
}

impl std::error::Error for Fault {}

/// Why no request can be answered any more, so that the run stops where it can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Stopped {
    /// What happened.
    pub problem: String,
}
