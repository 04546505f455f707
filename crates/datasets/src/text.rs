//! Free-text answers: canonical form, grammar, extraction.
//!
//! The canonical form is lower-cased, with white space folded, the articles `a`, `an`, `the` dropped, and quotes and
//! punctuation at either end dropped. This is the normalisation of SQuAD (Rajpurkar et al. 2016, the official evaluation
//! script), except that punctuation inside stays: `3.5` and `35`, `re-sent` and `resent` are different answers. Articles stay
//! where nothing else would be left.
//!
//! A number is its canonical form as a number (`1450`, `1,450` and `\boxed{1450.0}` are one answer), written with thousands commas where
//! the file's own targets are. LaTeX (`latex`) has no spaces, one spelling of fractions, and no commands that only say how it looks:
//! `\text{Yes}` is `yes`, `x^2 + 1` is `x^2+1`, `\dfrac12` is `0.5`. Brackets around the whole are dropped, but for those of an interval
//! that is closed at an end.
//!
//! An answer ends with its line, or with its sentence: at `.`, `!` or `?` before a space, after a word of three or more letters
//! or digits, so that `Dr. Who`, `J. Bell` and `U.S. dollars` are not cut. What follows is not part of the answer, in targets
//! as in completions. In completions a reason after the answer (`yes, because ..`) is not, either, nor what follows `Yes` or `No`. Two
//! texts that mean the same in other words are two answers here.

mod latex;

use std::sync::LazyLock;

use entrace_measure::{Answer, AnswerFormat, AnswerGrammar, Choices, GrammarState, Verdict};

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use crate::markers::{self, Marker, MarkerKind};
use crate::number::{self, DecimalMark};

/// The format of free-text answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextFormat {
    /// The mark before decimals where a number does not show it.
    pub mark: DecimalMark,
    /// Whether numbers are written with thousands commas.
    pub grouped: bool,
}

impl AnswerFormat for TextFormat {
    fn name(&self) -> &'static str {
        "text"
    }

    /// What the last marker states; without a marker what is in bold at the start of the last line or alone on the first, or the last line.
    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer {
        let read = |text: &str| self.canonical(answer_of(text), choices);
        let markers = markers::last_first(completion);
        let stated = markers.iter().map(|marker| match marker.kind {
            MarkerKind::Boxed => self.canonical(marker.text, choices),
            MarkerKind::Tagged if marker.text.trim().contains('\n') => self.extract(marker.text, choices),
            MarkerKind::Tagged => read(marker.text),
            MarkerKind::Before => read(CONCLUDES.replace(marker.text, "").as_ref()),
            MarkerKind::Hashes | MarkerKind::Cue | MarkerKind::Heading => read(markers::line(marker.text)),
        });
        stated
            .chain(unmarked(completion).map(read))
            .find(|answer| !answer.is_invalid())
            .unwrap_or(Answer::Invalid)
    }

    /// What the last statement says whose end, as the grammar has it, is in the text.
    fn extract_cut(&self, text: &str, choices: Option<&Choices>) -> Answer {
        let closed = |marker: &Marker<'_>| {
            is_enclosed(marker.kind) || answer_part(marker.text).len() < marker.text.len()
        };
        let stated = markers::last_first(text).into_iter().filter(closed);
        stated
            .map(|marker| match marker.kind {
                MarkerKind::Boxed => self.canonical(marker.text, choices),
                _ => self.canonical(answer_of(answer_part(marker.text)), choices),
            })
            .find(|answer| !answer.is_invalid())
            .unwrap_or(Answer::Invalid)
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        let text = answer_part(surface);
        if text.len() > LONGEST_ANSWER {
            return Answer::Invalid;
        }
        let number = number::alone(text, self.mark);
        let value = match number {
            Some(value) if self.grouped => number::grouped(&value),
            Some(value) => value,
            None => {
                latex::normalise(text).filter(|value| !value.is_empty()).unwrap_or_else(|| normalise(text))
            }
        };
        if value.is_empty() { Answer::Invalid } else { Answer::Value(value) }
    }

    fn surface_forms(&self, answer: &Answer, _: Option<&Choices>) -> Vec<String> {
        let Some(value) = answer.value() else { return Vec::new() };
        let mut characters = value.chars();
        let capital: String =
            characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect();
        let mut forms = vec![
            format!(" {value}"),
            format!(" {capital}"),
            format!(" the {value}"),
            format!(" **{capital}"),
        ];
        forms.dedup();
        forms.retain(|form| self.canonical(form, None) == *answer);
        forms
    }

    fn grammar(&self, _: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(TextGrammar)
    }
}

fn is_enclosed(kind: MarkerKind) -> bool {
    matches!(kind, MarkerKind::Boxed | MarkerKind::Tagged | MarkerKind::Before)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static CONCLUDES: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^\W*(?:(?:so|thus|therefore|hence|then|and|clearly|we see that|it follows that)\b[\s,]*)+")
});
/// Text in bold, alone or with a reason after it.
static BOLD: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*\*\*([^*]+)\*\*(?:\s*$|\s*[,.;:(—–-]|\s+(?:is|are|was|were)\b)"));
/// A reason or remark after an answer.
static REASON: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix) \s* [,;:(*_]* \s* \b (?: because | since | given\s+that | due\s+to | as\s+(?:it|they|he|she|there|this|that|the\s+\w+|\p{L}+|\d+)\s+(?:is|are|was|were|has|have|does|do|can|will)\b ) | ; \s | \s [—–-] \s | \s \( [^()]*\s[^()]* \) [\s.]* $",
    )
});
static YES_OR_NO: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^[\s*_\x22'“]*(?:(?:so|thus|therefore|hence)\b,?\s+)?(yes|no|true|false)\b[*_\x22'”]*\s*(?:[,.;:(—–-]|$)",
    )
});

/// The answer in the text of a statement, without the reason that follows it.
fn answer_of(text: &str) -> &str {
    let text = text.trim();
    if let Some(found) = YES_OR_NO.captures(text).and_then(|found| found.get(1)) {
        return found.as_str();
    }
    if let Some(bold) = BOLD.captures(text).and_then(|found| found.get(1)) {
        return bold.as_str();
    }
    match REASON.find(text).filter(|reason| text[..reason.start()].contains(char::is_alphanumeric)) {
        Some(reason) => &text[..reason.start()],
        None => text,
    }
}

/// Where a completion without markers may have its answer, the likeliest place first.
fn unmarked(completion: &str) -> impl Iterator<Item = &str> {
    let mut lines = completion.lines().filter(|line| !normalise(line).is_empty());
    let first = lines.next();
    let last = lines.next_back();
    let alone = first.filter(|line| {
        let bold = BOLD
            .captures(line)
            .and_then(|found| found.get(0))
            .is_some_and(|hit| hit.len() == line.trim_end().len());
        let yes_or_no = YES_OR_NO.find(line).is_some_and(|hit| hit.len() == line.trim_end().len());
        last.is_some_and(|last| !BOLD.is_match(last) && !YES_OR_NO.is_match(last)) && (bold || yes_or_no)
    });
    let explained = || {
        let short = first.filter(|line| line.split_whitespace().count() <= MAX_SHORT_ANSWER)?;
        let (_, rest) = completion.split_once(short)?;
        EXPLAINS.is_match(rest).then_some(short)
    };
    alone.or_else(explained).into_iter().chain(last).chain(first)
}

/// Most words of an answer on the first line.
const MAX_SHORT_ANSWER: usize = 4;
/// What shows that the lines after an answer explain it.
static EXPLAINS: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)^\s*\n\W*(?:it is|it's|this is|that is|because|since|explanation|reason|here is why)\b")
});

/// Most bytes of a text that is an answer.
const LONGEST_ANSWER: usize = 1 << 12;

/// Lower case, folded white space, no articles, no punctuation at either end. Empty if nothing is left, or if it is no answer but a treatise.
pub(crate) fn normalise(text: &str) -> String {
    if text.len() > LONGEST_ANSWER {
        return String::new();
    }
    let mut value: String = text.to_lowercase().nfc().collect();
    loop {
        let next = without_articles(without_edges(&value));
        if next == value {
            return value;
        }
        value = next;
    }
}

/// Without what belongs to no answer at its ends. Of brackets these are such as stand alone, and those around the whole.
fn without_edges(text: &str) -> &str {
    let text = text.trim_matches(is_punctuation);
    let Some(first) = text.chars().next() else { return text };
    if let Some(close) = partner(first) {
        let inside = &text[first.len_utf8()..];
        return match closing(inside, first, close) {
            None => without_edges(inside),
            Some(at) if at + close.len_utf8() == inside.len() => without_edges(&inside[..at]),
            Some(_) => text,
        };
    }
    match text.chars().next_back() {
        Some(last) if is_bracket(last) && !is_balanced(text) => {
            without_edges(&text[..text.len() - last.len_utf8()])
        }
        _ => text,
    }
}

fn partner(open: char) -> Option<char> {
    match open {
        '(' => Some(')'),
        '[' => Some(']'),
        '{' => Some('}'),
        _ => None,
    }
}

/// Where the bracket closes that was opened before the text.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn is_balanced(text: &str) -> bool {
    [('(', ')'), ('[', ']'), ('{', '}')]
        .iter()
        .all(|(open, close)| text.matches(*open).count() >= text.matches(*close).count())
}

fn without_articles(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let without: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "a" | "an" | "the")).collect();
    if without.is_empty() { words.join(" ") } else { without.join(" ") }
}

fn is_bracket(c: char) -> bool {
    matches!(c, '(' | ')' | '[' | ']' | '{' | '}')
}

/// What may stand before an answer without belonging to it.
fn is_edge(c: char) -> bool {
    is_punctuation(c) || is_bracket(c)
}

/// White space, quotes, emphasis and punctuation, which belong to no answer at its ends.
fn is_punctuation(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '.' | ','
                | ';'
                | ':'
                | '!'
                | '?'
                | '"'
                | '\''
                | '`'
                | '“'
                | '”'
                | '‘'
                | '’'
                | '*'
                | '_'
                | '#'
                | '='
                | '$'
                | '。'
        )
}

/// The part of the text that the grammar takes for the answer.
fn answer_part(text: &str) -> &str {
    let mut state = TextGrammar.start();
    for (at, c) in text.char_indices() {
        state = TextGrammar.step(state, c);
        if TextGrammar.verdict(state) == Verdict::Closed {
            return &text[..at];
        }
    }
    text
}

/// States: nothing yet; inside a word of 0, 1, 2, 3 or more letters; after a mark that ends a sentence; closed.
#[derive(Debug, Clone, Copy)]
struct TextGrammar;

impl TextGrammar {
    const LEAD: u32 = 0;
    const BETWEEN: u32 = 1;
    const LONG_WORD: u32 = 4;
    const STOP: u32 = 5;
    const CLOSED: u32 = 6;
}

impl AnswerGrammar for TextGrammar {
    fn start(&self) -> GrammarState {
        GrammarState(Self::LEAD)
    }

    fn step(&self, GrammarState(state): GrammarState, c: char) -> GrammarState {
        let word = (Self::BETWEEN..=Self::LONG_WORD).contains(&state);
        GrammarState(match c {
            _ if state == Self::CLOSED => Self::CLOSED,
            _ if state == Self::LEAD && is_edge(c) => Self::LEAD,
            '\n' | '\r' => Self::CLOSED,
            _ if state == Self::STOP && c.is_whitespace() => Self::CLOSED,
            '.' | '!' | '?' if state == Self::LONG_WORD => Self::STOP,
            _ if c.is_alphanumeric() && word => (state + 1).min(Self::LONG_WORD),
            _ if c.is_alphanumeric() => Self::BETWEEN + 1,
            _ => Self::BETWEEN,
        })
    }

    fn verdict(&self, GrammarState(state): GrammarState) -> Verdict {
        match state {
            Self::LEAD => Verdict::Open,
            Self::CLOSED => Verdict::Closed,
            _ => Verdict::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        TextFormat::default().canonical(text, None).name().to_string()
    }

    #[test]
    fn canonical_forms() {
        for (text, expected) in [
            ("The  Eiffel\tTower.", "eiffel tower"),
            ("  **Paris**", "paris"),
            ("\"dry air\"", "dry air"),
            ("a", "a"),
            ("The", "the"),
            ("an apple and the pear", "apple and pear"),
            ("3.5 km", "3.5 km"),
            ("Paris. It is in France.", "paris"),
            ("Dr. Who\nand more", "dr. who"),
            ("U.S. dollars", "u.s. dollars"),
            ("[invalid]", "invalid"),
            ("...", Answer::INVALID_NAME),
            ("", Answer::INVALID_NAME),
        ] {
            assert_eq!(canonical(text), expected, "{text:?}");
        }
    }

    #[test]
    fn extraction_reads_the_last_marker_or_the_last_line() {
        let extract = |text: &str| TextFormat::default().extract(text, None).name().to_string();
        assert_eq!(extract("The answer is London. No, the answer is **Paris**."), "paris");
        assert_eq!(extract("Answer:\nthe Seine\nmore"), "seine");
        assert_eq!(extract("So \\boxed{\\alpha}"), "\\alpha");
        assert_eq!(extract("It flows\nThe Seine.\n\n"), "seine");
        assert_eq!(extract("The answer is Paris. I am sure this answer is correct."), "paris");
        assert_eq!(extract("Is it so? The answer is correct."), "correct");
        assert_eq!(extract("\n."), Answer::INVALID_NAME);
    }

    #[test]
    fn of_a_cut_completion_only_closed_statements_are_read() {
        let extract = |text: &str| TextFormat::default().extract_cut(text, None).name().to_string();
        assert_eq!(extract("The answer is London. No, the answer is the Sei"), "london");
        assert_eq!(extract("The answer is Dr. Who"), Answer::INVALID_NAME);
        assert_eq!(extract("The answer is Dr. Who\n"), "dr. who");
        assert_eq!(extract("Answer:\n**the Seine** \nIt"), "seine");
        assert_eq!(extract("So \\boxed{\\alpha}"), "\\alpha");
        assert_eq!(extract("It flows\nThe Seine.\n\n"), Answer::INVALID_NAME);
    }

    #[test]
    fn surface_forms_read_as_their_answer() {
        let answer = Answer::Value("eiffel tower".into());
        let forms = TextFormat::default().surface_forms(&answer, None);
        assert_eq!(forms, [" eiffel tower", " Eiffel tower", " the eiffel tower", " **Eiffel tower"]);
        assert!(TextFormat::default().surface_forms(&Answer::Invalid, None).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_grammar_and_the_canonical_form_agree(text in "[ a-dT.!?\n*\"(é1\\pC]{0,20}", tail in ".{0,8}") {
            let mut state = TextGrammar.start();
            for (at, c) in text.char_indices() {
                state = TextGrammar.step(state, c);
                let so_far = &text[..at + c.len_utf8()];
                match TextGrammar.verdict(state) {
                    Verdict::Complete => prop_assert!(canonical(so_far) != Answer::INVALID_NAME, "{so_far:?}"),
                    Verdict::Closed => {
                        prop_assert_eq!(canonical(so_far), canonical(&text[..at]));
                        prop_assert_eq!(canonical(&format!("{so_far}{tail}")), canonical(&text[..at]));
                        break;
                    }
                    _ => prop_assert_eq!(canonical(so_far), Answer::INVALID_NAME),
                }
            }
        }

        #[test]
        fn normalising_twice_changes_nothing(text in ".{0,30}") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }
    }
}
