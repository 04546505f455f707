//! What a statement of the answer says: one number, something else, or nothing.
//!
//! A statement is plain text (`plain`). The first answer of a sentence wins over what qualifies it (`18 dollars for 3 shirts`), but a sum
//! over its parts (`5 apples and 3 pears, 8 in total`). Words that only introduce (`about`, `a total of`) are passed over; after other
//! words the last number counts, and in `not 5 but 7` the second.

use std::sync::LazyLock;

use regex::Regex;

use super::numeral::{self, Found, Numeral};
use super::running;
use super::style::DecimalMark;
use crate::lead;

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stated {
    /// One number.
    Number(String),
    /// Something that is not one number: an expression without its value, several numbers.
    Other,
    /// No number at all.
    Nothing,
}

impl Stated {
    pub(super) fn number(self) -> Option<String> {
        match self {
            Self::Number(value) => Some(value),
            Self::Other | Self::Nothing => None,
        }
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// A number at the start of a text and what stands around it.
pub(super) struct Opening<'a> {
    lead: &'a str,
    text: &'a str,
    pub(super) found: Found,
    pub(super) rest: &'a str,
    mark: DecimalMark,
}

impl Opening<'_> {
    /// The number, unless it is a part of something else.
    pub(super) fn whole(self) -> Option<Numeral> {
        let part = self.is_expression() || self.is_one_of_several();
        self.found.number().filter(|_| !part)
    }

    /// Whether the number is only the beginning of an expression.
    fn is_expression(&self) -> bool {
        MATHEMATICS.is_match(self.rest) || CONTINUES.is_match(self.rest)
    }

    fn is_one_of_several(&self) -> bool {
        let bracket = self.lead.trim_end().ends_with(['(', '[']);
        let decimal_comma = || numeral::decimal_mark(self.text) == Some(DecimalMark::Comma);
        let listed =
            LISTED.is_match(self.rest) || (self.rest.trim_start().starts_with([')', ']']) && decimal_comma());
        (bracket && listed) || SEVERAL.find(self.rest).is_some_and(|second| !self.is_said_again(second.end()))
    }

    /// Whether the second number, whose first digit ends there, is the first in another spelling: `0.5 or 1/2`.
    fn is_said_again(&self, end: usize) -> bool {
        let second = self.rest[..end].char_indices().next_back().map_or("", |(at, _)| &self.rest[at..]);
        let value = numeral::read(second, self.mark).number().map(|numeral| numeral.value);
        matches!(&self.found, Found::Number(first) if Some(&first.value) == value.as_ref())
    }
}

static BULLET: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*\n\s*[-–•+]\s+"));

/// Bytes that may stand before a number.
const LONGEST_LEAD: usize = 200;

/// The number after the lead-in of a text.
pub(super) fn opening(text: &str, mark: DecimalMark) -> Opening<'_> {
    let mut at = 0;
    loop {
        at += BULLET.find(&text[at..]).map_or(0, |bullet| bullet.end());
        let rest = &text[at..];
        let (found, end) = match numeral::read(rest, mark) {
            Found::Nothing => match rest.chars().next().filter(|&c| lead::is_lead(c) && at < LONGEST_LEAD) {
                Some(c) => {
                    at += c.len_utf8();
                    continue;
                }
                None => (Found::Nothing, 0),
            },
            Found::Other(end) => (Found::Other(end), end),
            Found::Number(numeral) => {
                let end = numeral.end;
                (Found::Number(numeral), end)
            }
        };
        return Opening { lead: &text[..at], text: &rest[..end], found, rest: &rest[end..], mark };
    }
}

/// Whether a number stands at the start.
pub(super) fn begins_with_number(text: &str, mark: DecimalMark) -> bool {
    matches!(opening(text, mark).found, Found::Number(_))
}

/// An operator and a second operand, perhaps after the unit of the first: a few words such as `dollars/hour` or `per day`. A dash
/// may follow one word only, since after several it rather sets off an aside (`18 dollars a day - 9 eggs at $2 each`).
static CONTINUES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) ^\s*/? (?:
            (?:\p{L}+(?:/\p{L}+)*\s+){0,5}
            (?: [+*×·x÷/^=≈±∓] | (?:times|plus|minus)\s | %\s+of\s )
            | (?:\p{L}+(?:/\p{L}+)*\s+)? [-–]
        ) \s* [(]* [$€£]? (?: \d | [√π] | [xyn]\b )",
    )
});
/// A dash and a second operand after any unit; within an equation that is a minus.
static SUBTRACTS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*/?(?:\p{L}+(?:/\p{L}+)*\s+){2,5}[-–]\s*[(]?[$€£]?\d"));
/// A root, power, constant, function or variable right after a number.
static MATHEMATICS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) ^\s* (?: [√π∞] | \\[a-zA-Z] | \^\s*[\d(a-z\\-] | [×·*]\s*(?:[√π\\]|[a-z]\b) )
        | ^ e \s* \^
        | ^ [abcijknpqrtuvwxyz] (?: \s*$ | \s*[-+*/^=,;:()<>$\]] )",
    )
});
/// A second number beside the first, as another answer or as the other end of a range.
static SEVERAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) ^\s*[$%]?\s* (?: (?:or|oder|ou|или|或者?|to|and|und|et|y|и) \s* | \s*[-–]\s* | ,\s*\d+(?:\.\d+)?\s*(?:,\s*)?(?:or|and)\s ) [$€£]? [-–]? (?: \d | [xyzn]\s*$ ) | ^\s*,\s*\d+(?:\.\d+)?\s*[.$)\]]*\s*$",
    )
});
/// A second element of a tuple or interval.
static LISTED: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*,\s*\S"));
/// The sides of an equation.
const SIDES: [char; 2] = ['=', '≈'];

/// Reads a number or an equation at the start of the text. `None` if neither is there.
pub(super) fn in_equation(text: &str, mark: DecimalMark) -> Option<Stated> {
    let sides: Vec<&str> = text.split(SIDES).collect();
    let mut stated = None;
    for (i, side) in sides.iter().enumerate() {
        let opening = opening(side, mark);
        let is_last = i + 1 == sides.len();
        let value = match &opening.found {
            Found::Nothing => continue,
            Found::Other(_) => {
                stated.get_or_insert(Stated::Other);
                continue;
            }
            Found::Number(numeral) => numeral.value.clone(),
        };
        if let Some(total) = total_of_parts(opening.rest, mark) {
            return Some(Stated::Number(total));
        }
        if opening.is_expression() || (!is_last && SUBTRACTS.is_match(opening.rest)) {
            stated.get_or_insert(Stated::Other);
            continue;
        }
        if opening.is_one_of_several() {
            return Some(Stated::Other);
        }
        stated = Some(Stated::Number(value));
        let only_a_unit_follows = opening.rest.split_whitespace().count() <= 1;
        if !only_a_unit_follows {
            break;
        }
    }
    stated
}

/// A second part of a sum after the unit of the first.
static PARTS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^\s*(?:\p{L}+\s*){1,4}(?:,|\band\b|\bplus\b|\+|&)\s*(?:and\s+)?[$€£]?\d"));
static TOTAL_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^\s*(?:\p{L}+\s+){0,2}(?:in total|in all|altogether|all together|in sum|total)\b")
});
static TOTAL_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\b(?:total|sum|altogether|in all|totall?ing|making)\s*(?:of|is|:|,)?\s*[$€£]?$")
});

/// The total of several quantities, of which the first stands before `rest`.
fn total_of_parts(rest: &str, mark: DecimalMark) -> Option<String> {
    if !PARTS.is_match(rest) {
        return None;
    }
    let quantities = running::quantities(rest, mark);
    let total = quantities.into_iter().find(|q| {
        TOTAL_AFTER.is_match(&rest[q.end..]) || TOTAL_BEFORE.is_match(rest[..q.start].trim_end())
    })?;
    Some(total.value)
}

/// Words that introduce an answer without being a part of it.
static INTRODUCES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?ix) ^ [\s*_:"'~]* (?: (?: about | around | approximately | approx\.? | roughly | circa | ca\.? | nearly | almost | exactly
        | precisely | just | only | simply | merely | therefore | thus | then | hence | so | clearly | actually | indeed | probably | likely
        | still | now | also | equal\s+to | given\s+by | (?:a|the)\s+total\s+of | the | that | at\s+least | at\s+most | no\s+(?:less|more)\s+than
        | up\s+to | donc | entonces | quindi | dunque | portanto | então | somit | daher | ungefähr | etwa | environ | unos | aproximadamente | circa | cerca\s+de | 约 | 大约 | 約 )
        (?: [\s*_:"'~,]+ | $ ) )+"#,
    )
});
/// What is denied, and the words after which the answer follows.
static NOT_BUT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^[\s*_]*not\b.*?(?:\bbut(?:\s+rather)?\b|\brather\b|\binstead\b|\bit(?:['’]s| is)\b|\bsondern\b|\bsino\b)[\s,:]*",
    )
});

/// Reads what follows words such as `the answer is`.
pub(super) fn in_sentence(text: &str, mark: DecimalMark) -> Stated {
    let text = NOT_BUT.find(text).map_or(text, |denied| &text[denied.end()..]);
    if let Some(stated) = in_equation(text, mark) {
        return stated;
    }
    let text = INTRODUCES.find(text).map_or(text, |words| &text[words.end()..]);
    in_equation(text, mark).unwrap_or_else(|| in_words(text, mark))
}

static BETWEEN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^\s*(?:either|between|from|in the range|zwischen|entre|neither|[±∓√])"));
/// What qualifies an answer that stands before it.
static QUALIFIES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:for|per|each|every|at|out of)\s+(?:the\s+|all\s+|his\s+|her\s+|their\s+|its\s+|these\s+|those\s+)?$",
    )
});

/// A variable with an exponent, or added to a number.
static TERM: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:^|[^\p{L}])[b-z](?:\^|\s*[+*/-]\s*\d)"));

/// The number of a sentence that begins with words: the last one that does not qualify another.
fn in_words(text: &str, mark: DecimalMark) -> Stated {
    if BETWEEN.is_match(text) {
        return if text.contains(|c: char| c.is_ascii_digit()) { Stated::Other } else { Stated::Nothing };
    }
    let quantities = running::quantities(text, mark);
    let own = |q: &&running::Quantity| !QUALIFIES.is_match(&text[..q.start]);
    if TERM.is_match(text) {
        return Stated::Other;
    }
    let Some(quantity) = quantities.iter().rev().find(own).or(quantities.last()) else {
        return Stated::Nothing;
    };
    let rest = &text[quantity.end..];
    if quantity.in_expression || MATHEMATICS.is_match(rest) {
        Stated::Other
    } else {
        Stated::Number(quantity.value.clone())
    }
}

/// Reads the words before `is the answer`: their last number.
pub(super) fn before_words(text: &str, mark: DecimalMark) -> Stated {
    match running::quantities(text, mark).pop() {
        None => Stated::Nothing,
        Some(last) if last.in_expression => Stated::Other,
        Some(last) => Stated::Number(last.value),
    }
}

/// The number, where the text is that and at most three words of unit.
pub(super) fn number_with_unit(text: &str, mark: DecimalMark) -> Option<String> {
    let opening = opening(text, mark);
    let unit = opening.rest.trim_matches(|c: char| !c.is_alphanumeric());
    let words_only = unit.split_whitespace().count() <= 3
        && unit.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '/' | '-'));
    opening.whole().filter(|_| words_only).map(|numeral| numeral.value)
}

/// Signs that only mathematics has, around a number in a box; a raised unit or degree is none.
static RAISED_UNIT: LazyLock<Regex> = LazyLock::new(|| regex(r"(\p{L})\^\(?-?\d\)?"));
static SYMBOLS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"[+*×·÷^√π∞±∓<>≤≥≠|!\\∈∪∩]|\)/\(|\d\s*[:_]|\d\(|\)\(|\b[xyznabijk]\s*\d|\d\s*[xyznabijk]{1,3}\b|(?i)\b(?:or|and|to|sin|cos|tan|log|ln|oder|und)\b",
    )
});
/// A name that an equation gives a value: `x`, `f(2)`, `\angle A`, words.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^[\s$]*(?:\\?\p{L}+[\s'_]*(?:_?\p{L}{0,3}\d{0,2}|\([^()]*\)|\|[^|]*\|)?[\s:]*)+$")
});

/// Reads the content of a box: a number alone or among words, or an equation that ends in one.
pub(super) fn in_box(text: &str, mark: DecimalMark) -> Stated {
    let text = text.trim();
    if !text.contains(char::is_alphanumeric) {
        return if text.contains('∞') { Stated::Other } else { Stated::Nothing };
    }
    let sides: Vec<&str> = text.split(SIDES).collect();
    let values: Vec<Option<String>> = sides.iter().map(|side| only_number(side, mark)).collect();
    let Some(last) = values.iter().rposition(Option::is_some) else { return Stated::Other };
    let arithmetic = |side: &str| !side.contains(',') && !VARIABLE.is_match(side);
    let others_fit =
        sides.iter().enumerate().all(|(i, side)| i == last || NAME.is_match(side) || arithmetic(side));
    match values.into_iter().nth(last).flatten() {
        Some(value) if others_fit => Stated::Number(value),
        _ => Stated::Other,
    }
}

/// A letter that stands for a number.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:^|[^\p{L}])[a-zA-Z](?:$|[^\p{L}])"));

/// The number of a text in which there is one, among words only.
fn only_number(text: &str, mark: DecimalMark) -> Option<String> {
    let opening = opening(text, mark);
    let around = |before: &str, rest: &str| {
        let words =
            format!("{}\u{0}{}", RAISED_UNIT.replace_all(before, "$1"), RAISED_UNIT.replace_all(rest, "$1"));
        let alone = !words.contains(|c: char| c.is_ascii_digit());
        let touching = MATHEMATICS.is_match(rest)
            || rest.starts_with('(')
            || rest.trim_start().starts_with([':', ',']) && !alone;
        !SYMBOLS.is_match(&words) && !VARIABLE_BESIDE.is_match(&words) && !touching && alone
    };
    if let Found::Number(numeral) = &opening.found {
        let brackets = opening.lead.contains('[');
        let qualified = QUALIFIED.find(opening.rest).map_or(opening.rest, |hit| &opening.rest[..hit.start()]);
        return (!brackets && !opening.is_one_of_several() && around("", qualified))
            .then(|| numeral.value.clone());
    }
    if opening.found != Found::Nothing {
        return None;
    }
    let quantities = running::quantities(text, mark);
    let [only] = quantities.as_slice() else { return None };
    let fits = !only.in_expression && around(&text[..only.start], &text[only.end..]);
    fits.then(|| only.value.clone())
}

/// A single letter right beside the number, whose place is marked.
static VARIABLE_BESIDE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"\x00 ?[xyznabijkpqrtuvw](?:$|[^\p{L}.]|\.(?:$|[^\p{L}]))|(?:^|[^\p{L}])[xyznabijkpqrtuvw] ?\x00")
});
/// What qualifies the number of a box.
static QUALIFIED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\s+(?:\(|\b(?:for|per|each|every|at|out of|since|because|in)\b).*$"));
