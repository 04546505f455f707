//! The number that a completion states as its answer.
//!
//! 1. The last marker (`markers`) from which a number can be read. After it stands a number, or an equation, whose last
//!    evaluated side counts (`5 + 3 = 8` is 8), or a sentence, whose last number counts. An expression that the text does not
//!    evaluate (`5 + 3`, `5 - 10`) states no number, and then the completion has none: guessing an operand would be wrong with
//!    confidence. Words after `Answer:` that are followed by more numbers are the beginning of the reasoning, and pass for no
//!    statement.
//! 2. Otherwise the last number of the completion, as lm-eval's `flexible-extract` takes it for GSM8K; unlike there, digits
//!    inside a word (`H2O`), exponents, ordinals, times, dates and the numbers of list items are passed over.
//!
//! Of a completion that the limit on tokens cut, only closed statements are read, and no last number. After `Answer:` only a
//! number by itself is one then: an equation there may be the first of several.

use std::sync::LazyLock;

use regex::Regex;

use super::grammar::{is_minus, read};
use crate::lead::is_currency;
use crate::markers::{self, Marker, MarkerKind};

/// What a marker states.
#[derive(Debug, PartialEq, Eq)]
enum Stated {
    Number(String),
    /// An expression without its value.
    Unevaluated,
    /// No number at all.
    Nothing,
}

/// The canonical form of the stated number; `None` if there is none.
pub(super) fn extract(completion: &str) -> Option<String> {
    for marker in markers::last_first(completion) {
        match stated(&marker) {
            Stated::Number(value) => return Some(value),
            Stated::Unevaluated => return None,
            Stated::Nothing => {}
        }
    }
    last_number(&plain_latex(completion))
}

/// The canonical form of the number that a closed statement of a cut completion gives.
pub(super) fn extract_cut(completion: &str) -> Option<String> {
    let closed = markers::last_first(completion).into_iter().filter(Marker::is_closed);
    let stated = closed.filter(|marker| !may_begin_reasoning(marker)).map(|marker| stated(&marker));
    match stated.into_iter().find(|stated| *stated != Stated::Nothing)? {
        Stated::Number(value) => Some(value),
        Stated::Unevaluated | Stated::Nothing => None,
    }
}

/// Whether more than a number follows `Answer:`.
fn may_begin_reasoning(marker: &Marker<'_>) -> bool {
    let sentence = markers::sentence(markers::line(marker.text));
    marker.kind == MarkerKind::Heading && (read(sentence).is_none() || sentence.contains(['=', '≈']))
}

fn stated(marker: &Marker<'_>) -> Stated {
    match marker.kind {
        MarkerKind::Hashes => {
            let line = plain_latex(marker.text.lines().next().unwrap_or(""));
            if HEADING.is_match(&line) {
                Stated::Nothing
            } else {
                in_equation(&line).unwrap_or(Stated::Nothing)
            }
        }
        MarkerKind::Boxed => in_sentence(&plain_latex(marker.text)),
        MarkerKind::Cue | MarkerKind::Heading => {
            let sentence = markers::sentence(markers::line(marker.text));
            let words_first = marker.kind == MarkerKind::Heading && read(sentence).is_none();
            if words_first && marker.goes_on_with(sentence, |later| later.contains(char::is_numeric)) {
                return Stated::Nothing;
            }
            in_sentence(&plain_latex(sentence))
        }
    }
}

/// A numbered heading, such as `#### 2. Multiply`.
static HEADING: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*\d+\s*[.):]\s+\p{L}"));
/// An operator and a second operand, perhaps after the unit of the first.
static CONTINUES: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*(?:\p{L}+\s+)?(?:[-−–+*×x÷/^=≈]|\\times|\\cdot|\\div)\s*[(\\]?[$€£]?\d"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

fn in_sentence(text: &str) -> Stated {
    in_equation(text).unwrap_or_else(|| last_number(text).map_or(Stated::Nothing, Stated::Number))
}

/// Reads a number or an equation at the start of the text. `None` if neither is there.
fn in_equation(text: &str) -> Option<Stated> {
    let sides: Vec<&str> = text.split(['=', '≈']).collect();
    let mut stated = UNSPACED.is_match(text).then_some(Stated::Unevaluated);
    for side in sides {
        let Some(reading) = read(side) else { continue };
        let rest = &side[reading.end..];
        if CONTINUES.is_match(rest) {
            stated.get_or_insert(Stated::Unevaluated);
            continue;
        }
        stated = Some(Stated::Number(reading.value));
        let only_a_unit_follows = rest.split_whitespace().count() <= 1;
        if !only_a_unit_follows {
            break;
        }
    }
    stated
}

/// An expression written without spaces, such as `5+3`; the grammar reads no number in it.
static UNSPACED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[\s$(*]*\d[\d.,]*[-−–+*×÷^/]\d[\d.,]*[\s$)*]*$"));

/// What may be a number in running text: digits with points, commas, colons and slashes between them, an exponent; a fraction.
static NUMERAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"\\[dt]?frac\{\d+\}\{\d+\}|\.?\d(?:[\d.,:/]*\d)?(?:[eE][-+]?\d{1,2}\b)?[½⅓⅔¼¾⅛]?|[½⅓⅔¼¾⅛]")
});
static ORDINAL: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:st|nd|rd|th)\b"));
static LIST_ITEM: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^[ \t]*(\d{1,3})[.)][ \t]+\S"));

/// The canonical form of the last number in running text.
fn last_number(text: &str) -> Option<String> {
    let items = list_items(text);
    let hits: Vec<_> = NUMERAL.find_iter(text).collect();
    hits.into_iter().rev().find_map(|hit| {
        let (before, after) = (&text[..hit.start()], &text[hit.end()..]);
        let in_word = before.ends_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '^'))
            || before.ends_with("^{");
        if in_word || items.contains(&hit.start()) || ORDINAL.is_match(after) {
            return None;
        }
        let sign = if is_negative(before) { "-" } else { "" };
        let reading = read(&format!("{sign}{}", hit.as_str()));
        Some(reading.or_else(|| read(hit.as_str().rsplit_once(',')?.1))?.value)
    })
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

/// Whether a minus touches the number and is no operator: what stands before it is no operand.
fn is_negative(before: &str) -> bool {
    let before = before.trim_end_matches(is_currency).trim_end_matches('\\');
    before
        .strip_suffix(is_minus)
        .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == ')'))
}

/// Thousands and thin spaces as LaTeX writes them, in plain characters: `1{,}000`, `1,\!000`.
fn plain_latex(text: &str) -> String {
    text.replace("{,}", ",").replace("\\!", "").replace("\\,", " ").replace("\\%", "%").replace("\\$", "$")
}
