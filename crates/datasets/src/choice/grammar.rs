//! The automaton over the labels of a question's options.
//!
//! A lead-in, then a label letter by letter; a character that is no letter or digit, or one of a script without spaces, closes it. States are numbered by the
//! position of the first label that has the characters so far, and how many characters these are.

use entrace_measure::{AnswerGrammar, GrammarState, Verdict};

use crate::lead::{Command, Followed, Node, is_lead};

const LEAD: u32 = 0;
const CLOSED: u32 = 1;
const INVALID: u32 = 2;
/// First of the states inside a LaTeX command.
const COMMANDS: u32 = 3;
/// First of the states inside a label.
const LABELS: u32 = COMMANDS + Node::CODES;
/// Longest label, in characters, that the states can number.
const MAX_LABEL: u32 = 1 << 12;

/// The automaton of one question.
#[derive(Debug, Clone)]
pub(super) struct OptionGrammar {
    labels: Vec<Vec<char>>,
}

impl OptionGrammar {
    /// An automaton that accepts these labels; without labels it accepts nothing.
    pub(super) fn new(labels: &[String]) -> Self {
        Self {
            labels: labels.iter().map(|label| label.chars().take(MAX_LABEL as usize - 1).collect()).collect(),
        }
    }

    /// The state inside the first label that has `letters` and then `c`.
    fn label_state(&self, letters: &[char], c: char) -> Option<u32> {
        let goes_on =
            |label: &Vec<char>| label.strip_prefix(letters).is_some_and(|rest| rest.first() == Some(&c));
        let first = self.labels.iter().position(goes_on)?;
        Some(LABELS + first as u32 * MAX_LABEL + letters.len() as u32 + 1)
    }

    /// The characters of a label that led to the state.
    fn letters(&self, state: u32) -> &[char] {
        let place = state.saturating_sub(LABELS);
        let label = self.labels.get((place / MAX_LABEL) as usize);
        label.and_then(|label| label.get(..(place % MAX_LABEL) as usize)).unwrap_or_default()
    }

    /// Position of the label that the state has completed.
    fn completed(&self, state: u32) -> Option<usize> {
        let letters = self.letters(state);
        if state < LABELS { None } else { self.labels.iter().position(|label| label == letters) }
    }

    fn in_label(&self, state: u32, c: char) -> u32 {
        let letters = self.letters(state);
        match self.label_state(letters, c) {
            Some(longer) => longer,
            None if self.completed(state).is_some() && !joins(c) => CLOSED,
            None => INVALID,
        }
    }
}

/// Whether a label does not end before the character. Scripts that set no spaces between words write on right after it.
fn joins(c: char) -> bool {
    let without_spaces = matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    c.is_alphanumeric() && !without_spaces
}

impl AnswerGrammar for OptionGrammar {
    fn start(&self) -> GrammarState {
        GrammarState(LEAD)
    }

    fn step(&self, GrammarState(state): GrammarState, c: char) -> GrammarState {
        GrammarState(match state {
            LEAD => match self.label_state(&[], c) {
                Some(label) => label,
                None if c == '\\' => COMMANDS + Node::root().code(),
                None if is_lead(c) => LEAD,
                None => INVALID,
            },
            CLOSED | INVALID => state,
            LABELS.. => self.in_label(state, c),
            _ => match Node::from_code(state - COMMANDS).follow(c) {
                Followed::Inside(node) => COMMANDS + node.code(),
                Followed::Whole(Command::Wrapper) => LEAD,
                Followed::Whole(Command::Fraction) | Followed::Unknown => INVALID,
            },
        })
    }

    fn verdict(&self, GrammarState(state): GrammarState) -> Verdict {
        match state {
            CLOSED => Verdict::Closed,
            INVALID => Verdict::Invalid,
            _ if self.completed(state).is_some() => Verdict::Complete,
            _ => Verdict::Open,
        }
    }
}

/// A label found at the start of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    /// Position among the labels.
    pub(super) index: usize,
    /// Bytes up to the character that closed it, or up to the end of the string.
    pub(super) end: usize,
}

/// Reads the label at the start of `text`, after its lead-in.
pub(super) fn read_label(labels: &[String], text: &str) -> Option<Label> {
    let grammar = OptionGrammar::new(labels);
    let mut state = grammar.start();
    for (end, c) in text.char_indices() {
        let next = grammar.step(state, c);
        match grammar.verdict(next) {
            Verdict::Closed => return grammar.completed(state.0).map(|index| Label { index, end }),
            Verdict::Invalid => return None,
            Verdict::Open | Verdict::Complete => state = next,
        }
    }
    grammar.completed(state.0).map(|index| Label { index, end: text.len() })
}
