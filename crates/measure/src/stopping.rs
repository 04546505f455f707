//! What to do with a trace at one of its prefixes.

/// What to do at a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Let the trace go on.
    Continue,
    /// Stop and take the leading answer.
    Stop,
    /// Stop without an answer.
    GiveUp,
}

impl Act {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Stop => "stop",
            Self::GiveUp => "give-up",
        }
    }
}
