//! The kinds of answers and their formats by name.

use std::sync::Arc;

use entrace_measure::{AnswerFormat, Choices};

use crate::choice::ChoiceFormat;
use crate::error::Error;
use crate::number::{DecimalMark, NumberFormat};
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

    /// The format itself, with numbers as the benchmarks write them.
    pub fn format(self) -> Arc<dyn AnswerFormat> {
        self.format_in(NumberStyle::default())
    }

    /// The format itself, with numbers in the style.
    pub fn format_in(self, style: NumberStyle) -> Arc<dyn AnswerFormat> {
        match self {
            Self::Number => Arc::new(NumberFormat { mark: style.mark }),
            Self::Choice => Arc::new(ChoiceFormat),
            Self::Text => Arc::new(TextFormat { mark: style.mark, grouped: style.grouped }),
        }
    }

    /// The kinds of the questions at hand, each a pair of its choices and its target as written: `Choice` for one that lists choices,
    /// `Number` for a target that is a number and nothing else, otherwise `Text`. A question with neither is taken for what the targets
    /// of the others are: `Number` if all of them are numbers.
    pub fn of_questions<'a>(
        rows: impl Iterator<Item = (Option<&'a Choices>, Option<&'a str>)>,
        style: NumberStyle,
    ) -> Vec<Self> {
        let known: Vec<Option<Self>> = rows
            .map(|(choices, target)| match (choices, target) {
                (Some(_), _) => Some(Self::Choice),
                (None, Some(target)) if crate::number::alone(target, style.mark).is_some() => {
                    Some(Self::Number)
                }
                (None, Some(_)) => Some(Self::Text),
                (None, None) => None,
            })
            .collect();
        let numbers_only = known.contains(&Some(Self::Number)) && !known.contains(&Some(Self::Text));
        let others = if numbers_only { Self::Number } else { Self::Text };
        known.into_iter().map(|kind| kind.unwrap_or(others)).collect()
    }

    /// The names of the kinds that occur, separated by commas.
    pub fn names(kinds: &[Self]) -> String {
        let names: Vec<&str> =
            Self::ALL.into_iter().filter(|kind| kinds.contains(kind)).map(Self::name).collect();
        names.join(", ")
    }
}

/// How a file writes numbers, as its targets show. It decides what an ambiguous number means and how numbers among texts are spelled,
/// never which number of a text is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NumberStyle {
    /// The mark before decimals.
    pub mark: DecimalMark,
    /// Whether thousands are set off by commas.
    pub grouped: bool,
}

impl NumberStyle {
    /// The style that the targets show.
    pub fn of_targets<'a>(targets: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mark = DecimalMark::of_targets(targets.clone());
        let is_grouped = |target: &str| {
            let value = crate::number::alone(target, mark);
            target.contains(',') && value.is_some_and(|value| crate::number::grouped(&value) == target.trim())
        };
        let mut targets = targets;
        Self { mark, grouped: targets.any(is_grouped) }
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
    fn targets_show_the_style_of_numbers() {
        let of = |targets: &[&'static str]| NumberStyle::of_targets(targets.iter().copied());
        assert_eq!(of(&["1,450", "yes"]), NumberStyle { mark: DecimalMark::Point, grouped: true });
        assert_eq!(of(&["1.450", "0,5"]), NumberStyle { mark: DecimalMark::Comma, grouped: false });
        assert_eq!(of(&["1450", "(2,300)"]), NumberStyle::default());
        let text = FormatKind::Text.format_in(of(&["1,450"]));
        assert_eq!(text.canonical("\\boxed{1450}", None).name(), "1,450");
        let number = FormatKind::Number.format_in(of(&["0,5"]));
        assert_eq!(number.canonical("1.450", None).name(), "1450");
        assert_eq!(number.canonical("1.450,5", None).name(), "1450.5");
    }

    #[test]
    fn every_question_has_a_kind() {
        let choices = Choices::new(vec!["A".into(), "B".into()], vec!["x".into(), "y".into()]).unwrap();
        let of = |rows: &[(Option<&Choices>, Option<&'static str>)]| {
            FormatKind::of_questions(rows.iter().copied(), NumberStyle::default())
        };
        use FormatKind::*;
        assert_eq!(of(&[(Some(&choices), Some("1")), (None, None)]), [Choice, Text]);
        assert_eq!(of(&[(None, Some("$1,200")), (None, None), (None, Some("-3.5"))]), [Number; 3]);
        assert_eq!(
            of(&[(None, Some("12")), (None, Some("3 little pigs")), (None, None)]),
            [Number, Text, Text]
        );
        assert_eq!(of(&[(None, Some("\\frac{3}{4}")), (None, Some("[2, 5)"))]), [Number, Text]);
        assert_eq!(FormatKind::names(&[Text, Number, Text]), "number, text");
    }
}
