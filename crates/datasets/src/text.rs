//! Free-text answers: canonical form, grammar, extraction.
//!
//! The canonical form is lower-cased, with white space folded, the articles `a`, `an`, `the` dropped, and quotes, brackets and
//! punctuation at either end dropped. This is the normalisation of SQuAD (Rajpurkar et al. 2016, the official evaluation
//! script), except that punctuation inside stays: `3.5` and `35`, `re-sent` and `resent` are different answers. Articles stay
//! where nothing else would be left.
//!
//! An answer ends with its line, or with its sentence: at `.`, `!` or `?` before a space, after a word of three or more letters
//! or digits, so that `Dr. Who`, `J. Bell` and `U.S. dollars` are not cut. What follows is not part of the answer, in targets
//! as in completions. Two texts that mean the same in other words are two answers here.

use entrace_measure::{Answer, AnswerFormat, AnswerGrammar, Choices, GrammarState, Verdict};

use crate::markers::{self, Marker, MarkerKind};

/// The format of free-text answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextFormat;

impl AnswerFormat for TextFormat {
    fn name(&self) -> &'static str {
        "text"
    }

    /// What the last marker states; without a marker the last line that is not empty.
    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer {
        let stated = markers::last_first(completion).into_iter().map(|marker| match marker.kind {
            MarkerKind::Boxed => marker.text,
            MarkerKind::Hashes | MarkerKind::Cue | MarkerKind::Heading => markers::line(marker.text),
        });
        let last_line = completion.lines().rev().find(|line| !normalise(line).is_empty());
        stated
            .chain(last_line)
            .map(|text| self.canonical(text, choices))
            .find(|answer| !answer.is_invalid())
            .unwrap_or(Answer::Invalid)
    }

    /// What the last statement says whose end, as the grammar has it, is in the text.
    fn extract_cut(&self, text: &str, choices: Option<&Choices>) -> Answer {
        let closed = |marker: &Marker<'_>| {
            marker.kind == MarkerKind::Boxed || answer_part(marker.text).len() < marker.text.len()
        };
        let stated = markers::last_first(text).into_iter().filter(closed);
        stated
            .map(|marker| self.canonical(marker.text, choices))
            .find(|answer| !answer.is_invalid())
            .unwrap_or(Answer::Invalid)
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        let value = normalise(answer_part(surface));
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

/// Lower case, folded white space, no articles, no punctuation at either end. Empty if nothing is left.
pub(crate) fn normalise(text: &str) -> String {
    let mut value = text.to_lowercase();
    loop {
        let next = without_articles(value.trim_matches(is_edge));
        if next == value {
            return value;
        }
        value = next;
    }
}

fn without_articles(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let without: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "a" | "an" | "the")).collect();
    if without.is_empty() { words.join(" ") } else { without.join(" ") }
}

/// White space, quotes, brackets, emphasis and punctuation, which belong to no answer at its ends.
fn is_edge(c: char) -> bool {
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
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '*'
                | '_'
                | '#'
                | '='
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
        TextFormat.canonical(text, None).name().to_string()
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
        let extract = |text: &str| TextFormat.extract(text, None).name().to_string();
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
        let extract = |text: &str| TextFormat.extract_cut(text, None).name().to_string();
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
        let forms = TextFormat.surface_forms(&answer, None);
        assert_eq!(forms, [" eiffel tower", " Eiffel tower", " the eiffel tower", " **Eiffel tower"]);
        assert!(TextFormat.surface_forms(&Answer::Invalid, None).is_empty());
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
