//! The tokenizer that GGUF metadata describes, as a `tokenizer.json`.
//!
//! A GGUF file lists tokens with scores and kinds but not the steps around them. `tokenizer.ggml.model` says which kind of
//! vocabulary it is:
//!
//! - `gpt2`: byte-level pairs with merges; the pre-tokenizer is named by `tokenizer.ggml.pre` (`pre_tokenizer.rs`).
//! - `llama`: SentencePiece pairs. Where the file has no merges they follow from the scores: every way to cut a piece into two
//!   pieces is a merge, best score first. Gemma's scores do not follow the order of its merges; the order of its tokens does.
//!
//! Token kinds: control and unknown tokens become special, user-defined ones are matched whole in any text, byte tokens are the
//! fallback for characters without a piece.
//!
//! The leading space of SentencePiece is a normalizer here, as SentencePiece itself, llama.cpp and the published `tokenizer.json`
//! files of Llama 2 and Phi-3 have it; transformers 5 converts Llama files with a rule that adds none where the text starts with
//! a space. transformers also ignores pre-tokenizers that it does not know; here they are an error that names the key.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::Settings;
use super::error::TokenizerError;
use super::pre_tokenizer::PreTokenizer;

/// Values of `tokenizer.ggml.token_type`.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// The `tokenizer.*` metadata of a GGUF file.
#[derive(Debug, Clone, Default)]
pub struct GgufVocabulary {
    /// `general.architecture`.
    pub architecture: String,
    /// `tokenizer.ggml.model`: `gpt2` or `llama`.
    pub model: String,
    /// `tokenizer.ggml.pre`; empty if absent.
    pub pre: String,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`; may be empty for `gpt2`.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`; may be empty.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: two pieces with a space between; may be empty for `llama`.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`, the end of a turn where it is not `eos`.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
}

/// The definition and the settings around it.
pub(super) fn definition(gguf: &GgufVocabulary) -> Result<(Vec<u8>, Settings), TokenizerError> {
    check_lengths(gguf)?;
    let (steps, adds_bos) = match gguf.model.as_str() {
        "gpt2" => byte_level(gguf)?,
        "llama" => (sentencepiece(gguf)?, true),
        other => {
            return Err(TokenizerError::UnsupportedGguf {
                key: "tokenizer.ggml.model",
                value: other.to_owned(),
                known: "gpt2, llama".to_owned(),
            });
        }
    };
    let definition = json!({
        "version": "1.0",
        "added_tokens": added_tokens(gguf),
        "normalizer": steps.normalizer,
        "pre_tokenizer": steps.pre_tokenizer,
        "post_processor": post_processor(gguf, adds_bos),
        "decoder": steps.decoder,
        "model": steps.model,
    });
    let settings = Settings {
        added: Vec::new(),
        named: named_tokens(gguf),
        end_ids: gguf.eos.into_iter().chain(gguf.eot).collect(),
        origin: "the GGUF file".to_owned(),
    };
    Ok((definition.to_string().into_bytes(), settings))
}

/// The parts of a definition that depend on the kind of vocabulary.
struct Steps {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

fn check_lengths(gguf: &GgufVocabulary) -> Result<(), TokenizerError> {
    let n_tokens = gguf.tokens.len();
    let lists = [("scores", gguf.scores.len()), ("token_type", gguf.token_types.len())];
    for (name, length) in lists {
        if length != 0 && length != n_tokens {
            let why = format!("{length} values in tokenizer.ggml.{name} for {n_tokens} tokens");
            return Err(TokenizerError::InconsistentGguf(why));
        }
    }
    let ids = [
        ("bos", gguf.bos),
        ("eos", gguf.eos),
        ("unknown", gguf.unk),
        ("padding", gguf.pad),
        ("eot", gguf.eot),
    ];
    for (name, id) in ids {
        if let Some(id) = id.filter(|&id| id as usize >= n_tokens) {
            let why = format!("tokenizer.ggml.{name}_token_id = {id} with {n_tokens} tokens");
            return Err(TokenizerError::InconsistentGguf(why));
        }
    }
    Ok(())
}

fn byte_level(gguf: &GgufVocabulary) -> Result<(Steps, bool), TokenizerError> {
    let pre = PreTokenizer::find(&gguf.pre).ok_or_else(|| TokenizerError::UnsupportedGguf {
        key: "tokenizer.ggml.pre",
        value: gguf.pre.clone(),
        known: PreTokenizer::names().collect::<Vec<_>>().join(", "),
    })?;
    let steps = Steps {
        normalizer: if pre.nfc { json!({"type": "NFC"}) } else { Value::Null },
        pre_tokenizer: pre.definition(),
        decoder: json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        model: pair_model(&gguf.tokens, listed_merges(gguf)?, None, pre.ignore_merges),
    };
    Ok((steps, pre.adds_bos))
}

fn sentencepiece(gguf: &GgufVocabulary) -> Result<Steps, TokenizerError> {
    let tokens: Vec<String> = gguf.tokens.iter().map(|token| respelled(token)).collect();
    let merges =
        if gguf.merges.is_empty() { merges_from_scores(gguf, &tokens)? } else { listed_merges(gguf)? };
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    let mut normalizers = vec![replace];
    if gguf.add_space_prefix.unwrap_or(true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unk = gguf.unk.map(|id| tokens[id as usize].clone());
    Ok(Steps {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: pair_model(&tokens, merges, unk, false),
    })
}

/// Runs of spaces are written as spaces in GGUF files and as U+2581 in the pieces that merges make.
fn respelled(token: &str) -> String {
    if token.contains(' ') && token.trim_matches(' ').is_empty() {
        token.replace(' ', "▁")
    } else {
        token.to_owned()
    }
}

fn pair_model(
    tokens: &[String],
    merges: Vec<(String, String)>,
    unk: Option<String>,
    ignore_merges: bool,
) -> Value {
    let vocab: Map<String, Value> =
        (0u32..).zip(tokens).map(|(id, token)| (token.clone(), id.into())).collect();
    let byte_fallback = unk.is_some();
    json!({
        "type": "BPE",
        "unk_token": unk,
        "fuse_unk": byte_fallback,
        "byte_fallback": byte_fallback,
        "ignore_merges": ignore_merges,
        "vocab": vocab,
        "merges": merges,
    })
}

/// Pieces of a byte-level vocabulary hold no spaces, those of a SentencePiece one may begin with one.
fn listed_merges(gguf: &GgufVocabulary) -> Result<Vec<(String, String)>, TokenizerError> {
    let halves = |merge: &String| {
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let space = first + merge[first..].find(' ')?;
        Some((merge[..space].to_owned(), merge[space + 1..].to_owned()))
    };
    let broken =
        |merge: &String| TokenizerError::InconsistentGguf(format!("merge {merge:?} has no two halves"));
    gguf.merges.iter().map(|merge| halves(merge).ok_or_else(|| broken(merge))).collect()
}

/// Cuts of every piece into two pieces, by falling score; ties go to the longer first half, then to the lower ids.
fn merges_from_scores(
    gguf: &GgufVocabulary,
    tokens: &[String],
) -> Result<Vec<(String, String)>, TokenizerError> {
    if gguf.scores.is_empty() {
        return Err(TokenizerError::InconsistentGguf("neither tokenizer.ggml.merges nor scores".to_owned()));
    }
    let ids: HashMap<&str, usize> =
        tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let by_order = gguf.architecture.starts_with("gemma");
    let mut cuts: Vec<(f64, &str, &str)> = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        if matches!(gguf.token_types.get(id), Some(&(UNKNOWN | CONTROL | BYTE))) {
            continue;
        }
        let score = if by_order { -(id as f64) } else { f64::from(gguf.scores[id]) };
        let inner = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut halves: Vec<_> = inner.filter(|(l, r)| ids.contains_key(l) && ids.contains_key(r)).collect();
        halves.sort_by_key(|(l, r)| (ids[l], ids[r]));
        cuts.extend(halves.into_iter().map(|(l, r)| (score, l, r)));
    }
    cuts.sort_by(|a, b| {
        let lengths = |cut: &(f64, &str, &str)| (cut.1.chars().count(), cut.2.chars().count());
        b.0.total_cmp(&a.0).then_with(|| lengths(b).cmp(&lengths(a)))
    });
    Ok(cuts.into_iter().map(|(_, l, r)| (l.to_owned(), r.to_owned())).collect())
}

/// Puts the beginning token first where the file asks for it, or its kind of vocabulary does and the file is silent.
fn post_processor(gguf: &GgufVocabulary, by_default: bool) -> Value {
    let Some(id) = gguf.bos.filter(|_| gguf.add_bos.unwrap_or(by_default)) else { return Value::Null };
    let bos = &gguf.tokens[id as usize];
    let first = json!([{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    json!({
        "type": "TemplateProcessing",
        "single": first,
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    })
}

fn added_tokens(gguf: &GgufVocabulary) -> Vec<Value> {
    let kinds = gguf.token_types.iter().zip(&gguf.tokens).enumerate();
    kinds
        .filter(|&(_, (kind, token))| match *kind {
            CONTROL | UNKNOWN => true,
            // Runs of spaces are pieces of the SentencePiece model, see `respelled`.
            USER_DEFINED => gguf.model == "gpt2" || respelled(token) == **token,
            _ => false,
        })
        .map(|(id, (kind, token))| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": *kind != USER_DEFINED,
            })
        })
        .collect()
}

fn named_tokens(gguf: &GgufVocabulary) -> BTreeMap<String, String> {
    let ids =
        [("bos_token", gguf.bos), ("eos_token", gguf.eos), ("unk_token", gguf.unk), ("pad_token", gguf.pad)];
    ids.into_iter()
        .filter_map(|(name, id)| Some((name.to_owned(), gguf.tokens.get(id? as usize)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{SpecialTokens, TextStart, Tokenizer};

    fn sentencepiece_vocabulary() -> GgufVocabulary {
        let mut tokens: Vec<(String, f32, i32)> =
            vec![("<unk>".into(), 0.0, UNKNOWN), ("<s>".into(), 0.0, CONTROL), ("</s>".into(), 0.0, CONTROL)];
        tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, BYTE)));
        let pieces = ["▁", "a", "b", "s", "<", ">", "/", "ab", "▁a", "aba", "s>", "</", "</s>x"];
        tokens.extend(pieces.iter().enumerate().map(|(rank, piece)| (piece.to_string(), -(rank as f32), 1)));
        tokens.push(("  ".into(), -100.0, USER_DEFINED));
        GgufVocabulary {
            architecture: "llama".into(),
            model: "llama".into(),
            tokens: tokens.iter().map(|t| t.0.clone()).collect(),
            scores: tokens.iter().map(|t| t.1).collect(),
            token_types: tokens.iter().map(|t| t.2).collect(),
            bos: Some(1),
            eos: Some(2),
            unk: Some(0),
            ..GgufVocabulary::default()
        }
    }

    fn strings(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|&id| tokenizer.token_string(id).unwrap()).collect()
    }

    #[test]
    fn scores_decide_which_pieces_form() {
        let tokenizer = Tokenizer::from_gguf_metadata(&sentencepiece_vocabulary()).unwrap();
        let encode = |text: &str| strings(&tokenizer, &tokenizer.encode_plain(text).unwrap());
        assert_eq!(encode("aba"), ["aba"]);
        // "ab" scores higher than "▁a".
        assert_eq!(encode(" ab"), ["▁", "ab"]);
        assert_eq!(encode(" a"), ["▁a"]);
        assert_eq!(encode("  "), ["▁▁"]);
        assert_eq!(encode("ä"), ["<0xC3>", "<0xA4>"]);
    }

    #[test]
    fn only_the_beginning_gets_a_space() {
        let tokenizer = Tokenizer::from_gguf_metadata(&sentencepiece_vocabulary()).unwrap();
        let prompt = tokenizer.encode_prompt("a").unwrap();
        assert_eq!(strings(&tokenizer, &prompt), ["<s>", "▁a"]);
        assert_eq!(strings(&tokenizer, &tokenizer.encode_prompt("<s>a").unwrap()), ["<s>", "▁a"]);
        assert_eq!(strings(&tokenizer, &tokenizer.encode_plain("a").unwrap()), ["a"]);
        let whole = tokenizer.decode(&prompt, SpecialTokens::Skip, TextStart::Beginning);
        assert_eq!((whole.text.as_str(), whole.token_ends.as_slice()), ("a", [0, 1].as_slice()));
    }

    #[test]
    fn plain_text_never_becomes_special() {
        let tokenizer = Tokenizer::from_gguf_metadata(&sentencepiece_vocabulary()).unwrap();
        assert_eq!(strings(&tokenizer, &tokenizer.encode_plain("a</s>").unwrap()), ["a", "</", "s>"]);
        assert_eq!(strings(&tokenizer, &tokenizer.encode_prompt("</s>").unwrap()), ["<s>", "</s>"]);
    }

    #[test]
    fn a_special_token_that_merges_reach_is_taken_apart() {
        let mut gguf = sentencepiece_vocabulary();
        gguf.merges = vec!["< /".into(), "s >".into(), "</ s>".into()];
        let tokenizer = Tokenizer::from_gguf_metadata(&gguf).unwrap();
        assert_eq!(strings(&tokenizer, &tokenizer.encode_plain("a</s>").unwrap()), ["a", "<", "/", "s>"]);
    }

    #[test]
    fn turn_ends_and_names_come_from_metadata() {
        let tokenizer = Tokenizer::from_gguf_metadata(&sentencepiece_vocabulary()).unwrap();
        assert_eq!(tokenizer.stop_tokens(), [2]);
        assert_eq!(tokenizer.named_tokens()["bos_token"], "<s>");
        assert_eq!(tokenizer.vocab_size(), sentencepiece_vocabulary().tokens.len());
    }

    #[test]
    fn unknown_kinds_are_refused_by_key() {
        let error = |gguf: GgufVocabulary| Tokenizer::from_gguf_metadata(&gguf).unwrap_err().to_string();
        let other = error(GgufVocabulary { model: "bert".into(), ..sentencepiece_vocabulary() });
        assert!(other.contains("tokenizer.ggml.model = \"bert\""), "{other}");
        let other =
            error(GgufVocabulary { model: "gpt2".into(), pre: "new".into(), ..sentencepiece_vocabulary() });
        assert!(other.contains("tokenizer.ggml.pre = \"new\""), "{other}");
        let other = error(GgufVocabulary { bos: Some(9999), ..sentencepiece_vocabulary() });
        assert!(other.contains("bos_token_id = 9999"), "{other}");
        let other = error(GgufVocabulary { scores: vec![0.0], ..sentencepiece_vocabulary() });
        assert!(other.contains("1 values in tokenizer.ggml.scores"), "{other}");
    }
}
