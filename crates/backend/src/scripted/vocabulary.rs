//! A vocabulary of text pieces and a few special tokens.
//!
//! Text is cut from left to right into the longest pieces that fit. The special tokens come first; after them stand the pieces in the
//! order given, and where there are roles a last piece U+FFFD that stands for every character that no piece covers.

use crate::generate::stream_seed;
use crate::{Decoded, Error, Role};
use entrace_measure::TokenId;

/// A token that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialToken {
    /// Ends a turn.
    End,
    /// Begins every prompt.
    Begin,
    /// A system message follows.
    System,
    /// A user message follows.
    User,
    /// The model's turn follows.
    Assistant,
}

impl SpecialToken {
    const ALL: [Self; 5] = [Self::End, Self::Begin, Self::System, Self::User, Self::Assistant];

    /// How it is spelled in prompts.
    pub fn text(self) -> &'static str {
        match self {
            Self::End => "<|end|>",
            Self::Begin => "<|begin|>",
            Self::System => "<|system|>",
            Self::User => "<|user|>",
            Self::Assistant => "<|assistant|>",
        }
    }

    pub(super) fn of_role(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
        }
    }
}

/// Tokens and their texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    special: &'static [SpecialToken],
    pieces: Vec<String>,
    has_unknown: bool,
}

const UNKNOWN: &str = "\u{fffd}";

impl Vocabulary {
    /// All special tokens, the given pieces, and one for what they do not cover.
    pub fn chat<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = owned(pieces);
        all.push(UNKNOWN.into());
        Self { special: &SpecialToken::ALL, pieces: all, has_unknown: true }
    }

    /// The end token and the given pieces: no chat template, no beginning token, and other text cannot be encoded. Small enough to
    /// list every string.
    pub fn bare<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        Self { special: &SpecialToken::ALL[..1], pieces: owned(pieces), has_unknown: false }
    }

    /// Printable ASCII characters and the line break, one token each, with all special tokens.
    pub fn ascii() -> Self {
        let characters: Vec<String> = (' '..='~').chain(['\n']).map(String::from).collect();
        Self::chat(characters.iter().map(String::as_str))
    }

    /// Number of tokens V.
    pub fn len(&self) -> usize {
        self.special.len() + self.pieces.len()
    }

    /// Whether there is no token; never the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token that ends a turn.
    pub fn end(&self) -> TokenId {
        0
    }

    /// A special token, if the vocabulary has it.
    pub fn special(&self, token: SpecialToken) -> Option<TokenId> {
        Some(self.special.iter().position(|&t| t == token)? as TokenId)
    }

    /// Whether it has the tokens that a conversation needs.
    pub fn has_roles(&self) -> bool {
        self.special(SpecialToken::Assistant).is_some()
    }

    /// Text of a token; empty for special tokens and for numbers that are no token.
    pub fn token_text(&self, token: TokenId) -> &str {
        (token as usize).checked_sub(self.special.len()).and_then(|i| self.pieces.get(i)).map_or("", |p| p)
    }

    /// How a token is spelled in prompts: its text, or the name of a special token.
    pub fn spelling(&self, token: TokenId) -> &str {
        match self.special.get(token as usize) {
            Some(special) => special.text(),
            None => self.token_text(token),
        }
    }

    /// Tokens of text; nothing in it becomes a special token.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let fitting = (0..self.pieces.len()).filter(|&i| rest.starts_with(self.pieces[i].as_str()));
            let (piece, length) = match fitting.max_by_key(|&i| self.pieces[i].len()) {
                Some(piece) => (piece, self.pieces[piece].len()),
                None if self.has_unknown => (self.pieces.len() - 1, character.len_utf8()),
                None => return Err(Error::engine(format!("no token covers {character:?}"))),
            };
            tokens.push((self.special.len() + piece) as TokenId);
            rest = &rest[length..];
        }
        Ok(tokens)
    }

    /// Tokens of a prompt in which special tokens may be spelled.
    pub(super) fn encode_with_special(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        let mut tokens = Vec::new();
        let mut rest = text;
        loop {
            let found = self.special.iter().enumerate().filter_map(|(i, s)| Some((rest.find(s.text())?, i)));
            let Some((at, special)) = found.min() else {
                tokens.extend(self.encode(rest)?);
                return Ok(tokens);
            };
            tokens.extend(self.encode(&rest[..at])?);
            tokens.push(special as TokenId);
            rest = &rest[at + self.special[special].text().len()..];
        }
    }

    /// Text of tokens.
    pub fn decode(&self, tokens: &[TokenId]) -> Decoded {
        let mut decoded = Decoded::default();
        for &token in tokens {
            decoded.text += self.token_text(token);
            decoded.token_ends.push(decoded.text.len());
        }
        decoded
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let pieces: Vec<&str> = self.pieces.iter().map(String::as_str).collect();
        stream_seed(self.special.len() as u64, &pieces)
    }
}

fn owned<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    pieces.into_iter().filter(|piece| !piece.is_empty()).map(str::to_string).collect()
}
