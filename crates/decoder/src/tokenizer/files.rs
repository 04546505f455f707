//! What the files of a model folder say about its tokenizer.
//!
//! `tokenizer.json` is the definition; its post-processor decides whether a beginning token is added, and `add_bos_token` in
//! `tokenizer_config.json` is ignored beside it, as in transformers 5. `tokenizer_config.json` names the special tokens;
//! `special_tokens_map.json` names them in folders whose configuration has no `added_tokens_decoder`; `config.json` and
//! `generation_config.json` list the tokens that end a turn. All but the first may be missing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::Settings;
use super::error::TokenizerError;

/// Reads `tokenizer.json` and the settings around it.
pub(super) fn read(dir: &Path) -> Result<(Vec<u8>, Settings), TokenizerError> {
    let path = dir.join("tokenizer.json");
    if !path.is_file() {
        let hint = if dir.join("tokenizer.model").is_file() {
            "; only the SentencePiece file tokenizer.model is there: load and save it with transformers once"
        } else {
            ""
        };
        return Err(TokenizerError::NoTokenizer { dir: dir.to_owned(), hint });
    }
    let definition = std::fs::read(&path).map_err(|source| TokenizerError::Read { path, source })?;
    let config = read_object(dir, "tokenizer_config.json")?;
    let named = named_tokens(&config, dir)?;
    let mut end_ids = Vec::new();
    for file in ["generation_config.json", "config.json"] {
        let object = read_object(dir, file)?;
        collect_ids(object.get("eos_token_id"), &mut end_ids);
        collect_ids(object.get("text_config").and_then(|text| text.get("eos_token_id")), &mut end_ids);
    }
    Ok((
        definition,
        Settings { added: added_tokens(&config), named, end_ids, origin: dir.display().to_string() },
    ))
}

/// A JSON object, empty if there is no such file.
fn read_object(dir: &Path, name: &str) -> Result<Map<String, Value>, TokenizerError> {
    let path = dir.join(name);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(source) => return Err(TokenizerError::Read { path, source }),
    };
    serde_json::from_slice(&bytes).map_err(|source| TokenizerError::Json { path, source })
}

/// `bos_token`, `eos_token` and whatever else is named `..._token`, as templates see them.
fn named_tokens(config: &Map<String, Value>, dir: &Path) -> Result<BTreeMap<String, String>, TokenizerError> {
    let mut named = BTreeMap::new();
    let mut take = |object: &Map<String, Value>| {
        for (key, value) in object.iter().filter(|(key, _)| key.ends_with("_token")) {
            if let Some(content) = token_content(value) {
                named.insert(key.clone(), content.to_owned());
            }
        }
    };
    take(config);
    if let Some(Value::Object(extra)) = config.get("extra_special_tokens") {
        take(extra);
    }
    if !config.contains_key("added_tokens_decoder") {
        take(&read_object(dir, "special_tokens_map.json")?);
    }
    Ok(named)
}

/// A token is written as its text or as an object that holds it.
fn token_content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Tokens that the configuration lists by id, in the order of their ids.
fn added_tokens(config: &Map<String, Value>) -> Vec<AddedToken> {
    let Some(Value::Object(listed)) = config.get("added_tokens_decoder") else { return Vec::new() };
    let mut tokens: Vec<(u64, AddedToken)> = listed
        .iter()
        .filter_map(|(id, token)| {
            let flag = |name: &str| token[name].as_bool().unwrap_or(false);
            let added = AddedToken::from(token_content(token)?, flag("special"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .single_word(flag("single_word"))
                .normalized(flag("normalized"));
            Some((id.parse().ok()?, added))
        })
        .collect();
    tokens.sort_by_key(|(id, _)| *id);
    tokens.into_iter().map(|(_, token)| token).collect()
}

fn collect_ids(value: Option<&Value>, ids: &mut Vec<u32>) {
    let listed = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    ids.extend(listed.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()));
}
