//! What a tokenizer definition may hold, and the border behind which the `tokenizers` library may fail.
//!
//! Definitions come from strangers. Sizes are checked before the library sees them, expressions may backtrack for so long, and what the
//! library still panics on (one that backtracks longer, a post-processor with parts missing) becomes an error here. Dropout, which would
//! make every encoding another one, is for training and switched off.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::Once;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::ModelWrapper;

/// Ids that a vocabulary may reach; published ones stay below 300,000.
const MOST_IDS: u32 = 1 << 22;
/// Bytes of one added token.
const LONGEST_ADDED: usize = 1 << 14;
/// Values within a normalizer, pre-tokenizer, post-processor or decoder; published ones have fewer than 200.
const MOST_VALUES: usize = 1000;
/// Bytes of a regular expression.
const LONGEST_EXPRESSION: usize = 1 << 13;
/// How often longer a text may become by replacements and insertions in a row; a space that becomes U+2581 is three times as long.
const MOST_GROWTH: usize = 64;
/// Bytes that may be put in front of a text.
const LONGEST_FRONT: usize = 1 << 10;
/// How often an expression may go back and try otherwise within one match. A run of spaces does so once for each.
const MOST_RETRIES: u32 = 1 << 18;

#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

/// Builds the library's tokenizer of a definition.
pub(super) fn build(definition: &[u8]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let outline: Outline = serde_json::from_slice(definition)?;
    for token in &outline.added_tokens {
        if token.content.len() > LONGEST_ADDED {
            return Err(format!("the added token {} has {} bytes", token.id, token.content.len()).into());
        }
        check_id(&token.content, token.id)?;
    }
    for (name, part) in [
        ("normalizer", &outline.normalizer),
        ("pre-tokenizer", &outline.pre_tokenizer),
        ("post-processor", &outline.post_processor),
        ("decoder", &outline.decoder),
    ] {
        check_part(part).map_err(|problem| format!("its {name} {problem}"))?;
    }
    limit_expressions();
    let mut inner = caught(|| tokenizers::Tokenizer::from_bytes(definition))?;
    let vocabulary = inner.get_vocab(true);
    if let Some((token, &id)) = vocabulary.iter().max_by_key(|(_, id)| **id) {
        check_id(token, id.into())?;
    }
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|e| e.to_string())?;
    if let ModelWrapper::BPE(pairs) = inner.get_model()
        && pairs.dropout.is_some()
    {
        let mut pairs = pairs.clone();
        pairs.dropout = None;
        inner.with_model(pairs);
    }
    Ok(inner)
}

fn check_id(token: &str, id: u64) -> tokenizers::Result<()> {
    if id >= u64::from(MOST_IDS) {
        return Err(format!("the token {token:?} has the id {id}; ids up to {MOST_IDS} are read").into());
    }
    Ok(())
}

/// Says what a normalizer, pre-tokenizer, post-processor or decoder has too much of.
fn check_part(part: &Value) -> Result<(), String> {
    let mut open = vec![part];
    let (mut n_values, mut growth) = (0, 1usize);
    while let Some(value) = open.pop() {
        n_values += 1;
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
        if n_values + open.len() > MOST_VALUES {
            return Err(format!("has more than {MOST_VALUES} values"));
        }
        if let Some(expression) = value["Regex"].as_str().filter(|it| it.len() > LONGEST_EXPRESSION) {
            return Err(format!("has an expression of {} bytes", expression.len()));
        }
        if value["prepend"].as_str().is_some_and(|front| front.len() > LONGEST_FRONT) {
            return Err(format!("puts more than {LONGEST_FRONT} bytes in front of a text"));
        }
        if value["precompiled_charsmap"].as_str().is_some_and(|map| !holds_its_trie(map)) {
            return Err("has a precompiled map that is cut off".to_owned());
        }
        growth = growth.saturating_mul(replacement_growth(value));
    }
    match growth > MOST_GROWTH {
        true => Err(format!("may make a text {growth} times as long; up to {MOST_GROWTH} times is read")),
        false => Ok(()),
    }
}

/// Whether a map in base64 is as long as the trie that its first four bytes announce; the library takes the memory for it first.
fn holds_its_trie(map: &str) -> bool {
    let six_bits = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bits = map.bytes().take(6).try_fold(0u64, |bits, byte| Some(bits << 6 | u64::from(six_bits(byte)?)));
    let announced = bits.and_then(|bits| u32::try_from(bits >> 4).ok()).map(u32::swap_bytes);
    announced.is_some_and(|n_bytes| map.len() >= 6 && n_bytes as usize <= map.len() / 4 * 3)
}

/// How often longer a text may become by a `Replace`. What matches may be empty, before and behind every character.
fn replacement_growth(step: &Value) -> usize {
    if step["type"] != "Replace" {
        return 1;
    }
    let n_new = step["content"].as_str().map_or(0, str::len);
    match step["pattern"]["String"].as_str().map_or(0, str::len) {
        0 => 1 + n_new,
        n_old => n_new.div_ceil(n_old).max(1),
    }
}

/// Expressions that go back without end are given up early: onig's own limit is a quarter of a second for each match.
fn limit_expressions() {
    static LIMITED: Once = Once::new();
    // SAFETY: the function sets one number, and `Once` keeps others from doing so at the same time.
    LIMITED.call_once(|| unsafe {
        onig_sys::onig_set_retry_limit_in_match(MOST_RETRIES.into());
    });
}

/// The result of a call into the library, a panic of it as an error.
pub(super) fn caught<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err("the tokenizers library gave up on it".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(part: Value) -> String {
        check_part(&part).err().unwrap_or_default()
    }

    #[test]
    fn parts_without_end_are_refused() {
        let replace =
            |old: &str, new: &str| json!({"type": "Replace", "pattern": {"String": old}, "content": new});
        let steps = |step: &Value, n: usize| json!({"type": "Sequence", "normalizers": vec![step; n]});
        assert_eq!(problem(steps(&replace(" ", "\u{2581}"), 3)), "");
        assert_eq!(problem(steps(&replace("``", "\""), 90)), "");
        assert!(problem(steps(&replace("a", "aa"), 7)).contains("128 times as long"));
        assert!(problem(replace("", &"x".repeat(64))).contains("65 times as long"));
        assert!(problem(json!({"type": "Prepend", "prepend": "x".repeat(1025)})).contains("in front of"));
        assert!(problem(steps(&json!({"type": "NFC"}), 600)).contains("more than 1000 values"));
        let map = |base64: &str| problem(json!({"type": "Precompiled", "precompiled_charsmap": base64}));
        for cut in ["", "AAAA", "/////w==", "////fwAAAAA="] {
            assert!(map(cut).contains("cut off"), "{cut:?}");
        }
        // A trie of four bytes, and text.
        assert_eq!(map("BAAAAAAAAABhYmM="), "");
        let expression = "a|".repeat(5000);
        assert!(problem(json!({"type": "Split", "pattern": {"Regex": expression}})).contains("10000 bytes"));
    }
}
