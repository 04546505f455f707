//! The canonical form of mathematics in LaTeX or in signs.
//!
//! Dollars, `\(..\)`, `\boxed`, `\text` and the like, `\left` and `\right`, and thin spaces are dropped; `\dfrac`, `\tfrac` and `\cfrac` are
//! `\frac`, its arguments and those of roots stand in braces, single exponents do not; spaces are dropped, and letters keep their case: `x` and `X` differ.

use std::sync::LazyLock;

use regex::Regex;

use super::without_edges;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static LOOKS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits)(?:\b|\.)|\\[!,;: ]|\\[()\[\]]|\\(?:quad|qquad)\b|\$",
    )
});
static WRAPPER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|mbox|boxed|fbox|emph)\s*\{([^{}]*)\}",
    )
});
static FRACTION: LazyLock<Regex> = LazyLock::new(|| regex(r"\\[dtc]?frac\b\s*|\\[dtc]frac"));
static SHORT_FRACTION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\\frac\s*(?:([0-9a-zA-Z])|(\{[^{}]*\}))\s*(?:([0-9a-zA-Z])|(\{[^{}]*\}))"));
static ROOT: LazyLock<Regex> = LazyLock::new(|| regex(r"\\sqrt\s*([0-9a-zA-Z])"));
static RAISED: LazyLock<Regex> = LazyLock::new(|| regex(r"([\^_])\{([0-9a-zA-Z])\}"));
/// What only mathematics has.
static MATHEMATICS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\\[a-zA-Z]|[\^≤≥√π∞∪∩]|(?:\b[a-zA-Z]|\d|\))\s*[-=+<>*/]\s*(?:[a-zA-Z]\b|[\d(\\-])|[(\[]\s*(?:-?[\d.]+|[a-z])\s*,",
    )
});

/// The canonical form, if there is mathematics in the text beyond words.
pub(super) fn normalise(text: &str) -> Option<String> {
    if !MATHEMATICS.is_match(text) && !text.contains('$') {
        return None;
    }
    let mut text = LOOKS.replace_all(text, "").replace('−', "-").replace("\\%", "%");
    while WRAPPER.is_match(&text) {
        text = WRAPPER.replace_all(&text, "$1").into_owned();
    }
    if !MATHEMATICS.is_match(&text) {
        return Some(super::normalise(&text));
    }
    let text = FRACTION.replace_all(&text, r"\frac").into_owned();
    let text = SHORT_FRACTION.replace_all(&text, |found: &regex::Captures<'_>| {
        let argument = |bare: usize, group: usize| {
            found.get(bare).map_or_else(|| found[group].to_string(), |bare| format!("{{{}}}", bare.as_str()))
        };
        format!(r"\frac{}{}", argument(1, 2), argument(3, 4))
    });
    let text = ROOT.replace_all(&text, r"\sqrt{$1}");
    let text = RAISED.replace_all(&text, "$1$2");
    let spaced = without_spaces(&text);
    let whole = if is_half_open(&spaced) { spaced.as_str() } else { without_edges(&spaced) };
    Some(whole.to_string())
}

/// The text without its spaces, but for one between two digits: `2024-02-29 12:30` is no number of its digits.
fn without_spaces(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut after_space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            after_space = true;
            continue;
        }
        if after_space && c.is_ascii_digit() && kept.ends_with(|last: char| last.is_ascii_digit()) {
            kept.push(' ');
        }
        after_space = false;
        kept.push(c);
    }
    kept
}

/// Whether the whole is an interval that is closed at one end at least.
fn is_half_open(text: &str) -> bool {
    let ends = (text.chars().next(), text.chars().next_back());
    matches!(ends, (Some('['), Some(')' | ']')) | (Some('('), Some(']'))) && text.contains(',')
}
