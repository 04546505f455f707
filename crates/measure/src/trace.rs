//! One recorded reasoning trace: its tokens, its text and how the two line up.
//!
//! A trace is the reasoning part of a completion. It is recorded once, as tokens, and never tokenised again: a prefix is a number
//! of these tokens. `token_ends[i]` is the number of bytes of `text` that the tokens `0..=i` cover; where a character is spread
//! over several tokens, the bytes count from the token that completes it.

/// A token's number in the model's vocabulary.
pub type TokenId = u32;

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The model ended its turn, or a stop string was reached.
    Stop,
    /// The limit on new tokens, or the context, was reached.
    Length,
    /// The trace was recorded elsewhere.
    Imported,
    /// A stopping rule ended it, and the answer is that of the belief there.
    Rule,
    /// A stopping rule gave it up without an answer.
    GaveUp,
}

impl StopReason {
    /// Whether a stopping rule ended the trace, which would have gone on.
    pub fn is_by_rule(self) -> bool {
        matches!(self, Self::Rule | Self::GaveUp)
    }

    /// The name used in files, as OpenAI and vLLM write those that they know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Imported => "imported",
            Self::Rule => "rule",
            Self::GaveUp => "gave-up",
        }
    }
}

/// A reasoning trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    text: String,
    token_ids: Vec<TokenId>,
    token_ends: Vec<usize>,
}

/// Why tokens and text do not line up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATrace {
    /// There are not as many ends as tokens.
    #[error("{tokens} tokens but {ends} token ends")]
    Uneven {
        /// Number of tokens.
        tokens: usize,
        /// Number of ends.
        ends: usize,
    },
    /// An end goes backwards, past the text, or into a character.
    #[error("the end of token {index} ({end}) does not fit the text of {len} bytes")]
    BadEnd {
        /// Position of the token.
        index: usize,
        /// Its end.
        end: usize,
        /// Length of the text in bytes.
        len: usize,
    },
}

impl Trace {
    /// Checks that the ends never fall, stay within the text and lie between characters.
    pub fn new(text: String, token_ids: Vec<TokenId>, token_ends: Vec<usize>) -> Result<Self, NotATrace> {
        if token_ids.len() != token_ends.len() {
            return Err(NotATrace::Uneven { tokens: token_ids.len(), ends: token_ends.len() });
        }
        let mut last = 0;
        for (index, &end) in token_ends.iter().enumerate() {
            if end < last || !text.is_char_boundary(end) {
                return Err(NotATrace::BadEnd { index, end, len: text.len() });
            }
            last = end;
        }
        Ok(Self { text, token_ids, token_ends })
    }

    /// The text of the trace.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tokens, `[T]`.
    pub fn token_ids(&self) -> &[TokenId] {
        &self.token_ids
    }

    /// For each token, the bytes of text covered up to and including it, `[T]`.
    pub fn token_ends(&self) -> &[usize] {
        &self.token_ends
    }

    /// Number of tokens T.
    pub fn len(&self) -> usize {
        self.token_ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.token_ids.is_empty()
    }

    /// The text that the first `n_tokens` tokens cover.
    pub fn text_of_prefix(&self, n_tokens: usize) -> &str {
        match n_tokens.checked_sub(1) {
            None => "",
            Some(last) => &self.text[..self.token_ends[last.min(self.len() - 1)]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_must_be_ordered_character_boundaries() {
        let text = "aé".to_string();
        assert!(Trace::new(text.clone(), vec![1, 2, 3], vec![1, 1, 3]).is_ok());
        assert!(matches!(
            Trace::new(text.clone(), vec![1, 2], vec![1, 2]),
            Err(NotATrace::BadEnd { index: 1, .. })
        ));
        assert!(matches!(Trace::new(text.clone(), vec![1, 2], vec![3, 1]), Err(NotATrace::BadEnd { .. })));
        assert!(matches!(Trace::new(text, vec![1], vec![]), Err(NotATrace::Uneven { .. })));
    }

    #[test]
    fn a_prefix_covers_the_text_of_its_tokens() {
        let trace = Trace::new("one two".into(), vec![1, 2], vec![3, 7]).unwrap();
        assert_eq!(trace.text_of_prefix(0), "");
        assert_eq!(trace.text_of_prefix(1), "one");
        assert_eq!(trace.text_of_prefix(2), "one two");
    }
}
