//! What is done with a damaged file of a model: it is read as entrace reads it and, where it can be read, used a little.
//!
//! The targets in `fuzz/` call these functions with bytes that are new, the tests beside this file with those of `fuzz/corpus`.

use entrace_backend::{ChatMessage, Role};
use entrace_text::template::ChatTemplate;
use entrace_text::tokenizer::{SpecialTokens, TextStart, Tokenizer};
use jiff::civil::{DateTime, date};
use std::collections::BTreeMap;

/// `tokenizer.json`.
pub(crate) fn tokenizer(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), data).unwrap();
    if let Ok(tokenizer) = Tokenizer::from_dir(folder.path()) {
        encode(&tokenizer);
    }
}

/// The source of a chat template.
pub(crate) fn template(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let named = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    if let Ok(template) = ChatTemplate::new(&source, &named) {
        let rendered = template.render(&conversation(), true, now());
        let segments = template.render_segments(&conversation(), true, now());
        if let (Ok(rendered), Ok(segments)) = (rendered, segments) {
            assert_eq!(segments.iter().map(|segment| segment.text.as_str()).collect::<String>(), rendered);
        }
    }
}

fn now() -> DateTime {
    date(2026, 3, 9).at(7, 5, 0, 0)
}

fn conversation() -> Vec<ChatMessage> {
    let said = [(Role::System, "Be brief."), (Role::User, "What is 2 + 2?"), (Role::Assistant, "4")];
    said.map(|(role, content)| ChatMessage { role, content: content.to_owned() }).into()
}

/// Text becomes tokens, and tokens text. What is decoded token by token is what is decoded at once.
fn encode(tokenizer: &Tokenizer) {
    let text = "The  answer\nis 12 <s> </s> \u{e9}\u{2603}\0 [INST]";
    let _ = tokenizer.encode_prompt(text);
    let _ = tokenizer.encode_completion(text);
    let mut ids = tokenizer.encode_plain(text).unwrap_or_default();
    ids.extend([0, 1, 2, 3, u32::MAX]);
    for start in [TextStart::Beginning, TextStart::Continuation] {
        let whole = tokenizer.decode(&ids, SpecialTokens::Keep, start);
        let mut stream = tokenizer.decode_stream(SpecialTokens::Keep, start);
        let mut parts: String = ids.iter().map(|&id| stream.push(id)).collect();
        parts.push_str(&stream.finish());
        assert_eq!(parts, whole.text);
    }
}
