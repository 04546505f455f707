//! Tokens back to text.
//!
//! Every token is a fixed string of bytes, and the text of a token sequence is the concatenation of its bytes read as UTF-8. A
//! sequence that is not valid UTF-8 shows U+FFFD once for each maximal invalid part, as `String::from_utf8_lossy` does; a
//! character whose bytes are still incomplete is held back until it is decided. Decoding token by token therefore gives the
//! same text as decoding all at once.
//!
//! Byte-level vocabularies spell bytes in GPT-2's printable alphabet; a token with a character outside that alphabet stands for
//! itself. SentencePiece vocabularies spell a space as U+2581 and single bytes as `<0xE4>`.
//!
//! Two differences from transformers, both on purpose. A run of byte tokens that is not valid UTF-8 keeps its valid part, where
//! the `ByteFallback` decoder replaces every byte of the run. Spaces before punctuation are never cleaned up, even where
//! `clean_up_tokenization_spaces` asks for it, because text would then lose its relation to tokens.

use std::collections::HashMap;

use serde_json::Value;

use super::error::TokenizerError;

/// Whether special tokens appear in decoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpecialTokens {
    /// They are left out and cover no bytes, but for those that [`super::Tokenizer::spell_out`] names.
    #[default]
    Skip,
    /// They are spelled out.
    Keep,
}

/// Where decoded tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextStart {
    /// They continue other text: a leading space is kept.
    #[default]
    Continuation,
    /// They begin a text: the space that a SentencePiece tokenizer puts in front of a text is removed again.
    Beginning,
}

/// The bytes of every token, by id.
#[derive(Debug)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    special: Vec<bool>,
    /// Special tokens that text shows all the same.
    spelled_out: Vec<u32>,
    strips_leading_space: bool,
}

impl Pieces {
    /// `strings[id]` is the token as the vocabulary spells it; `None` for ids without a token.
    pub(super) fn new(strings: &[Option<String>], special: Vec<bool>, spelling: &Spelling) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(strings.len());
        for string in strings {
            if let Some(string) = string {
                spelling.append_bytes(string, &mut bytes);
            }
            ends.push(bytes.len());
        }
        let strips_leading_space = spelling.strips_leading_space();
        Self { bytes, ends, special, spelled_out: Vec::new(), strips_leading_space }
    }

    pub(super) fn spell_out(&mut self, ids: &[u32]) {
        self.spelled_out = ids.to_vec();
    }

    pub(super) fn is_spelled_out(&self, id: u32) -> bool {
        self.spelled_out.contains(&id)
    }

    /// Whether text is without the token: it is special and not spelled out.
    pub(super) fn is_left_out(&self, id: u32) -> bool {
        self.is_special(id) && !self.is_spelled_out(id)
    }

    /// Number of ids, counting ids without a token below the highest one.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the longest token.
    pub(super) fn max_bytes(&self) -> usize {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(starts).map(|(end, start)| end - start).max().unwrap_or(0)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// Bytes of a token; empty for an unknown id.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }
}

/// Decodes a growing token sequence.
#[derive(Debug, Clone)]
pub struct DecodeStream<'a> {
    pieces: &'a Pieces,
    special: SpecialTokens,
    strip_space: bool,
    pending: Vec<u8>,
}

impl<'a> DecodeStream<'a> {
    pub(super) fn new(pieces: &'a Pieces, special: SpecialTokens, start: TextStart) -> Self {
        let strip_space = pieces.strips_leading_space && start == TextStart::Beginning;
        Self { pieces, special, strip_space, pending: Vec::new() }
    }

    /// Takes the next token and returns the text that is now decided, without a character that is still incomplete.
    pub fn push(&mut self, id: u32) -> String {
        let mut text = String::new();
        self.push_onto(id, &mut text);
        text
    }

    /// Ends the sequence: the bytes of an incomplete last character become U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }

    pub(super) fn push_onto(&mut self, id: u32, text: &mut String) {
        if self.special == SpecialTokens::Skip && self.pieces.is_left_out(id) {
            return;
        }
        let mut bytes = self.pieces.bytes(id);
        if self.strip_space && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.strip_space = false;
        }
        self.pending.extend_from_slice(bytes);
        let decided = self.pending.len() - incomplete_tail(&self.pending);
        text.push_str(&String::from_utf8_lossy(&self.pending[..decided]));
        self.pending.drain(..decided);
    }
}

/// Length of the last character's bytes if more must follow, else 0.
fn incomplete_tail(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none()) => {
            chunk.invalid().len()
        }
        _ => 0,
    }
}

/// How a vocabulary spells bytes.
#[derive(Debug)]
pub(super) enum Spelling {
    /// GPT-2's printable stand-in for each byte.
    ByteLevel(HashMap<char, u8>),
    /// Text with replacements (U+2581 for a space) and, where `byte_tokens`, `<0xE4>` for a byte.
    Pieces { replacements: Vec<(String, String)>, byte_tokens: bool, strips_leading_space: bool },
}

impl Spelling {
    /// Reads the `decoder` of a tokenizer definition.
    pub(super) fn from_decoder(decoder: &Value) -> Result<Self, TokenizerError> {
        let mut spelling =
            Self::Pieces { replacements: Vec::new(), byte_tokens: false, strips_leading_space: false };
        spelling.add_step(decoder)?;
        Ok(spelling)
    }

    fn add_step(&mut self, decoder: &Value) -> Result<(), TokenizerError> {
        let kind = decoder["type"].as_str().unwrap_or("none");
        let text = |key: &str| decoder[key].as_str().unwrap_or_default().to_owned();
        match (kind, &mut *self) {
            ("Sequence", _) => {
                for step in decoder["decoders"].as_array().into_iter().flatten() {
                    self.add_step(step)?;
                }
            }
            ("ByteLevel", spelling) => *spelling = Self::ByteLevel(byte_of_char()),
            ("ByteFallback", Self::Pieces { byte_tokens, .. }) => *byte_tokens = true,
            ("Fuse", _) => {}
            ("Replace", Self::Pieces { replacements, .. }) => {
                let from =
                    decoder["pattern"]["String"].as_str().ok_or_else(|| unsupported("Replace by Regex"))?;
                replacements.push((from.to_owned(), text("content")));
            }
            ("Strip", Self::Pieces { strips_leading_space, .. }) => {
                if text("content") != " " || decoder["start"] != 1 || decoder["stop"] != 0 {
                    return Err(unsupported("Strip of anything but one leading space"));
                }
                *strips_leading_space = true;
            }
            ("Metaspace", Self::Pieces { replacements, strips_leading_space, .. }) => {
                replacements.push((text("replacement"), " ".to_owned()));
                *strips_leading_space = decoder["prepend_scheme"] != "never";
            }
            _ => return Err(unsupported(kind)),
        }
        Ok(())
    }

    fn strips_leading_space(&self) -> bool {
        matches!(self, Self::Pieces { strips_leading_space: true, .. })
    }

    fn append_bytes(&self, string: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::ByteLevel(byte_of) => {
                let start = bytes.len();
                for c in string.chars() {
                    let Some(&byte) = byte_of.get(&c) else {
                        bytes.truncate(start);
                        bytes.extend_from_slice(string.as_bytes());
                        return;
                    };
                    bytes.push(byte);
                }
            }
            Self::Pieces { byte_tokens: true, .. } if byte_token(string).is_some() => {
                bytes.extend(byte_token(string))
            }
            Self::Pieces { replacements, .. } => {
                let text =
                    replacements.iter().fold(string.to_owned(), |text, (from, to)| text.replace(from, to));
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn unsupported(kind: &str) -> TokenizerError {
    TokenizerError::UnsupportedDecoder { kind: kind.to_owned() }
}

/// The byte of a token spelled `<0xE4>`.
fn byte_token(string: &str) -> Option<u8> {
    let digits = string.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// GPT-2's alphabet: printable Latin-1 characters stand for their own byte, the other bytes take U+0100 onwards in order.
pub(super) fn char_of_byte() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let code = match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte as u32,
            _ => {
                next += 1;
                next - 1
            }
        };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

fn byte_of_char() -> HashMap<char, u8> {
    char_of_byte().into_iter().zip(0..=255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sentencepiece(strings: &[&str]) -> Pieces {
        let decoder = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]});
        let strings: Vec<_> = strings.iter().map(|s| Some(s.to_string())).collect();
        let special = strings.iter().map(|s| s.as_deref() == Some("<s>")).collect();
        Pieces::new(&strings, special, &Spelling::from_decoder(&decoder).unwrap())
    }

    fn decode(pieces: &Pieces, ids: &[u32], start: TextStart) -> (Vec<String>, String) {
        let mut stream = DecodeStream::new(pieces, SpecialTokens::Skip, start);
        let parts = ids.iter().map(|&id| stream.push(id)).collect();
        (parts, stream.finish())
    }

    #[test]
    fn byte_tokens_join_into_characters() {
        let pieces = sentencepiece(&["<s>", "▁a", "<0xE4>", "<0xBD>", "<0xA0>", "b"]);
        let (parts, rest) = decode(&pieces, &[0, 1, 2, 3, 4, 5], TextStart::Beginning);
        assert_eq!(parts, ["", "a", "", "", "你", "b"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn a_continuation_keeps_its_leading_space() {
        let pieces = sentencepiece(&["<s>", "▁a"]);
        assert_eq!(decode(&pieces, &[1, 1], TextStart::Continuation).0, [" a", " a"]);
        assert_eq!(decode(&pieces, &[0, 1, 1], TextStart::Beginning).0, ["", "a", " a"]);
    }

    #[test]
    fn invalid_bytes_become_one_replacement_per_part() {
        let pieces = sentencepiece(&["<0xE4>", "<0xBD>", "<0xFF>", "x"]);
        // Two bytes of a character, then a byte that cannot follow: the part is over.
        let (parts, rest) = decode(&pieces, &[0, 1, 2, 3], TextStart::Continuation);
        assert_eq!(parts, ["", "", "\u{fffd}\u{fffd}", "x"]);
        assert_eq!(rest, "");
        let (parts, rest) = decode(&pieces, &[3, 0, 1], TextStart::Continuation);
        assert_eq!((parts.concat().as_str(), rest.as_str()), ("x", "\u{fffd}"));
    }

    #[test]
    fn streaming_equals_decoding_at_once() {
        let all: Vec<String> = (0..=255u8).map(|b| format!("<0x{b:02X}>")).collect();
        let pieces = sentencepiece(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let mut state = 12345u32;
        for _ in 0..2000 {
            let ids: Vec<u32> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Mostly lead and continuation bytes, where the cases are.
                    0x70 + (state >> 24) % 0x90
                })
                .collect();
            let (parts, rest) = decode(&pieces, &ids, TextStart::Continuation);
            let bytes: Vec<u8> = ids.iter().map(|&id| id as u8).collect();
            assert_eq!(parts.concat() + &rest, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn byte_level_tokens_outside_the_alphabet_stand_for_themselves() {
        let strings = ["Ġa", "ä", "<｜x｜>", "  "].map(|s| Some(s.to_owned()));
        let spelling = Spelling::from_decoder(&json!({"type": "ByteLevel"})).unwrap();
        let pieces = Pieces::new(&strings, vec![false; 4], &spelling);
        let bytes: Vec<&[u8]> = (0..5).map(|id| pieces.bytes(id)).collect();
        assert_eq!(bytes, [b" a", b"\xe4".as_slice(), "<｜x｜>".as_bytes(), b"  ", b""]);
    }

    #[test]
    fn unknown_decoders_are_refused() {
        let error = Spelling::from_decoder(&json!({"type": "WordPiece", "prefix": "##"})).unwrap_err();
        assert!(error.to_string().contains("WordPiece"));
        assert!(Spelling::from_decoder(&Value::Null).is_err());
    }
}
