//! The number that a completion states as its answer.
//!
//! 1. The last marker (`markers`) from which a number can be read. After it stands a number, or an equation, whose last evaluated side
//!    counts (`5 + 3 = 8` is 8, `20 dollars/hour * 8 hours = 160` is 160), or a sentence, whose last number counts. An expression that the
//!    text does not evaluate (`5 + 3`, `5 - 10`) states no number, and then the completion has none: guessing an operand would be wrong
//!    with confidence. A remark on the answer (`the answer is correct`) states none either, and the marker before it counts. Words after
//!    `Answer:` that are followed by more numbers are the beginning of the reasoning, and pass for no statement.
//! 2. Otherwise the last number of the completion, as lm-eval's `flexible-extract` takes it for GSM8K; unlike there, digits
//!    inside a word (`H2O`), exponents, ordinals, times, dates and the numbers of list items are passed over.
//!
//! A mixed number (`5 1/2`, `5\frac{1}{2}`) is one number here, unlike in the grammar, which ends at the space.
//!
//! Of a completion that the limit on tokens cut, only closed statements are read, and no last number. After `Answer:` only a
//! number by itself is one then: an equation there may be the first of several.

use std::sync::LazyLock;

use regex::Regex;

use super::grammar::{Reading, is_minus, read, vulgar};
use super::value;
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
    for marker in markers::last_first(completion).iter().filter(|marker| !marker.is_remark()) {
        match stated(marker) {
            Stated::Number(value) => return Some(value),
            Stated::Unevaluated => return None,
            Stated::Nothing => {}
        }
    }
    last_number(&plain_latex(completion))
}

/// The canonical form of the number that a closed statement of a cut completion gives.
pub(super) fn extract_cut(completion: &str) -> Option<String> {
    let markers = markers::last_first(completion);
    let closed = markers.iter().filter(|marker| marker.is_closed() && !marker.is_remark());
    let mut stated = closed.filter(|marker| !may_begin_reasoning(marker)).map(stated);
    match stated.find(|stated| *stated != Stated::Nothing)? {
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
/// An operator and a second operand, perhaps after the unit of the first: a few words such as `dollars/hour` or `per day`. A dash
/// may follow one word only, since after several it rather sets off an aside (`18 dollars a day - 9 eggs at $2 each`).
static CONTINUES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) ^\s* (?:
            (?:\p{L}+(?:/\p{L}+)*\s+){0,5}
            (?: [+*×x÷/^=≈] | \\times | \\cdot | \\div | (?:times|plus|minus)\s | %\s+of\s )
            | (?:\p{L}+(?:/\p{L}+)*\s+)? [-−–]
        ) \s* [(\\]? [$€£]? \d",
    )
});
/// A dash and a second operand after any unit; within an equation that is a minus.
static SUBTRACTS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*(?:\p{L}+(?:/\p{L}+)*\s+){2,5}[-−–]\s*[(\\]?[$€£]?\d"));
/// A fraction after a whole number.
static MIXED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:\s+(\d{1,4})[/⁄](\d{1,4})|\s*\\[dt]?frac\{(\d{1,4})\}\{(\d{1,4})\}|\s+([½⅓⅔¼¾⅕⅖⅗⅘⅛⅜⅝⅞]))")
});
/// What shows that the fraction before it is none of a mixed number: a date, a measure such as `3/4-inch`.
static NO_FRACTION: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:[.,:/]?\d|-\p{L})"));

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
    for (i, side) in sides.iter().enumerate() {
        let Some(reading) = read_mixed(side) else { continue };
        let rest = &side[reading.end..];
        let is_last = i + 1 == sides.len();
        if CONTINUES.is_match(rest) || (!is_last && SUBTRACTS.is_match(rest)) {
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

/// The number at the start of `text`, with the fraction that belongs to it.
fn read_mixed(text: &str) -> Option<Reading> {
    let whole = read(text)?;
    Some(with_fraction(&whole, &text[whole.end..]).unwrap_or(whole))
}

fn with_fraction(whole: &Reading, rest: &str) -> Option<Reading> {
    let (negative, digits) =
        whole.value.strip_prefix('-').map_or((false, &*whole.value), |size| (true, size));
    if digits.len() > 18 || digits.contains(|c: char| !c.is_ascii_digit()) {
        return None;
    }
    let found = MIXED.captures(rest)?;
    let end = found.get(0)?.end();
    let part = |a: usize, b: usize| found.get(a).or(found.get(b)).and_then(|part| part.as_str().parse().ok());
    let fraction = match found.get(5) {
        Some(character) => vulgar(character.as_str().chars().next()?)?,
        None => (part(1, 3)?, part(2, 4)?),
    };
    let proper = 0 < fraction.0 && fraction.0 < fraction.1;
    (proper && !NO_FRACTION.is_match(&rest[end..]))
        .then(|| Reading { value: value::mixed(negative, digits, fraction), end: whole.end + end })
}

/// An expression written without spaces, such as `5+3`; the grammar reads no number in it.
static UNSPACED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[\s$(*]*\d[\d.,]*[-−–+*×÷^/]\d[\d.,]*[\s$)*]*$"));

/// What may be a number in running text: digits with points, commas, colons and slashes between them, an exponent; a fraction;
/// a mixed number.
static NUMERAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\d+(?:[ ]+\d+[/⁄]\d(?:[\d.,:/]*\d)?|[ ]*\\[dt]?frac\{\d+\}\{\d+\}|[ ]+[½⅓⅔¼¾⅕⅖⅗⅘⅛⅜⅝⅞])|\\[dt]?frac\{\d+\}\{\d+\}|\.?\d(?:[\d.,:/]*\d)?(?:[eE][-+]?\d{1,2}\b)?[½⅓⅔¼¾⅛]?|[½⅓⅔¼¾⅛]",
    )
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
        let signed = format!("{sign}{}", hit.as_str());
        let whole = read_mixed(&signed);
        let is_mixed = whole.as_ref().is_some_and(|w| w.end == signed.len()) && !NO_FRACTION.is_match(after);
        let reading = match hit.as_str().find([' ', '\\']).filter(|&at| at > 0) {
            Some(fraction) if !is_mixed => read(hit.as_str()[fraction..].trim_start()),
            _ => whole,
        };
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
