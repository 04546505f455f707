//! What the files of a model folder say about its tokenizer.
//!
//! `tokenizer.json` is the definition; its post-processor decides whether a beginning token is added, and `add_bos_token` in
//! `tokenizer_config.json` is ignored beside it, as in transformers 5. Where it is missing, `vocab.json` and `merges.txt` stand for one:
//! a byte-level vocabulary that cuts text as Qwen does where class or family are Qwen's, and else as GPT-2 does, as in transformers.
//! `tokenizer_config.json` names the special tokens;
//! `special_tokens_map.json` names them in folders whose configuration has no `added_tokens_decoder`; `config.json` and
//! `generation_config.json` list the tokens that end a turn. All but the first may be missing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use super::Settings;
use super::error::TokenizerError;
use super::pre_tokenizer::PreTokenizer;

/// Reads `tokenizer.json` and the settings around it.
pub(super) fn read(dir: &Path) -> Result<(Vec<u8>, Settings), TokenizerError> {
    let config = read_object(dir, "tokenizer_config.json")?;
    let definition = match read_if_there(&dir.join("tokenizer.json"))? {
        Some(definition) => definition,
        None => pairs(dir, &config)?,
    };
    let named = named_tokens(&config, dir)?;
    let mut end_ids = Vec::new();
    for file in ["generation_config.json", "config.json"] {
        let object = read_object(dir, file)?;
        collect_ids(object.get("eos_token_id"), &mut end_ids);
        collect_ids(object.get("text_config").and_then(|text| text.get("eos_token_id")), &mut end_ids);
    }
    Ok((
        definition,
        Settings { added: added_tokens(&config, dir)?, named, end_ids, origin: dir.display().to_string() },
    ))
}

/// The definition that `vocab.json` and `merges.txt` stand for.
fn pairs(dir: &Path, config: &Map<String, Value>) -> Result<Vec<u8>, TokenizerError> {
    let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
    let (Some(vocab), Some(listed)) = (read_if_there(&vocab)?, read_if_there(&merges)?) else {
        let hint = if dir.join("tokenizer.model").is_file() {
            "; only the SentencePiece file tokenizer.model is there: load and save it with transformers once"
        } else {
            ""
        };
        return Err(TokenizerError::NoTokenizer { dir: dir.to_owned(), hint });
    };
    let vocab: Map<String, Value> = serde_json::from_slice(&vocab)
        .map_err(|source| TokenizerError::Json { path: dir.join("vocab.json"), source })?;
    let listed = String::from_utf8(listed).map_err(|source| TokenizerError::Read {
        path: merges.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, source),
    })?;
    let lines = listed.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges: Vec<[&str; 2]> = lines.filter_map(|line| line.split_once(' ').map(|(a, b)| [a, b])).collect();
    let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    let family = read_object(dir, "config.json")?;
    let family = family.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let is_qwen = class.starts_with("Qwen2") || family.starts_with("qwen");
    let composes = is_qwen || class.starts_with("GPTNeoX") || family.starts_with("olmo");
    let step = PreTokenizer::find(if is_qwen { "qwen2" } else { "gpt-2" });
    let definition = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": composes.then(|| json!({"type": "NFC"})),
        "pre_tokenizer": step.map(PreTokenizer::definition),
        "post_processor": beginning(config, &vocab),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    });
    Ok(definition.to_string().into_bytes())
}

/// Puts the beginning token first where `add_bos_token` asks for it.
fn beginning(config: &Map<String, Value>, vocab: &Map<String, Value>) -> Value {
    let asked = config.get("add_bos_token").and_then(Value::as_bool).unwrap_or(false);
    let bos = config.get("bos_token").and_then(token_content).filter(|_| asked);
    let Some((bos, id)) = bos.and_then(|bos| Some((bos, vocab.get(bos)?))) else { return Value::Null };
    json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TokenizerError> {
    match crate::ordinary::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path: path.to_owned(), source }),
    }
}

/// A JSON object, empty if there is no such file.
fn read_object(dir: &Path, name: &str) -> Result<Map<String, Value>, TokenizerError> {
    let path = dir.join(name);
    match read_if_there(&path)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|source| TokenizerError::Json { path, source }),
        None => Ok(Map::new()),
    }
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

/// Tokens that `tokenizer_config.json` lists by id, or an older folder's `added_tokens.json`, in the order of their ids.
fn added_tokens(config: &Map<String, Value>, dir: &Path) -> Result<Vec<AddedToken>, TokenizerError> {
    let mut tokens: Vec<(u64, AddedToken)> = match config.get("added_tokens_decoder") {
        Some(Value::Object(listed)) => listed
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
            .collect(),
        _ => {
            let listed = read_object(dir, "added_tokens.json")?;
            let token = |(token, id): (&String, &Value)| Some((id.as_u64()?, AddedToken::from(token, false)));
            listed.iter().filter_map(token).collect()
        }
    };
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

fn collect_ids(value: Option<&Value>, ids: &mut Vec<u32>) {
    let listed = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    ids.extend(listed.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()));
}
