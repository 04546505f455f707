//! What is done with a damaged file of a model: it is read as entrace reads it and, where it can be read, used a little.
//!
//! The targets in `fuzz/` call these functions with bytes that are new, the tests beside this file with those of `fuzz/corpus`.

use entrace_backend::{Branch, ChatMessage, Role, ScoreTree, Text, TokenScores};
use entrace_decoder::{Decoder, LanguageModel, Options};
use jiff::civil::date;

/// A GGUF file, with tokenizer and template.
pub(crate) fn gguf(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, data).unwrap();
    let now = date(2026, 3, 9).at(7, 5, 0, 0);
    if let Ok(model) = LanguageModel::open("model", &path, Options::default(), now) {
        let _ = model.encode_prompt("What is 2 + 2?");
        let _ = model.render_chat(&[ChatMessage { role: Role::User, content: "What is 2 + 2?".to_owned() }]);
    }
    if let Ok(decoder) = Decoder::open("model", &path, Options::default()) {
        score(&decoder);
    }
}

/// `model.safetensors` of a folder whose configuration is sound.
pub(crate) fn safetensors(data: &[u8]) {
    const CONFIG: &str = include_str!("../../../../goldens/models/out/llama-gqa/config.json");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), data).unwrap();
    if let Ok(decoder) = Decoder::open("model", folder.path(), Options::default()) {
        score(&decoder);
    }
}

fn score(decoder: &Decoder) {
    let tokens = [1, 2, 3].map(|id| id % decoder.info().vocab_size.max(1) as u32).to_vec();
    let root = Branch { tokens, token_scores: TokenScores::Full, ..Branch::default() };
    if let Ok(mut session) = decoder.session() {
        let _ = session.extend(&[root]);
    }
}
