//! One number as people and models write it, at the start of a plain text (`plain`).
//!
//! A sign, which may stand apart (`- 5`), as a word (`minus 5`) or on either side of a currency; digits with thousands set off by commas,
//! points, spaces, apostrophes or underscores, by threes or as in India (`1,45,000`); decimals after a point or a comma (`style`); then
//! an exponent (`e3`, `× 10^3`), a denominator (`3/4`, `(3)/(-4)`), the fraction of a mixed number (`5 1/2`) or a word for a scale
//! (`million`). The longest number is read: what begins with digits and is none, such as `1.2.3`, `12:30` or `1,2,3`, is never one of its
//! parts.

use std::sync::LazyLock;

use regex::Regex;

use super::style::DecimalMark;
use super::value;
use crate::lead::is_currency;

/// What stands at the start of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A number.
    Number(Numeral),
    /// Digits that make no number, up to this byte.
    Other(usize),
    /// No digits.
    Nothing,
}

impl Found {
    pub(super) fn number(self) -> Option<Numeral> {
        match self {
            Self::Number(numeral) => Some(numeral),
            Self::Other(_) | Self::Nothing => None,
        }
    }
}

/// A number and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numeral {
    /// Its canonical form.
    pub(super) value: String,
    /// Bytes up to its end.
    pub(super) end: usize,
}

/// An unsigned decimal, and bytes up to its end.
#[derive(Debug, Clone, Default)]
struct Decimal {
    integer: String,
    decimals: String,
    end: usize,
    /// The mark before its decimals, where it can be no other.
    mark: Option<DecimalMark>,
}

/// ±numerator/denominator · 10^exponent.
#[derive(Debug, Clone, Default)]
struct Exact {
    numerator: Decimal,
    denominator: Option<Decimal>,
    negative: bool,
    exponent: i32,
}

impl Exact {
    /// The canonical form; `None` for a denominator of zero.
    fn value(&self) -> Option<String> {
        let Decimal { integer, decimals, .. } = &self.numerator;
        let Some(denominator) = &self.denominator else {
            return Some(value::decimal(self.negative, integer, decimals, self.exponent));
        };
        let shift = decimals.len().max(denominator.decimals.len());
        let whole = |part: &Decimal, more: i32| {
            let zeros = shift - part.decimals.len() + usize::try_from(more).unwrap_or(0);
            format!("{}{}{}", part.integer, part.decimals, "0".repeat(zeros))
        };
        let (over, under) = (whole(&self.numerator, self.exponent), whole(denominator, -self.exponent));
        under.contains(|c| c != '0').then(|| value::fraction(self.negative, &over, &under))
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static MINUS_WORD: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?i)(?:(?:minus|negative|moins|menos|meno)[ ]+|负|負|マイナス[ ]*|마이너스[ ]*)")
});
static CURRENCY: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:(?:US|CA|AU|NZ|HK|A|C|R|S)?[$]|(?:USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|Fr)\.?[ ]?|(?:Rs|INR)\.?[ ]?|[€£¥₹₩₽¢৳฿₫₺₦₱])",
    )
});

/// Reads the number at the start of a plain text. A minus may stand apart from the digits.
pub(super) fn read(text: &str, mark: DecimalMark) -> Found {
    let (mut rest, mut negative, mut signed) = (text, false, false);
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(hit) = CURRENCY.find(rest).filter(|hit| !hit.is_empty()) {
            rest = &rest[hit.end()..];
        } else if signed {
            break;
        } else if let Some(hit) = MINUS_WORD.find(rest) {
            (rest, negative, signed) = (&rest[hit.end()..], true, true);
        } else if let Some(after) = rest.strip_prefix(['+', '-', '–']) {
            (negative, signed) = (!rest.starts_with('+'), true);
            rest = after;
        } else if let Some(after) =
            rest.strip_prefix('—').filter(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        {
            // A long dash apart from the digits introduces them.
            (rest, negative, signed) = (after, true, true);
        } else {
            break;
        }
    }
    let before = text.len() - rest.len();
    let has_currency = text[..before].contains(is_currency);
    match unsigned(rest, negative, has_currency, mark) {
        Found::Number(Numeral { value, end }) => Found::Number(Numeral { value, end: before + end }),
        Found::Other(end) => Found::Other(before + end),
        Found::Nothing => Found::Nothing,
    }
}

/// Reads digits and what belongs to them, without a sign.
pub(super) fn unsigned(text: &str, negative: bool, has_currency: bool, mark: DecimalMark) -> Found {
    let read = if text.starts_with('(') {
        fraction_of_groups(text, mark)
    } else {
        plain_number(text, has_currency, mark)
    };
    let (mut exact, end) = match read {
        Ok(read) => read,
        Err(found) => return found,
    };
    exact.negative ^= negative;
    match exact.value() {
        Some(_) if goes_on(&text[end..]) => Found::Other(end + token(&text[end..])),
        Some(value) => Found::Number(Numeral { value, end }),
        None => Found::Other(end),
    }
}

/// Whether digits follow that show the string to be a time, a date, a version or a ratio.
fn goes_on(rest: &str) -> bool {
    let mut after = rest.chars();
    let joins = after.next().is_some_and(|c| matches!(c, '.' | ',' | ':' | '/' | '_' | '\''));
    joins && after.next().is_some_and(|c| c.is_ascii_digit())
}

/// Bytes of digits and the marks between them.
fn token(text: &str) -> usize {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | ':' | '/' | '_' | '\''))
        .unwrap_or(text.len());
    text[..end].trim_end_matches(|c: char| !c.is_ascii_digit()).len()
}

/// `(3)/(-4)`, as `plain` writes fractions.
fn fraction_of_groups(text: &str, mark: DecimalMark) -> Result<(Exact, usize), Found> {
    let inside = |text: &str| -> Option<(bool, Decimal, usize)> {
        let group = text.strip_prefix('(')?;
        let close = group.find(')')?;
        let bare = group[..close].trim();
        let size = bare.trim_start_matches(['-', '+', '–']).trim_start();
        let number = decimal(size.trim_start_matches(is_currency), mark).ok()?;
        let whole = number.end == size.trim_start_matches(is_currency).len();
        (whole && bare.len() - size.len() <= 2).then(|| (bare.starts_with(['-', '–']), number, close + 2))
    };
    let read = || {
        let (over_negative, numerator, end) = inside(text)?;
        let rest = text[end..].strip_prefix('/')?;
        let (under_negative, denominator, length) = inside(rest)?;
        let negative = over_negative != under_negative;
        Some((Exact { numerator, denominator: Some(denominator), negative, exponent: 0 }, end + 1 + length))
    };
    read().ok_or(Found::Nothing)
}

static EXPONENT: LazyLock<Regex> = LazyLock::new(|| regex(r"^[eE]([-+]?[0-9]{1,2})\b"));
static EXPONENT_TOO_LARGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^[eE][-+]?[0-9]{3}"));
static POWER_OF_TEN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^ *[×·*xX] *10 *(?:\^ *\(?|\*\* *)([-+]?[0-9]{1,2})\b\)?"));
static RAISED: LazyLock<Regex> = LazyLock::new(|| regex(r"^ *(?:\^ *\(?|\*\* *)([-+]?[0-9]{1,2})\b\)?"));
static OVER: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?: ?[/⁄] ?)([0-9])"));
/// The fraction after a whole number.
static MIXED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^ +(?:and +)?(?:([0-9]{1,4})[/⁄]([0-9]{1,4})|\(([0-9]{1,4})\)/\(([0-9]{1,4})\))")
});
/// What shows that the fraction before it is none of a mixed number: a date, a measure such as `3/4-inch`.
static NO_FRACTION: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:[.,:/]?[0-9]|-\p{L})"));

fn plain_number(text: &str, has_currency: bool, mark: DecimalMark) -> Result<(Exact, usize), Found> {
    let numerator = decimal(text, mark)?;
    let mut end = numerator.end;
    let is_whole = numerator.decimals.is_empty() && numerator.end == numerator.integer.len();
    let mut exact = Exact { numerator, ..Exact::default() };
    let power = |found: &regex::Captures<'_>| found[1].parse().unwrap_or(0);
    let rest = &text[end..];
    if EXPONENT_TOO_LARGE.is_match(rest) {
        return Err(Found::Other(end));
    }
    if let Some(found) = EXPONENT.captures(rest).or_else(|| POWER_OF_TEN.captures(rest)) {
        exact.exponent = power(&found);
        end += found[0].len();
    } else if let Some(found) = RAISED.captures(rest).filter(|_| is_whole && exact.numerator.integer == "10")
    {
        exact.exponent = power(&found) - 1;
        end += found[0].len();
    } else if let Some(over) = OVER.captures(rest) {
        let at = end + over[0].len() - 1;
        let denominator = decimal(&text[at..], mark)?;
        end = at + denominator.end;
        exact.denominator = Some(denominator);
    } else if let Some((fraction, length)) =
        mixed(rest).filter(|_| is_whole && exact.numerator.integer.len() < 19)
    {
        let whole: u128 = exact.numerator.integer.parse().unwrap_or(0);
        exact.numerator.integer = (whole * fraction.1 + fraction.0).to_string();
        exact.denominator = Some(Decimal { integer: fraction.1.to_string(), ..Decimal::default() });
        end += length;
    }
    if let Some((exponent, length)) = scale(&text[end..], has_currency) {
        exact.exponent += exponent;
        end += length;
    }
    Ok((exact, end))
}

/// The proper fraction that makes a mixed number of the whole number before it.
fn mixed(rest: &str) -> Option<((u128, u128), usize)> {
    let found = MIXED.captures(rest)?;
    let part = |a, b| found.get(a).or(found.get(b)).and_then(|part| part.as_str().parse::<u128>().ok());
    let (over, under) = (part(1, 3)?, part(2, 4)?);
    let length = found[0].len();
    (0 < over && over < under && !NO_FRACTION.is_match(&rest[length..])).then_some(((over, under), length))
}

/// Words for powers of ten, in the languages in which answers are found.
static SCALE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) ^ (?:
            [\ -]? (?: (?P<e2>(?i:hundred)) | (?P<e3>(?i:thousand|tausend)) | (?P<e6>(?i:millions?|millionen|millones|mill[oó]n|milh(?:ão|ões)|milion[ei]|mio\.?|миллион\p{L}*))
              | (?P<e9>(?i:billions?|milliarden?|milliards?|miliard[ioe]|mrd\.?|миллиард\p{L}*)) | (?P<e12>(?i:trillions?))
              | (?P<e5>(?i:lakhs?)) | (?P<e7>(?i:crores?)) ) (?:\b|$)
            | (?P<k>[kK]) \b | (?P<bn>(?:bn|BN)) \b
            | [\ ]? (?: (?P<j3>千) | (?P<j4>[万萬만]) | (?P<j6>百万) | (?P<j8>[亿億억]) )
        )",
    )
});
/// Letters that stand for a million or a billion after an amount of money.
static MONEY_SCALE: LazyLock<Regex> = LazyLock::new(|| regex(r"^ ?(?:(m|M|mn)|(?:b|B))\b"));

/// The exponent of the scale that follows a number, and its bytes.
fn scale(rest: &str, has_currency: bool) -> Option<(i32, usize)> {
    const NAMES: [(&str, i32); 13] = [
        ("e2", 2),
        ("e3", 3),
        ("e6", 6),
        ("e9", 9),
        ("e12", 12),
        ("e5", 5),
        ("e7", 7),
        ("k", 3),
        ("bn", 9),
        ("j3", 3),
        ("j4", 4),
        ("j6", 6),
        ("j8", 8),
    ];
    if let Some(found) = SCALE.captures(rest) {
        let exponent = NAMES.iter().find_map(|(name, exponent)| found.name(name).map(|_| *exponent))?;
        return Some((exponent, found[0].len()));
    }
    let found = MONEY_SCALE.captures(rest).filter(|_| has_currency)?;
    Some((if found.get(1).is_some() { 6 } else { 9 }, found[0].len()))
}

/// Reads digits with marks between them.
fn decimal(text: &str, mark: DecimalMark) -> Result<Decimal, Found> {
    let groups = groups(text);
    let Some(((_, first), rest)) = groups.split_first() else { return Err(Found::Nothing) };
    let end = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let length = end + groups.iter().map(|(_, digits)| digits.len()).sum::<usize>() + rest.len();
    let none = || Err(Found::Other(length.max(token(text))));
    let number = |integer: &[(char, &str)], decimals: &str, shown: Option<DecimalMark>| {
        let integer = integer.iter().map(|(_, digits)| *digits).collect();
        Ok(Decimal { integer, decimals: decimals.to_string(), end: length, mark: shown })
    };
    if text.starts_with('.') {
        return if rest.is_empty() { number(&[], first, Some(DecimalMark::Point)) } else { none() };
    }
    let Some(&(last_mark, last)) = rest.last() else { return number(&groups, "", None) };
    let (before, marks_before) = (&groups[..groups.len() - 1], &rest[..rest.len() - 1]);
    let by_point_or_comma = matches!(last_mark, '.' | ',');
    let shown = if last_mark == '.' { DecimalMark::Point } else { DecimalMark::Comma };
    if marks_before.is_empty() {
        let grouped = are_thousands(&groups);
        return match grouped && !(by_point_or_comma && last_mark == mark.character()) {
            true => number(&groups, "", None),
            false if by_point_or_comma => number(before, last, (!grouped).then_some(shown)),
            false => none(),
        };
    }
    let one_mark = marks_before.iter().all(|(before, _)| *before == marks_before[0].0);
    match one_mark {
        true if marks_before[0].0 == last_mark && are_thousands(&groups) => {
            let other = if last_mark == '.' { DecimalMark::Comma } else { DecimalMark::Point };
            number(&groups, "", by_point_or_comma.then_some(other))
        }
        true if marks_before[0].0 != last_mark && by_point_or_comma && are_thousands(before) => {
            number(before, last, Some(shown))
        }
        _ => none(),
    }
}

/// Groups of digits at the start of the text, each with the mark before it; that of the first is a point or nothing.
fn groups(text: &str) -> Vec<(char, &str)> {
    let mut found = Vec::new();
    let (mut mark, mut rest) = ('\0', text);
    if let Some(after) = text.strip_prefix('.') {
        (mark, rest) = ('.', after);
    }
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 {
            return found;
        }
        found.push((mark, &rest[..digits]));
        rest = &rest[digits..];
        let Some(next) = rest.chars().next().filter(|c| matches!(c, '.' | ',' | ' ' | '\'' | '_')) else {
            return found;
        };
        let after = &rest[1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        // A space sets off thousands or ends the number; before three digits that a dash, a slash or a point joins to more it ends it.
        let spaced = next != ' '
            || digits == 3
                && !after[digits..].starts_with(['-', '/', '^', '×', '*'])
                && found.iter().enumerate().all(|(i, (mark, group))| {
                    if i == 0 {
                        group.len() <= 3 && !group.starts_with('0')
                    } else {
                        *mark == ' ' && group.len() == 3
                    }
                });
        if digits == 0 || !spaced {
            return found;
        }
        (mark, rest) = (next, after);
    }
}

/// Whether the groups after the first are thousands: by threes, or by twos before a last group of three.
fn are_thousands(groups: &[(char, &str)]) -> bool {
    let Some(((_, first), rest)) = groups.split_first() else { return false };
    let Some(((_, last), middle)) = rest.split_last() else { return true };
    let by = |n: usize| middle.iter().all(|(_, group)| group.len() == n);
    let by_twos = !middle.is_empty() && first.len() <= 2 && by(2) && rest[0].0 == ',';
    !first.starts_with('0') && first.len() <= 3 && last.len() == 3 && (by(3) || by_twos)
}

/// The mark before the decimals of a number that leaves no doubt about it.
pub(super) fn decimal_mark(target: &str) -> Option<DecimalMark> {
    let text = crate::plain::plain(target);
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let number = decimal(&text[digits..], DecimalMark::Point).ok()?;
    let alone = !text[digits + number.end..].contains(|c: char| c.is_alphanumeric());
    number.mark.filter(|_| alone && text[..digits].chars().all(|c| !c.is_alphanumeric()))
}
