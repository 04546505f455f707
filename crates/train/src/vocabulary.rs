//! A small tokenizer from a list of pieces: words, single digits, punctuation, each with the space or line feed before it.
//!
//! Text is split into such parts (see `PARTS`), and a part that is no piece is cut into the fewest pieces there are (a unigram model in
//! which every piece costs the same). Single printable ASCII characters and the line feed are always pieces, so every ASCII text goes to
//! tokens and back unchanged; other characters become `<unk>`. A prompt begins with `<bos>`; `<eos>` ends a text.

use crate::checkpoint::TextFiles;
use crate::error::Error;
use crate::shape::VocabularyIds;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPECIAL: [&str; 3] = ["<unk>", "<bos>", "<eos>"];
/// Parts of a text: a run of letters, a digit or another character, with the space or line feed before it.
const PARTS: &str = r"[ \n]?(?:[A-Za-z]+|[0-9]|[^A-Za-z0-9 \n])|[ \n]";
const BOS: u32 = 1;
const EOS: u32 = 2;

/// A vocabulary: special tokens, then the pieces in their order, then the single characters that are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    pieces: Vec<String>,
}

impl Vocabulary {
    /// Pieces must be printable ASCII or line feeds and none of the special tokens; repeated ones count once.
    pub fn new(pieces: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut seen = BTreeSet::new();
        let mut all: Vec<String> = SPECIAL.map(String::from).to_vec();
        let characters = (' '..='~').chain(['\n']).map(String::from);
        for piece in pieces.into_iter().chain(characters) {
            check(&piece)?;
            if seen.insert(piece.clone()) {
                all.push(piece);
            }
        }
        Ok(Self { pieces: all })
    }

    /// What a configuration needs to know.
    pub fn ids(&self) -> VocabularyIds {
        VocabularyIds { size: self.pieces.len(), bos: BOS, eos: EOS }
    }

    /// `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and `generation_config.json`.
    pub fn files(&self, max_tokens: usize) -> TextFiles {
        let named = json!({ "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>" });
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "model_max_length": max_tokens,
        });
        if let (Some(config), Some(named)) = (config.as_object_mut(), named.as_object()) {
            config.extend(named.clone());
        }
        let generation = json!({ "bos_token_id": BOS, "eos_token_id": EOS });
        let files = [
            ("tokenizer.json", self.definition()),
            ("tokenizer_config.json", config),
            ("special_tokens_map.json", named),
            ("generation_config.json", generation),
        ];
        TextFiles(
            files
                .into_iter()
                .map(|(name, value)| (name.to_string(), format!("{value:#}\n").into()))
                .collect(),
        )
    }

    fn definition(&self) -> Value {
        let added: Vec<Value> = SPECIAL
            .iter()
            .enumerate()
            .map(|(id, token)| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true,
                })
            })
            .collect();
        let vocab: Vec<Value> = self
            .pieces
            .iter()
            .enumerate()
            .map(
                |(id, piece)| {
                    if id < SPECIAL.len() { json!([piece, 0.0]) } else { json!([byte_level(piece), -1.0]) }
                },
            )
            .collect();
        let begin = json!({ "SpecialToken": { "id": "<bos>", "type_id": 0 } });
        let text = |id: &str, type_id: usize| json!({ "Sequence": { "id": id, "type_id": type_id } });
        let byte_level = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
        });
        let parts = json!({
            "type": "Split", "pattern": { "Regex": PARTS }, "behavior": "Isolated", "invert": false,
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [parts, byte_level] },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [begin, text("A", 0)],
                "pair": [begin, text("A", 0), text("B", 1)],
                "special_tokens": { "<bos>": { "id": "<bos>", "ids": [BOS], "tokens": ["<bos>"] } },
            },
            "decoder": byte_level,
            "model": { "type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false },
        })
    }
}

fn check(piece: &str) -> Result<(), Error> {
    let refuse = |problem| Error::Vocabulary { piece: piece.to_string(), problem };
    if piece.is_empty() {
        return Err(refuse("is empty"));
    }
    if !piece.chars().all(|c| c == '\n' || (' '..='~').contains(&c)) {
        return Err(refuse("has characters that are not printable ASCII"));
    }
    if SPECIAL.contains(&piece) {
        return Err(refuse("is a special token"));
    }
    Ok(())
}

/// The stand-ins that byte-level vocabularies have for bytes: printable ASCII is itself, space and line feed are moved up by 256.
fn byte_level(piece: &str) -> String {
    piece
        .chars()
        .map(|c| if c == ' ' || c == '\n' { char::from_u32(c as u32 + 256).unwrap_or(c) } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrace_text::tokenizer::{SpecialTokens, TextStart, Tokenizer};

    fn tokenizer() -> Tokenizer {
        let pieces = ["Ann", " has", " 4", " apples", "\nAnn", "."].map(String::from);
        let folder = tempfile::tempdir().unwrap();
        Vocabulary::new(pieces).unwrap().files(512).write(folder.path()).unwrap();
        Tokenizer::from_dir(folder.path()).unwrap()
    }

    #[test]
    fn text_goes_to_few_tokens_and_back() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode_prompt("Ann has 42 apples.").unwrap();
        assert_eq!(ids[..4], [1, 3, 4, 5]);
        assert_eq!(ids.len(), 7);
        assert_eq!(tokenizer.encode_plain(" apples").unwrap(), [6]);
        assert_eq!(tokenizer.encode_plain("\nAnn").unwrap().len(), 1);
        assert_eq!(tokenizer.stop_tokens(), [2]);
        assert_eq!(tokenizer.vocab_size(), 3 + 6 + 95);
    }

    #[test]
    fn every_ascii_text_is_kept() {
        let tokenizer = tokenizer();
        let all: String = (' '..='~').chain(['\n']).collect();
        for text in [all.as_str(), "  two\n\nlines  <eos> ", " apples apple", "Ann's 7+5=12\n#### 12"] {
            let ids = tokenizer.encode_plain(text).unwrap();
            assert_eq!(tokenizer.decode(&ids, SpecialTokens::Skip, TextStart::Continuation).text, text);
            assert!(!ids.contains(&0) && !ids.contains(&2));
        }
    }

    #[test]
    fn the_pieces_of_arith_are_tokens() {
        use entrace_worlds::arith::{Difficulty, Split, generate, pieces, prompt, split_pieces};
        let folder = tempfile::tempdir().unwrap();
        Vocabulary::new(pieces()).unwrap().files(512).write(folder.path()).unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        for index in 0..50 {
            let problem = generate(0, Split::Train, index, &Difficulty::default());
            for text in [prompt(&problem.question), problem.solution.completion()] {
                let ids = tokenizer.encode_plain(&text).unwrap();
                let expected: Vec<&str> = split_pieces(&text);
                assert_eq!(ids.iter().map(|&id| tokenizer.token_text(id)).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn bad_pieces_are_refused() {
        for bad in ["", "é", "<eos>"] {
            assert!(Vocabulary::new([bad.to_string()]).is_err());
        }
    }
}
