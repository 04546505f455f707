//! What a tokenizer definition may hold, and the border behind which the `tokenizers` library may fail.
//!
//! Definitions come from strangers. Sizes are checked before the library sees them; what it still panics on (an expression that
//! backtracks without end, a post-processor with parts missing) becomes an error here. Dropout, which would make every encoding another
//! one, is for training and switched off.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use tokenizers::ModelWrapper;

/// Ids that a vocabulary may reach; published ones stay below 300,000.
const MOST_IDS: u32 = 1 << 22;
/// Bytes of one added token.
const LONGEST_ADDED: usize = 1 << 14;

#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
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

/// The result of a call into the library, a panic of it as an error.
pub(super) fn caught<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err("the tokenizers library failed on it (a panic)".into()))
}
