//! Numbers in running text.
//!
//! Input: text. Output: the numbers that it writes in digits, each with its bytes, in order. Numbers are equal when their values are:
//! `18`, `18.0`, `$18` and `18%` are one, as are `1,200` and `1200`, and `1/2`, `\frac{1}{2}`, `½` and `0.5`.
//!
//! No number of its own is what belongs to something longer: the digits of `118`, `18.5` and `1,18` (neither thousands nor a decimal),
//! of times, dates, versions, ordinals and powers (`12:30`, `1/2/2020`, `1.2.3`, `2nd`, `3²`, `2^3`), digits within a word (`H2O`), and the labels of
//! list items and steps (`2. Add`, `Step 2:`), which count upwards from 1. A minus belongs to the number that it touches where no operand
//! precedes it. A proper fraction (`3/4`) is one number; in `48/2` both operands are numbers, and so is the value where it is not
//! whole. The unit behind a number does not matter.
//!
//! Not read: words (`eighteen`), powers of ten, thousands set off by spaces. Which of the numbers is an answer is for `statement` to say.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// An exact number, equal to every other way to write its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(Value);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// In lowest terms.
    Ratio { negative: bool, numerator: u128, denominator: u128 },
    /// A decimal without needless zeros that does not fit a ratio.
    Long(String),
}

impl Number {
    /// Reads a canonical number as `number` answers have it: `18`, `-0.5`, `2/3`. `None` for anything else.
    pub fn parse(canonical: &str) -> Option<Self> {
        let (negative, size) = canonical.strip_prefix('-').map_or((false, canonical), |size| (true, size));
        match size.split_once('/') {
            Some((numerator, denominator)) => ratio(negative, digits(numerator)?, digits(denominator)?),
            None => decimal(negative, size),
        }
    }

    fn is_whole(&self) -> bool {
        match &self.0 {
            Value::Ratio { denominator, .. } => *denominator == 1,
            Value::Long(decimal) => !decimal.contains('.'),
        }
    }

    /// Puts a minus before a number that has none.
    fn negate(&mut self) {
        match &mut self.0 {
            Value::Ratio { negative, numerator, .. } => *negative = *numerator > 0,
            Value::Long(decimal) => decimal.insert(0, '-'),
        }
    }
}

fn digits(text: &str) -> Option<u128> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `±numerator/denominator`; `None` for a denominator of zero.
fn ratio(negative: bool, numerator: u128, denominator: u128) -> Option<Number> {
    if denominator == 0 {
        return None;
    }
    let common = gcd(numerator, denominator);
    let (numerator, denominator) = (numerator / common, denominator / common);
    Some(Number(Value::Ratio { negative: negative && numerator > 0, numerator, denominator }))
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `±integer.decimals`, either part of any length.
fn decimal(negative: bool, size: &str) -> Option<Number> {
    let (integer, decimals) = size.split_once('.').unwrap_or((size, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if integer.len() + decimals.len() == 0 || !all_digits(integer) || !all_digits(decimals) {
        return None;
    }
    let (integer, decimals) = (integer.trim_start_matches('0'), decimals.trim_end_matches('0'));
    // A u128 holds every number of 38 digits.
    if integer.len() + decimals.len() <= 38 {
        let numerator = format!("0{integer}{decimals}").parse().ok()?;
        return ratio(negative, numerator, 10_u128.pow(decimals.len() as u32));
    }
    let sign = if negative { "-" } else { "" };
    let point = if decimals.is_empty() { "" } else { "." };
    Some(Number(Value::Long(format!("{sign}{integer}{point}{decimals}"))))
}

/// A number in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numeral {
    /// Its value.
    pub number: Number,
    /// Its bytes, the sign with them.
    pub bytes: Range<usize>,
}

/// All numbers that the text writes, in order of where they begin.
pub fn numerals(text: &str) -> Vec<Numeral> {
    let labels = labels(text);
    let mut found = Vec::new();
    for hit in CANDIDATE.captures_iter(text) {
        let Some(whole) = hit.get(0) else { continue };
        let (before, after) = (&text[..whole.start()], &text[whole.end()..]);
        if labels.contains(&whole.start()) || is_part_of_a_word(before, after) {
            continue;
        }
        let sign = sign_length(before);
        let mut read = read(&hit, whole.start());
        for numeral in read.iter_mut().filter(|numeral| sign > 0 && numeral.bytes.start == whole.start()) {
            numeral.number.negate();
            numeral.bytes.start -= sign;
        }
        found.extend(read);
    }
    found
}

/// The last number that the text writes.
pub fn last_number(text: &str) -> Option<Number> {
    numerals(text).pop().map(|numeral| numeral.number)
}

/// A fraction in LaTeX or a fraction character, perhaps after a whole number; a mixed number; digits with what may stand between them.
static CANDIDATE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) (?: (?<whole>[0-9]{1,9}) \s* )? (?: \\[dt]?frac\{(?<above>[0-9]{1,9})\}\{(?<below>[0-9]{1,9})\} | (?<vulgar>[½⅓⅔¼¾]) )
        | (?<mixed>[0-9]{1,9}) \x20 (?<top>[0-9]{1,4})[/⁄](?<bottom>[0-9]{1,4}) \b
        | (?<plain> \.?[0-9] (?: (?:[0-9.,:/⁄]|\{,\}|,\\!)* [0-9] )? )",
    )
});
/// Thousands set off by commas, or plain digits; then decimals.
static PLAIN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]+)?$"));
static ORDINAL: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:st|nd|rd|th)\b"));
static EXPONENT: LazyLock<Regex> = LazyLock::new(|| regex(r"^[eE][-+]?[0-9]"));
/// The label of a list item or of a step.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?m)(?:^[ \t*#>]*([0-9]{1,3})[.)][ \t*]+\S|\b[Ss](?:tep|TEP)\s+#?([0-9]{1,3})\b)")
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// The numbers in one candidate that begins at `start`.
fn read(hit: &regex::Captures<'_>, start: usize) -> Vec<Numeral> {
    let integer = |name: &str| hit.name(name).and_then(|part| part.as_str().parse::<u128>().ok());
    let whole_bytes = start..start + hit[0].len();
    let one = |number: Option<Number>| {
        number.map(|number| Numeral { number, bytes: whole_bytes.clone() }).into_iter().collect()
    };
    let with_fraction =
        |whole: u128, (above, below): (u128, u128)| ratio(false, whole * below + above, below);
    if let Some(plain) = hit.name("plain") {
        return read_plain(plain.as_str(), start);
    }
    if let (Some(whole), Some(above), Some(below)) = (integer("mixed"), integer("top"), integer("bottom")) {
        if above < below {
            return one(with_fraction(whole, (above, below)));
        }
        let (first, second) = hit[0].split_once(' ').unwrap_or((&hit[0], ""));
        let mut both = read_plain(first, start);
        both.extend(read_plain(second, start + first.len() + 1));
        return both;
    }
    let fraction = match hit.name("vulgar") {
        Some(character) => vulgar(character.as_str()),
        None => integer("above").zip(integer("below")),
    };
    one(fraction.and_then(|fraction| with_fraction(integer("whole").unwrap_or(0), fraction)))
}

fn vulgar(character: &str) -> Option<(u128, u128)> {
    Some(match character {
        "½" => (1, 2),
        "⅓" => (1, 3),
        "⅔" => (2, 3),
        "¼" => (1, 4),
        "¾" => (3, 4),
        _ => return None,
    })
}

/// The numbers in digits with points, commas, colons and slashes between them.
fn read_plain(text: &str, start: usize) -> Vec<Numeral> {
    let numeral = |part: &str, offset: usize| {
        let plain = part.replace("{,}", ",").replace(",\\!", ",");
        let number = PLAIN.is_match(&plain).then(|| decimal(false, &plain.replace(',', ""))).flatten()?;
        Some(Numeral { number, bytes: start + offset..start + offset + part.len() })
    };
    let parts: Vec<&str> = text.split(['/', '⁄']).collect();
    let [above, below] = parts[..] else {
        let whole = if parts.len() == 1 { numeral(text, 0) } else { None };
        return whole.into_iter().collect();
    };
    let operands = [numeral(above, 0), numeral(below, text.len() - below.len())];
    let value = digits(above).zip(digits(below)).and_then(|(above, below)| {
        let number = ratio(false, above, below)?;
        Some((above < below, Numeral { number, bytes: start..start + text.len() }))
    });
    match value {
        Some((true, fraction)) => vec![fraction],
        Some((false, quotient)) if !quotient.number.is_whole() => {
            operands.into_iter().flatten().chain([quotient]).collect()
        }
        _ => operands.into_iter().flatten().collect(),
    }
}

/// Whether digits between these texts are part of a word, an ordinal, a power or a number that is not read.
fn is_part_of_a_word(before: &str, after: &str) -> bool {
    let in_word = before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '^'))
        || before.ends_with("^{")
        || before.ends_with("_{");
    let goes_on = after.starts_with(|c: char| c == '^' || c.is_numeric());
    in_word || goes_on || ORDINAL.is_match(after) || EXPONENT.is_match(after)
}

/// Bytes of the minus, and the currency behind it, that belong to the number after this text; 0 without one.
fn sign_length(before: &str) -> usize {
    let currency = |c: char| matches!(c, '$' | '€' | '£' | '¥' | '₹');
    let bare = before.trim_end_matches(currency).trim_end_matches('\\');
    let Some(rest) = bare.strip_suffix(['-', '−', '–']) else { return 0 };
    let is_operator = rest.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | ']' | '-'));
    if is_operator { 0 } else { before.len() - rest.len() }
}

/// Where the labels of lists and steps are: those of lists count upwards from 1.
fn labels(text: &str) -> Vec<usize> {
    let mut next = 1;
    let mut found = Vec::new();
    for hit in LABEL.captures_iter(text) {
        if let Some(step) = hit.get(2) {
            found.push(step.start());
        }
        let Some(item) = hit.get(1) else { continue };
        let number: u32 = item.as_str().parse().unwrap_or(0);
        if number == next || number == 1 {
            found.push(item.start());
            next = number + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the text writes a number of this value.
    fn writes(text: &str, canonical: &str) -> bool {
        let number = Number::parse(canonical).unwrap();
        numerals(text).iter().any(|numeral| numeral.number == number)
    }

    #[test]
    fn equal_values_are_equal_numbers() {
        for (text, canonical) in [
            ("so 18 eggs", "18"),
            ("18.", "18"),
            ("it is 18.0.", "18"),
            ("$18", "18"),
            ("\\$18.00", "18"),
            ("18%", "18"),
            ("18kg", "18"),
            ("**18**", "18"),
            ("\\boxed{18}", "18"),
            ("共18个", "18"),
            ("=18", "18"),
            ("1,200 and 3", "1200"),
            ("1{,}200", "1200"),
            ("1200", "1200"),
            ("1,200.50", "1200.5"),
            ("-4", "-4"),
            ("−$4", "-4"),
            ("x = -4.", "-4"),
            ("10-4", "4"),
            ("10 - 4", "4"),
            (".5", "0.5"),
            ("1/2", "0.5"),
            ("\\frac{1}{2}", "0.5"),
            ("2\\frac{1}{2}", "2.5"),
            ("2 1/2 cups", "2.5"),
            ("2½", "2.5"),
            ("2/6", "1/3"),
            ("7/2", "3.5"),
            ("48/2 = 24", "48"),
            ("48/2 = 24", "24"),
            ("12 eggs/2 people", "2"),
            (
                "12345678901234567890123456789012345678901234.50",
                "12345678901234567890123456789012345678901234.5",
            ),
        ] {
            assert!(writes(text, canonical), "{text:?} writes {canonical}");
        }
    }

    #[test]
    fn parts_of_something_longer_are_no_numbers() {
        for (text, canonical) in [
            ("118", "18"),
            ("118", "11"),
            ("18.5", "18"),
            ("18.5", "5"),
            ("1,18", "18"),
            ("1,18", "1"),
            ("1,200", "200"),
            ("1{,}200", "200"),
            ("-4", "4"),
            ("10-4", "-4"),
            ("3/4 of them", "3"),
            ("2 1/2 cups", "2"),
            ("2½", "2"),
            ("48/2", "24"),
            ("at 12:30", "12"),
            ("on 1/2/2020", "2020"),
            ("version 1.2.3", "3"),
            ("the 2nd day", "2"),
            ("3² = 9", "3"),
            ("2^3 = 8", "2"),
            ("2^3 = 8", "3"),
            ("2^{3} = 8", "3"),
            ("x_2 is", "2"),
            ("H2O", "2"),
            ("1e3", "1"),
            ("1. Add.\n2. Divide.\n", "2"),
            ("### 1. Add\n### 2. Divide", "2"),
            ("**Step 2:** divide", "2"),
        ] {
            assert!(!writes(text, canonical), "{text:?} does not write {canonical}");
        }
    }

    #[test]
    fn labels_count_upwards() {
        assert!(writes("18. Done.", "18"));
        assert!(writes("1. Add.\n7. Done.", "7"));
        assert!(writes("It takes 2 steps.", "2"));
    }

    #[test]
    fn numerals_carry_their_bytes() {
        let text = "At -$4 a piece, 1,200 of them.";
        let found: Vec<&str> = numerals(text).into_iter().map(|numeral| &text[numeral.bytes]).collect();
        assert_eq!(found, ["-$4", "1,200"]);
        assert_eq!(last_number(text), Number::parse("1200"));
        assert_eq!(last_number("none"), None);
    }

    #[test]
    fn canonical_forms_are_read() {
        assert_eq!(Number::parse("-0"), Number::parse("0"));
        assert_eq!(Number::parse("2/6"), Number::parse("1/3"));
        for text in ["", "-", "B", "1,200", "1/0", "1/x", " 1", "1.2.3"] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }
}
