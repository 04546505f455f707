//! Numbers for people: nats with two decimals, shares in per cent, intervals in brackets, a dash where nothing is known.

use crate::metrics::Quantity;

/// Shown where there is no number.
pub(crate) const NONE: &str = "–";

/// A number with a fixed count of decimals, a true minus sign and no negative zero.
pub(crate) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_string(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// A number that may be missing.
pub(crate) fn optional(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| NONE.to_string(), |v| decimal(v, decimals))
}

/// A share in per cent with one decimal, without the sign.
pub(crate) fn percent(value: Option<f64>) -> String {
    optional(value.map(|v| 100.0 * v), 1)
}

/// How a quantity is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// With two decimals.
    Plain,
    /// With three decimals.
    Fine,
    /// Times one hundred, with one decimal.
    Percent,
}

impl Scale {
    /// The value alone.
    pub(crate) fn value(self, value: Option<f64>) -> String {
        match self {
            Self::Plain => optional(value, 2),
            Self::Fine => optional(value, 3),
            Self::Percent => percent(value),
        }
    }

    /// The interval in brackets, `None` where there is none.
    pub(crate) fn interval(self, quantity: &Quantity) -> Option<String> {
        let (low, high) = (quantity.low?, quantity.high?);
        Some(format!("[{}, {}]", self.value(Some(low)), self.value(Some(high))))
    }

    /// Value and interval.
    pub(crate) fn with_interval(self, quantity: &Quantity) -> String {
        match self.interval(quantity) {
            Some(interval) => format!("{} {interval}", self.value(quantity.value)),
            None => self.value(quantity.value),
        }
    }
}

/// Text with control characters replaced, those of the writing direction among them, so that names from files cannot steer a terminal,
/// turn the words after them around or break a page. Line breaks and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| (c.is_control() && c != '\n' && c != '\t') || turns_around(c);
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text broken at spaces into lines of at most `width` characters, each after the indent; a longer word has a line to itself.
pub(crate) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let n = word.chars().count();
        if length > 0 && length + 1 + n > width {
            lines.push('\n');
            length = 0;
        }
        if length == 0 {
            lines.push_str(indent);
            length = indent.chars().count();
        } else {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += n;
    }
    lines
}

/// Text on one line of at most `width` characters; what is cut off is marked.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A count with its noun, in the plural unless it is one.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(n)) }
}

/// A count with a thin space between groups of three digits, from 10,000 on.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_sign() {
        assert_eq!(decimal(-0.004, 2), "0.00");
        assert_eq!(decimal(-1.256, 2), "−1.26");
        assert_eq!(percent(Some(0.7125)), "71.2");
        assert_eq!(percent(None), "–");
    }

    #[test]
    fn nothing_steers_or_turns_around() {
        assert_eq!(
            printable("a\u{202e}b\u{2066}c\u{200f}d\u{1b}[1m\n"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}[1m\n"
        );
        assert_eq!(printable("−äöü 日本語 🎉\u{202f}"), "−äöü 日本語 🎉\u{202f}");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three");
        assert_eq!(wrapped("indivisible", "", 4), "indivisible");
    }

    #[test]
    fn long_text_is_cut_to_a_line() {
        assert_eq!(shortened(" one\n two ", 7), "one two");
        assert_eq!(shortened("one two three", 9), "one two…");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(thousands(9999), "9999");
        assert_eq!(thousands(1234567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(1, "trace"), "1 trace");
        assert_eq!(count(0, "trace"), "0 traces");
    }
}
