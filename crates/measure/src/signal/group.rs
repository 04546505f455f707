//! Groups of signals that cost passes of their own, and are measured only where a run is asked for them (`--signals`).
//!
//! The run measures one value for each signal of a group; [`Measured`] carries it to the registry. Values are quantities as their
//! definition gives them: which way they point is the registry's business.

/// A group of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// What the logit lens reads off every layer.
    Layers,
    /// Hidden states between the layers.
    Hidden,
    /// Attention weights.
    Attention,
    /// A confidence that the model puts into words.
    Verbalised,
    /// The probability of "true" when the model is asked about its answer.
    PTrue,
    /// Classes of answers that mean the same.
    Semantic,
}

impl Group {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Self; 6] =
        [Self::Layers, Self::Hidden, Self::Attention, Self::Verbalised, Self::PTrue, Self::Semantic];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Hidden => "hidden",
            Self::Attention => "attention",
            Self::Verbalised => "verbalised",
            Self::PTrue => "p_true",
            Self::Semantic => "semantic",
        }
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// What it measures, for people.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Layers => "readings of layers (signals layers)",
            Self::Hidden => "readings of hidden states (signals hidden)",
            Self::Attention => "readings of the attention (signals attention)",
            Self::Verbalised => "a verbalised confidence (signals verbalised)",
            Self::PTrue => "the probability of \"true\" (signals p_true)",
            Self::Semantic => "classes of answers that mean the same (signals semantic)",
        }
    }
}

/// What a run measured for one signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured<'a> {
    /// Name of the signal.
    pub signal: &'a str,
    /// The quantity; `None` where the run found none.
    pub value: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for group in Group::ALL {
            assert_eq!(Group::from_name(group.name()), Some(group));
            assert!(group.describe().contains(group.name()));
        }
        assert_eq!(Group::from_name("layer"), None);
    }
}
