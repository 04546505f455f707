//! The number that a completion states as its answer.
//!
//! 1. The last marker (`markers`) that states something, if that is one number. A box or tag holds a number, alone or among words, or an
//!    equation whose last side is one. After words such as `the answer is` stands a number, or an equation, whose last evaluated side
//!    counts (`5 + 3 = 8` is 8, `20 dollars/hour * 8 hours = 160` is 160), or a sentence (`statement`). What is there and is not one
//!    number (`2√3`, `5 + 3`, `10 or 12`, `(3, 4)`) leaves the completion without one: guessing a part would be wrong with confidence. A
//!    remark on the answer (`the answer is correct`) states none either, and the marker before it counts. Words after `Answer:` that are
//!    followed by more numbers are the beginning of the reasoning, and pass for no statement.
//! 2. Otherwise a number that is set off: in bold, or after a label such as `Total:`, on the last line that has numbers; or a number
//!    alone at the beginning, which an explanation follows. Lines that begin with `Note` and the like do not count.
//! 3. Otherwise the last number of the completion, as lm-eval's `flexible-extract` takes it for GSM8K; unlike there, digits
//!    inside a word (`H2O`), exponents, ordinals, times, dates and the numbers of list items are passed over.
//!
//! Of a completion that the limit on tokens cut, only closed statements are read, and no other number. After `Answer:` only a
//! number by itself is one then: an equation there may be the first of several.

use std::sync::LazyLock;

use regex::Regex;

use super::running;
use super::statement::{self, Stated};
use super::style::DecimalMark;
use crate::markers::{self, Marker, MarkerKind};
use crate::plain::plain;

/// The canonical form of the stated number; `None` if there is none.
pub(super) fn extract(completion: &str, mark: DecimalMark) -> Option<String> {
    for marker in markers::last_first(completion).iter().filter(|marker| !marker.is_remark()) {
        match stated(marker, mark) {
            Stated::Number(value) => return Some(value),
            Stated::Other => return None,
            Stated::Nothing => {}
        }
    }
    told(completion, mark)
}

/// Longest content of a tag, in bytes, that is an answer and not a whole solution.
const MAX_SHORT_TAG: usize = 60;

/// The number that a text gives without a marker.
fn told(text: &str, mark: DecimalMark) -> Option<String> {
    let told = without_notes(text);
    set_off(&told, mark)
        .or_else(|| at_the_beginning(&told, mark))
        .or_else(|| running::last_number(&plain(&told), mark))
}

/// The canonical form of the number that a closed statement of a cut completion gives.
pub(super) fn extract_cut(completion: &str, mark: DecimalMark) -> Option<String> {
    let markers = markers::last_first(completion);
    let closed = markers.iter().filter(|marker| marker.is_closed() && !marker.is_remark());
    let mut stated =
        closed.filter(|marker| !may_begin_reasoning(marker, mark)).map(|marker| stated(marker, mark));
    stated.find(|stated| *stated != Stated::Nothing)?.number()
}

/// Whether more than a number follows `Answer:`.
fn may_begin_reasoning(marker: &Marker<'_>, mark: DecimalMark) -> bool {
    let sentence = plain(markers::sentence(markers::line(marker.text)));
    marker.kind == MarkerKind::Heading
        && (!statement::begins_with_number(&sentence, mark) || sentence.contains(['=', '≈']))
}

fn stated(marker: &Marker<'_>, mark: DecimalMark) -> Stated {
    match marker.kind {
        MarkerKind::Hashes => {
            let line = plain(marker.text.lines().next().unwrap_or(""));
            if HEADING.is_match(&line) {
                Stated::Nothing
            } else {
                statement::in_equation(&line, mark).unwrap_or(Stated::Nothing)
            }
        }
        MarkerKind::Boxed => statement::in_box(&plain(marker.text), mark),
        MarkerKind::Tagged => match statement::in_box(&plain(marker.text), mark) {
            Stated::Other if marker.text.trim().len() > MAX_SHORT_TAG => {
                told(marker.text, mark).map_or(Stated::Other, Stated::Number)
            }
            stated => stated,
        },
        MarkerKind::Before => statement::before_words(&plain(marker.text), mark),
        MarkerKind::Cue | MarkerKind::Heading => {
            let sentence = markers::sentence(markers::line(marker.text));
            let plain_sentence = plain(sentence);
            let words_first =
                marker.kind == MarkerKind::Heading && !statement::begins_with_number(&plain_sentence, mark);
            if words_first && marker.goes_on_with(sentence, |later| later.contains(char::is_numeric)) {
                return Stated::Nothing;
            }
            match emphasised(sentence, mark).filter(|_| words_first) {
                Some(value) => Stated::Number(value),
                None => statement::in_sentence(&plain_sentence, mark),
            }
        }
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// A numbered heading, such as `#### 2. Multiply`.
static HEADING: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*\d+\s*[.):]\s+\p{L}"));
/// A line or parenthesis that remarks on the answer.
static NOTE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?mi)^[\s*_(>-]*(?:note|remark|nb|n\.b\.|p\.?s\.?|hint|source|check|verification)\b[*_]*:[^\n]*$|^[ \t]*\([^()\n]*\)[ \t.]*$",
    )
});
static BOLD: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__|<(?:b|strong)>([^<\n]+)</"));
/// A label before a result: any in bold, else one of a few words.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) ^[\s\#>-]* (?: \*\* [\p{L}\ ]{2,40} (?: :\*\* | \*\*: )
        | (?:(?:the|grand)\s+)? (?:total|sum|result|conclusion|outcome|solution|therefore|thus|hence|final) \s* : ) \s*",
    )
});

/// The completion without its notes, unless nothing else is there.
fn without_notes(completion: &str) -> String {
    let told = NOTE.replace_all(completion, "");
    if told.contains(char::is_numeric) { told.into_owned() } else { completion.to_string() }
}

/// The number that is set off on the last line that has numbers.
fn set_off(completion: &str, mark: DecimalMark) -> Option<String> {
    let line = completion.lines().rev().find(|line| line.contains(char::is_numeric))?;
    let labelled = LABEL.find(line).and_then(|label| {
        let result = plain(markers::sentence(&line[label.end()..]));
        statement::in_equation(&result, mark).and_then(Stated::number)
    });
    let named = || {
        let result = plain(markers::sentence(&line[NAMED.find_iter(line).last()?.end()..]));
        let opening = statement::opening(&result, mark);
        FOR_WHAT.is_match(opening.rest).then(|| opening.whole().map(|numeral| numeral.value))?
    };
    emphasised(line, mark).or(labelled).or_else(named)
}

/// What a result is for, up to the end of its sentence.
static FOR_WHAT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)^\s*(?:\p{L}+\s+){0,3}(?:for|per|each|every)\s[^=+*×]*$"));
/// Words that name a result within a sentence.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:result|total|sum)\b(?:\s+(?:number|cost|amount|price)\b)?(?:\s+of\s+[^.,\d\n]{1,30})?\s+(?:is|was|equals|comes to)\s+",
    )
});

/// The last number in bold that stands there alone or with its unit, unless an equation comes after it.
fn emphasised(line: &str, mark: DecimalMark) -> Option<String> {
    let spans = BOLD.captures_iter(line).filter_map(|found| found.iter().skip(1).flatten().next());
    let numbers = spans
        .filter(|span| !line[span.end()..].contains('='))
        .filter_map(|span| statement::number_with_unit(&plain(span.as_str()), mark));
    numbers.last()
}

/// What shows that the text after a number does not explain it but leads to another.
static CONCLUDES: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)=|\b(?:so|therefore|thus|hence|total|altogether|in all|finally|then|leaves?|left)\b")
});
static EXPLAINS: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^[\s*_#]*(?:explanation|reason(?:ing)?|because|since|this is|that is|here is why|check)\b")
});

/// What begins an explanation in the sentence of the number.
static GOES_ON_TO_EXPLAIN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\s*(?:\(|[,;—–-]?\s*\b(?:because|since|as|given that|weil|porque|car)\b)"));
static LIST_GOES_ON: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^\s*\d{1,3}[.)]\s"));

/// A number alone at the beginning, with an explanation after it.
fn at_the_beginning(completion: &str, mark: DecimalMark) -> Option<String> {
    let text = completion.trim_start();
    let line = text.lines().next()?;
    let sentence = markers::sentence(line);
    let explains = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        rest.contains(char::is_numeric) && (EXPLAINS.is_match(rest) || !CONCLUDES.is_match(rest))
    };
    let alone = |first: &str| {
        let value = statement::number_with_unit(&plain(first), mark)?;
        let rest = &text[first.len()..];
        let is_item = value == "1" || LIST_GOES_ON.is_match(rest);
        (explains(rest) && !is_item).then_some(value)
    };
    let within_sentence = || {
        let only_line = !text[line.len()..].contains(char::is_numeric);
        alone(&sentence[..GOES_ON_TO_EXPLAIN.find(sentence).filter(|_| only_line)?.start()])
    };
    alone(sentence).or_else(within_sentence)
}
