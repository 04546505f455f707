//! Controls: traces that replace a question's own, to show the effect of similar text that is not about the question.

/// What replaces a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// The trace of another question of the task.
    Swapped,
    /// The trace's own steps in random order.
    Shuffled,
    /// The trace without the sentences and lines that state its answer.
    Unstated,
}

impl Control {
    /// Every control.
    pub const ALL: [Self; 3] = [Self::Swapped, Self::Shuffled, Self::Unstated];

    /// The name used in flags and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Shuffled => "shuffled",
            Self::Unstated => "unstated",
        }
    }

    /// The control of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|control| control.name() == name)
    }
}
