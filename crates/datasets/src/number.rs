//! Numbers: canonical form, grammar, extraction.
//!
//! The canonical form is an exact decimal string without currency, thousands separators, leading or trailing zeros: `$1,250.50`
//! is `1250.5`, `18.` and `18.00` are `18`, `-0` is `0`. A fraction whose decimals end is that decimal (`1/2` is `0.5`); any
//! other is reduced (`2/6` is `1/3`) and is not equal to a rounded decimal. Nothing passes through floating point, so numbers
//! of any size are exact. A percent sign is a unit (`50%` is `50`), as in GSM8K's own targets.
//!
//! `numeral` reads one number in the styles of many countries, after `plain` has removed LaTeX; `statement` says whether a text states one
//! number, and `extract` where in a completion it stands. `canonical` reads the number at the start of a string, after a lead-in; what
//! follows it, such as a unit, does not matter, unless it makes an expression of the number (`2x + 1`) or is a second one (`10 or 12`).
//!
//! `grammar` is the automaton for the forced reading after a cue. A number ends there at the first character that may end it, a space, a
//! letter, a backslash, whatever comes then: ` 5 + 3 = 8` answers 5 there, and so do ` 5 1/2`, ` 5 million` and ` 5x`; `extract`, which sees
//! the whole sentence, reads 8, 5.5, 5000000 and no number.
//!
//! Not read: words (`eighteen`), arithmetic that is not carried out (`5 + 3`, `2^3`), times (`12:30`), dates, version numbers.

mod extract;
mod grammar;
mod numeral;
mod running;
mod statement;
mod style;
mod value;

use entrace_measure::{Answer, AnswerFormat, AnswerGrammar, Choices};

use self::grammar::NumberGrammar;
pub use self::style::DecimalMark;
use crate::plain::plain;

/// The format of numeric answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberFormat {
    /// The mark before decimals where a number does not show it.
    pub mark: DecimalMark,
}

impl AnswerFormat for NumberFormat {
    fn name(&self) -> &'static str {
        "number"
    }

    fn extract(&self, completion: &str, _: Option<&Choices>) -> Answer {
        extract::extract(completion, self.mark).map_or(Answer::Invalid, Answer::Value)
    }

    fn extract_cut(&self, text: &str, _: Option<&Choices>) -> Answer {
        extract::extract_cut(text, self.mark).map_or(Answer::Invalid, Answer::Value)
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        let number = statement::opening(&plain(surface), self.mark).whole();
        number.map_or(Answer::Invalid, |numeral| Answer::Value(numeral.value))
    }

    fn surface_forms(&self, answer: &Answer, _: Option<&Choices>) -> Vec<String> {
        answer.value().map(|value| surface_forms(value, self.mark)).unwrap_or_default()
    }

    fn grammar(&self, _: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(NumberGrammar { mark: self.mark })
    }
}

/// Whether the text is one number and nothing else: no word or second number follows it.
pub(crate) fn is_number(text: &str) -> bool {
    alone(text, DecimalMark::Point).is_some()
}

/// The canonical form of a text that is one number and nothing else.
pub(crate) fn alone(text: &str, mark: DecimalMark) -> Option<String> {
    let plain = plain(text);
    let opening = statement::opening(&plain, mark);
    let ends = !opening
        .rest
        .contains(|c: char| c.is_alphanumeric() || matches!(c, '\\' | '+' | '!' | '=' | '<' | '>' | '|'));
    opening.whole().filter(|_| ends).map(|numeral| numeral.value)
}

/// The number with thousands set off by commas.
pub(crate) fn grouped(value: &str) -> String {
    if value.contains('/') { value.to_string() } else { value::with_thousands(value) }
}

/// Ways to write a canonical number after a cue. None of them is the beginning of another, so their probabilities may be added.
fn surface_forms(value: &str, mark: DecimalMark) -> Vec<String> {
    let (sign, size) = value.strip_prefix('-').map_or(("", value), |size| ("-", size));
    if let Some((numerator, denominator)) = size.split_once('/') {
        let stacked = format!("{sign}\\frac{{{numerator}}}{{{denominator}}}");
        return vec![
            format!(" {value}"),
            format!(" **{value}"),
            format!(" {stacked}"),
            format!(" ${stacked}"),
            format!(" \\boxed{{{value}"),
        ];
    }
    let mut sizes = vec![size.to_string()];
    let grouped = value::with_thousands(size);
    if grouped != size {
        sizes.push(grouped);
    }
    if mark == DecimalMark::Comma {
        let swapped = |c| {
            if c == '.' {
                ','
            } else if c == ',' {
                '.'
            } else {
                c
            }
        };
        sizes.iter_mut().for_each(|size| *size = size.chars().map(swapped).collect());
    }
    let mut forms = Vec::new();
    for lead in ["", "$", "**", "**$", "\\boxed{", "$\\boxed{"] {
        forms.extend(sizes.iter().map(|size| match lead.strip_suffix('$') {
            Some(before) => format!(" {before}{sign}${size}"),
            None => format!(" {lead}{sign}{size}"),
        }));
    }
    forms
}

#[cfg(test)]
mod tests;
