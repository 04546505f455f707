//! Answers in canonical form, and how text is read as one.
//!
//! Two answers are one outcome exactly when their canonical forms are equal. What no answer can be read from is `Answer::Invalid`,
//! an outcome of its own, never silently wrong.
//!
//! `AnswerFormat` is what a benchmark knows about its answers: how the final answer is found in a whole completion (`extract`) and in one
//! that was cut (`extract_cut`), how one string is brought to canonical form (`canonical`), which surface strings stand for an answer
//! (`surface_forms`), and the grammar of an answer string that follows an answer cue (`grammar`). The implementations are beside the
//! benchmarks.
//!
//! A grammar is a small automaton over characters. It lets the estimator `enumerate` sort every token of the vocabulary in one
//! look: given the state that the answer string has reached, a token closes the answer, extends it, or leaves the grammar. After
//! the cue `The answer is`, the string ` 18.5` is open (a digit may follow), ` 18 ` is closed with answer 18, and ` because` has
//! left the grammar: the model declined to answer.

use crate::question::Choices;

/// A canonical answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// A value in canonical form, such as `18` or `B`.
    Value(String),
    /// Nothing that can be read as an answer.
    Invalid,
}

impl Answer {
    /// The name of `Invalid` in files; no canonical form is spelled so.
    pub const INVALID_NAME: &'static str = "[invalid]";

    /// The canonical value; `None` for `Invalid`.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Invalid => None,
        }
    }

    /// The canonical value, or the name of `Invalid`.
    pub fn name(&self) -> &str {
        self.value().unwrap_or(Self::INVALID_NAME)
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Self {
        if name == Self::INVALID_NAME { Self::Invalid } else { Self::Value(name.to_string()) }
    }

    /// Whether no answer could be read.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid)
    }
}

/// A state of an [`AnswerGrammar`]. What may follow depends on the state alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrammarState(pub u32);

/// What a state means for the answer string that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No answer yet; one may follow. If the text ends here there is none.
    Open,
    /// A complete answer if the text ends here; more characters may change it.
    Complete,
    /// An answer that nothing after it can change.
    Closed,
    /// Not an answer, whatever follows.
    Invalid,
}

/// An automaton over the characters that follow an answer cue. `Closed` and `Invalid` states are absorbing.
pub trait AnswerGrammar: Send + Sync {
    /// The state before the first character.
    fn start(&self) -> GrammarState;
    /// The state after one more character.
    fn step(&self, state: GrammarState, character: char) -> GrammarState;
    /// What the state means.
    fn verdict(&self, state: GrammarState) -> Verdict;

    /// The state after all characters of `text`; stops early at absorbing states.
    fn walk(&self, mut state: GrammarState, text: &str) -> GrammarState {
        for character in text.chars() {
            if matches!(self.verdict(state), Verdict::Closed | Verdict::Invalid) {
                break;
            }
            state = self.step(state, character);
        }
        state
    }
}

/// What a benchmark knows about its answers.
pub trait AnswerFormat: Send + Sync {
    /// A short name such as `number`, recorded with a run.
    fn name(&self) -> &'static str;

    /// The final answer stated in a whole completion; `Invalid` if there is none.
    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer;

    /// The final answer of a text that the limit on tokens cut: the last one that is stated in so many words (`#### 42`, `the answer
    /// is ..`, a box) in a statement that ends before the text does. What is at the cut may be half a number or half a sum, so
    /// that neither it nor the last number or line of the text is an answer. A format that cannot tell closed statements reads none.
    fn extract_cut(&self, _text: &str, _choices: Option<&Choices>) -> Answer {
        Answer::Invalid
    }

    /// The canonical form of one answer string, such as a target of the benchmark or the text that a grammar accepted.
    fn canonical(&self, surface: &str, choices: Option<&Choices>) -> Answer;

    /// Strings that a model is likely to write for this answer after a cue, each with a leading space; the most usual first.
    /// Each of them reads as `answer` through `canonical`.
    fn surface_forms(&self, answer: &Answer, choices: Option<&Choices>) -> Vec<String>;

    /// The grammar of answer strings.
    fn grammar(&self, choices: Option<&Choices>) -> Box<dyn AnswerGrammar>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for answer in [Answer::Value("18".into()), Answer::Value(String::new()), Answer::Invalid] {
            assert_eq!(Answer::from_name(answer.name()), answer);
        }
    }
}
