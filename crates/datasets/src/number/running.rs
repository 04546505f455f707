//! Numbers in running text.
//!
//! Passed over are digits inside a word (`H2O`), exponents and indices, ordinals, times, dates, versions, and the numbers of list items.
//! Of numbers with nothing but commas between them (`1,2,3`) the last one counts.

use std::sync::LazyLock;

use regex::Regex;

use super::numeral::{self, Found};
use super::style::DecimalMark;
use crate::lead::is_currency;

/// A number in running text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quantity {
    /// Its canonical form.
    pub(super) value: String,
    /// Where it begins, without its sign and currency, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether it is an amount of money.
    has_currency: bool,
    /// Whether a root or another command takes it as its argument.
    pub(super) in_expression: bool,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static ORDINAL: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:st|nd|rd|th)\b"));
static LIST_ITEM: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^[ \t]*(\d{1,3})[.)][ \t]+\S"));
static MINUS_WORD: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)(?:\bnegative|(?:^|\b(?:is|of|to|at|be|was|or|than)\s+|[=:(]\s*)minus)\s+[$€£]?$|[负負]$")
});

/// All numbers of a plain text, in order.
pub(super) fn quantities(text: &str, mark: DecimalMark) -> Vec<Quantity> {
    let items = list_items(text);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) =
        text[at..].find(|c: char| c.is_ascii_digit() || matches!(c, '.' | '(')).map(|next| at + next)
    {
        let (before, rest) = text.split_at(start);
        let has_currency = before.trim_end().ends_with(is_currency);
        let negative = is_negative(before);
        let (value, end) = match numeral::unsigned(rest, negative, has_currency, mark) {
            Found::Nothing => {
                at = start + 1;
                continue;
            }
            Found::Other(end) => (last_of_list(&rest[..end], mark), start + end),
            Found::Number(numeral) => (Some(numeral.value), start + numeral.end),
        };
        let passed = is_inside(before) || items.contains(&start) || ORDINAL.is_match(&text[end..]);
        if let Some(value) = value.filter(|_| !passed) {
            let in_expression = before.trim_end_matches(['(', ' ']).ends_with('√')
                || before.ends_with(")/(")
                || in_command(before);
            found.push(Quantity { value, start, end, has_currency, in_expression });
        }
        at = end.max(start + 1);
    }
    found
}

/// Whether what follows is a part of a word, an exponent or an index.
fn is_inside(before: &str) -> bool {
    let index = |before: &str| {
        before.strip_suffix('_').is_some_and(|word| word.ends_with(|c: char| c.is_alphanumeric()))
    };
    before.ends_with(|c: char| c.is_ascii_alphabetic() || c.is_ascii_digit() || c == '^')
        || index(before)
        || before.ends_with("^(")
        || before.ends_with("^-")
}

/// Whether a LaTeX command that is not known stands right before.
fn in_command(before: &str) -> bool {
    let word = before.trim_end_matches([' ', '(']).trim_end_matches(|c: char| c.is_ascii_alphabetic());
    word.ends_with('\\')
}

fn last_of_list(text: &str, mark: DecimalMark) -> Option<String> {
    let (_, last) = text.rsplit_once(',')?;
    let numeral = numeral::unsigned(last, false, false, mark).number()?;
    (numeral.end == last.len()).then_some(numeral.value)
}

/// Where the numbers of list items stand. A list begins with 1; without it, `18. Done` is a number and a word.
fn list_items(text: &str) -> Vec<usize> {
    let numbers: Vec<_> = LIST_ITEM.captures_iter(text).filter_map(|item| item.get(1)).collect();
    if numbers.iter().any(|number| number.as_str() == "1") {
        numbers.iter().map(regex::Match::start).collect()
    } else {
        Vec::new()
    }
}

/// Whether a minus touches the number and is no operator, since what stands before it is no operand; or a word says so.
fn is_negative(before: &str) -> bool {
    let unpriced = before.trim_end_matches(is_currency);
    let by_sign = unpriced
        .strip_suffix(['-', '–'])
        .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == ')'));
    by_sign || MINUS_WORD.is_match(end_of(before))
}

/// The last few characters: enough for what `MINUS_WORD` looks for.
fn end_of(text: &str) -> &str {
    text.char_indices().rev().nth(30).map_or(text, |(at, _)| &text[at..])
}

/// What an amount of money is for.
static FOR: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\b(?:for|per|each|every)\s+(?:(?:the|all|his|her|their|its|these|those)\s+)?$")
});

/// The canonical form of the last number of a plain text. In `$18 for the 3 shirts` the amount of money counts.
pub(super) fn last_number(text: &str, mark: DecimalMark) -> Option<String> {
    let mut found = quantities(text, mark);
    let last = found.pop()?;
    if let Some(money) = found.last()
        && money.has_currency
        && !last.has_currency
        && FOR.is_match(&text[money.end..last.start])
        && !text[money.end..last.start].contains(['.', '=', '\n', '+', '*', '×'])
    {
        return Some(money.value.clone());
    }
    Some(last.value)
}
