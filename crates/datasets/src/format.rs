//! The kinds of answers and their formats by name.

use std::sync::Arc;

use entrace_measure::{AnswerFormat, Choices};

use crate::choice::ChoiceFormat;
use crate::error::Error;
use crate::number::NumberFormat;
use crate::text::TextFormat;

/// What the answers of a task look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FormatKind {
    /// An exact number.
    Number,
    /// The label of one of the question's options.
    Choice,
    /// A short free text.
    Text,
}

impl FormatKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Number, Self::Choice, Self::Text];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Choice => "choice",
            Self::Text => "text",
        }
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::UnknownFormat(name.to_string()))
    }

    /// The format itself.
    pub fn format(self) -> Arc<dyn AnswerFormat> {
        match self {
            Self::Number => Arc::new(NumberFormat),
            Self::Choice => Arc::new(ChoiceFormat),
            Self::Text => Arc::new(TextFormat),
        }
    }

    /// The kind that fits all of the questions at hand, each a pair of its choices and its target as written: `Choice` if every
    /// one lists choices, `Number` if at least one has a target and every target is a number and nothing else, otherwise
    /// `Text`.
    pub fn infer<'a>(rows: impl Iterator<Item = (Option<&'a Choices>, Option<&'a str>)>) -> Self {
        let (mut any, mut all_choices, mut targets, mut all_numbers) = (false, true, 0_usize, true);
        for (choices, target) in rows {
            any = true;
            all_choices &= choices.is_some();
            if let Some(target) = target {
                targets += 1;
                all_numbers &= crate::number::is_number(target);
            }
        }
        match () {
            () if any && all_choices => Self::Choice,
            () if targets > 0 && all_numbers => Self::Number,
            () => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_formats_of_the_same_name() {
        for kind in FormatKind::ALL {
            assert_eq!(FormatKind::from_name(kind.name()).unwrap(), kind);
            assert_eq!(kind.format().name(), kind.name());
        }
        assert!(FormatKind::from_name("essay").is_err());
    }

    #[test]
    fn the_kind_is_inferred_from_choices_and_targets() {
        let choices = Choices::new(vec!["A".into(), "B".into()], vec!["x".into(), "y".into()]).unwrap();
        let infer =
            |rows: &[(Option<&Choices>, Option<&'static str>)]| FormatKind::infer(rows.iter().copied());
        assert_eq!(infer(&[(Some(&choices), Some("1"))]), FormatKind::Choice);
        assert_eq!(infer(&[(None, Some("$1,200")), (None, None), (None, Some("-3.5"))]), FormatKind::Number);
        assert_eq!(infer(&[(None, Some("12")), (None, Some("3 little pigs"))]), FormatKind::Text);
        assert_eq!(infer(&[(None, None)]), FormatKind::Text);
        assert_eq!(infer(&[]), FormatKind::Text);
    }
}
