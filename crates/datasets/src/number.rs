//! Numbers: canonical form, grammar, extraction.
//!
//! The canonical form is an exact decimal string without currency, thousands separators, leading or trailing zeros: `$1,250.50`
//! is `1250.5`, `18.` and `18.00` are `18`, `-0` is `0`. A fraction whose decimals end is that decimal (`1/2` is `0.5`); any
//! other is reduced (`2/6` is `1/3`) and is not equal to a rounded decimal. Nothing passes through floating point, so numbers
//! of any size are exact. A percent sign is a unit (`50%` is `50`), as in GSM8K's own targets.
//!
//! One automaton (`grammar`) decides what a number is. `canonical` reads the number at the start of a string, after a lead-in;
//! what follows it, such as a unit, does not matter. `extract` finds the stated answer of a completion.
//!
//! Not read: words (`eighteen`), arithmetic that is not carried out (`5 + 3`), thousands set off by spaces, decimal commas
//! (`1,5` is no number: it may be a list), powers of ten after a multiplication sign, times (`12:30`), dates, version numbers.
//! In the forced reading after a cue a number ends at a space, so ` 5 + 3 = 8` answers 5 there, and ` 5 1/2` as well; `extract`,
//! which sees the whole sentence, reads 8 and 5.5.

mod extract;
mod grammar;
mod value;

use entrace_measure::{Answer, AnswerFormat, AnswerGrammar, Choices};

use self::grammar::{NumberGrammar, read};

/// The format of numeric answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberFormat;

impl AnswerFormat for NumberFormat {
    fn name(&self) -> &'static str {
        "number"
    }

    fn extract(&self, completion: &str, _: Option<&Choices>) -> Answer {
        extract::extract(completion).map_or(Answer::Invalid, Answer::Value)
    }

    fn extract_cut(&self, text: &str, _: Option<&Choices>) -> Answer {
        extract::extract_cut(text).map_or(Answer::Invalid, Answer::Value)
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        read(surface).map_or(Answer::Invalid, |reading| Answer::Value(reading.value))
    }

    fn surface_forms(&self, answer: &Answer, _: Option<&Choices>) -> Vec<String> {
        answer.value().map(surface_forms).unwrap_or_default()
    }

    fn grammar(&self, _: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(NumberGrammar)
    }
}

/// Whether the text is one number and nothing else: no word or second number follows it.
pub(crate) fn is_number(text: &str) -> bool {
    read(text).is_some_and(|reading| !text[reading.end..].contains(char::is_alphanumeric))
}

/// Ways to write a canonical number after a cue. None of them is the beginning of another, so their probabilities may be added.
fn surface_forms(value: &str) -> Vec<String> {
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
    let grouped = value::with_thousands(size);
    let mut sizes = vec![size];
    if grouped != size {
        sizes.push(&grouped);
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
