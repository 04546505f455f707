//! Interventions on a trace: what is changed in its text, and what that did to the belief at its end.
//!
//! An intervention takes a recorded trace of K steps and changes one thing in it. [`edit`] says which bytes are replaced by what; [`effect`]
//! compares the beliefs with and without the change. Nothing here runs a model.
//!
//! | kind | what is changed at step k |
//! |---|---|
//! | `delete` | the step is left out, at its place: equal sentences elsewhere stay |
//! | `corrupt` | its last number, or an option it names, becomes another one of the task |
//! | `filler` | neutral words of as many tokens replace it |
//! | `paraphrase` | the step is said in other words, its numbers kept |
//! | `swap` | a step of another question replaces it |
//! | `resample` | the step is drawn anew from what precedes it |
//! | `conflict` | the last statement of the answer says another answer |
//! | `truncate` | the trace ends after the step (early answering) |
//! | `mistake` | the step is made wrong, and the rest is drawn anew |
//!
//! Sources: Lanham et al. 2023 (arXiv:2307.13702) for early answering, mistakes, filler and paraphrase; Bogdan et al. 2025 (arXiv:2506.19143) for
//! resampling; arXiv:2605.10799 for conflicts. A text that the model would not have written is off-policy, and effects of such edits may say
//! more about the edit than about the step (arXiv:2510.27484).

pub mod edit;
pub mod effect;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The step is left out.
    Delete,
    /// A number or option in the step is another one.
    Corrupt,
    /// Neutral words replace it.
    Filler,
    /// The step in other words.
    Paraphrase,
    /// A step of another question replaces it.
    Swap,
    /// The step is drawn anew.
    Resample,
    /// The last statement of the answer says another answer.
    Conflict,
    /// The trace ends after the step.
    Truncate,
    /// The step is wrong, and the rest is drawn anew.
    Mistake,
}

impl Kind {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Self; 9] = [
        Self::Delete,
        Self::Corrupt,
        Self::Filler,
        Self::Paraphrase,
        Self::Swap,
        Self::Resample,
        Self::Conflict,
        Self::Truncate,
        Self::Mistake,
    ];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Corrupt => "corrupt",
            Self::Filler => "filler",
            Self::Paraphrase => "paraphrase",
            Self::Swap => "swap",
            Self::Resample => "resample",
            Self::Conflict => "conflict",
            Self::Truncate => "truncate",
            Self::Mistake => "mistake",
        }
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How the belief after an intervention is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reading {
    /// The rest of the trace is kept, then the answer is asked for.
    Forced,
    /// The rest is drawn anew, and each draw is read for its answer.
    Rollout,
}

impl Reading {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Forced, Self::Rollout];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Rollout => "rollout",
        }
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reading| reading.name() == name)
    }
}
