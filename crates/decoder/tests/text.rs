//! Tokenizers and chat templates against transformers.
//!
//! The goldens are written by `goldens/text/generate.py`. With `ENTRACE_SMOLLM2` set to the path of SmolLM2-135M-Instruct as a GGUF
//! file, and the same model as a Hugging Face folder beside it, the two tokenizers of a real model are compared as well;
//! `ENTRACE_GSM8K` may name a JSONL file with more text for that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file;
use entrace_backend::{ChatMessage, Role};
use entrace_text::template::{ChatTemplate, Segment, TemplateError};
use entrace_text::tokenizer::{GgufVocabulary, SpecialTokens, TextStart, Tokenizer};
use serde::Deserialize;
use serde_json::Value;

const NAMES: [&str; 8] = ["llama3", "qwen", "olmo", "smollm", "llama2", "mistral", "gemma", "phi3"];

#[derive(Deserialize)]
struct Encodings {
    texts: Vec<TextCase>,
    decoded: Vec<DecodeCase>,
    chats: Vec<ChatCase>,
    scores: Option<BTreeMap<String, f32>>,
}

#[derive(Deserialize)]
struct TextCase {
    text: String,
    /// `tokenizer(text)`.
    prompt: Vec<u32>,
    /// The same without `add_special_tokens`.
    bare: Vec<u32>,
    /// The same with `split_special_tokens`.
    plain: Vec<u32>,
}

impl TextCase {
    /// transformers repeats the beginning token of a text that already has one; here it stands once.
    fn prompt(&self, tokenizer: &Tokenizer) -> &[u32] {
        if self.bare.starts_with(tokenizer.prompt_prefix()) { &self.bare } else { &self.prompt }
    }
}

#[derive(Deserialize)]
struct DecodeCase {
    ids: Vec<u32>,
    keep: String,
    skip: String,
}

#[derive(Deserialize)]
struct ChatCase {
    conversation: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Templates {
    conversations: BTreeMap<String, Vec<Turn>>,
    templates: BTreeMap<String, TemplateCases>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

#[derive(Deserialize)]
struct TemplateCases {
    source: String,
    cases: Vec<RenderCase>,
}

#[derive(Deserialize)]
struct RenderCase {
    conversation: String,
    add_generation_prompt: bool,
    text: Option<String>,
    refused: Option<String>,
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/text/out")
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(goldens().join(name)).unwrap()).unwrap()
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_dir(&goldens().join(name)).unwrap()
}

fn encodings() -> BTreeMap<String, Encodings> {
    read("encodings.json")
}

fn conversation(turns: &[Turn]) -> Vec<ChatMessage> {
    let role = |name: &str| match name {
        "system" => Role::System,
        "user" => Role::User,
        _ => Role::Assistant,
    };
    turns.iter().map(|turn| ChatMessage { role: role(&turn.role), content: turn.content.clone() }).collect()
}

/// The clock of the golden generator.
fn now() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0)
}

fn continuation(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    tokenizer.decode(ids, SpecialTokens::Keep, TextStart::Continuation).text
}

#[test]
fn prompts_encode_as_in_transformers() {
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        for case in &expected.texts {
            assert_eq!(
                tokenizer.encode_prompt(&case.text).unwrap(),
                case.prompt(&tokenizer),
                "{name}: {:?}",
                case.text
            );
            let segment = Segment { text: case.text.clone(), is_template: true };
            assert_eq!(tokenizer.encode_segments(&[segment]).unwrap(), case.bare, "{name}: {:?}", case.text);
        }
    }
}

#[test]
fn message_text_encodes_as_under_split_special_tokens() {
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        for case in &expected.texts {
            let segment = Segment { text: case.text.clone(), is_template: false };
            let ids = tokenizer.encode_segments(&[segment]).unwrap();
            assert_eq!(ids, case.plain, "{name}: {:?}", case.text);
            assert!(ids.iter().all(|&id| !tokenizer.is_special(id)), "{name}: {:?}", case.text);
        }
    }
}

/// Continuations get no leading space, so they equal transformers' tokens where it adds none, and always decode to their text.
#[test]
fn continuations_decode_to_their_text() {
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        let composes = ["qwen", "olmo"].contains(&name.as_str());
        let adds_space = ["llama2", "mistral", "phi3"].contains(&name.as_str());
        for case in &expected.texts {
            let ids = tokenizer.encode_plain(&case.text).unwrap();
            assert!(ids.iter().all(|&id| !tokenizer.is_special(id)), "{name}: {:?}", case.text);
            if !adds_space {
                assert_eq!(ids, case.plain, "{name}: {:?}", case.text);
            }
            // U+2581 is SentencePiece's spelling of a space and `<0x41>` that of a byte: both read back as what they spell.
            let spells_pieces = case.text.contains("<0x");
            if !composes && !(spells_pieces && (adds_space || name == "gemma")) {
                assert_eq!(continuation(&tokenizer, &ids), case.text, "{name}");
            }
        }
    }
}

/// Some vocabularies hold the marks of thoughts as special tokens; here the token that begins a turn stands for one.
#[test]
fn special_tokens_that_are_marks_keep_their_text() {
    let mut tokenizer = tokenizer("smollm");
    let (mark, other) =
        (tokenizer.token_id("<|im_start|>").unwrap(), tokenizer.token_id("<|im_end|>").unwrap());
    let text = "It is 4.<|im_start|>\n\nThe answer<|im_end|> is<|im_start|>";
    assert_eq!(tokenizer.encode_completion(text).unwrap(), tokenizer.encode_plain(text).unwrap());

    tokenizer.spell_out(|token| token == "<|im_start|>");
    let ids = tokenizer.encode_completion(text).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == mark).count(), 2);
    assert!(!ids.contains(&other) && ids.ends_with(&[mark]));
    assert_eq!(continuation(&tokenizer, &ids), text);
    let longer = [ids.as_slice(), &[other]].concat();
    assert_eq!(tokenizer.decode(&longer, SpecialTokens::Skip, TextStart::Continuation).text, text);
    assert_eq!((tokenizer.token_text(mark), tokenizer.token_text(other)), ("<|im_start|>", ""));
    assert!(!tokenizer.encode_plain(text).unwrap().contains(&mark));
}

#[test]
fn joined_tokens_decode_to_joined_text() {
    let (prompt, trace, cue) = ("Question: 2 + 2?\nAnswer:", " Let us think.\n\nIt is 4.", "\nThe answer is");
    for name in NAMES {
        let tokenizer = tokenizer(name);
        for option in [" A", "A", "\n7", "é"] {
            let mut ids = tokenizer.encode_prompt(prompt).unwrap();
            for text in [trace, cue, option] {
                ids.extend(tokenizer.encode_plain(text).unwrap());
            }
            let whole = tokenizer.decode(&ids, SpecialTokens::Skip, TextStart::Beginning).text;
            // Where a beginning token precedes it, the leading space of SentencePiece goes as well.
            assert_eq!(whole, [prompt, trace, cue, option].concat(), "{name}");
        }
    }
}

#[test]
fn random_tokens_decode_as_in_transformers() {
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        for case in &expected.decoded {
            for (special, text) in [(SpecialTokens::Keep, &case.keep), (SpecialTokens::Skip, &case.skip)] {
                let whole = tokenizer.decode(&case.ids, special, TextStart::Beginning);
                assert_eq!(&whole.text, text, "{name}: {:?}", case.ids);
                let mut stream = tokenizer.decode_stream(special, TextStart::Beginning);
                let parts: String = case.ids.iter().map(|&id| stream.push(id)).collect();
                assert_eq!(&(parts + &stream.finish()), text, "{name}: {:?}", case.ids);
            }
        }
    }
}

#[test]
fn token_ends_cover_the_text() {
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        for case in &expected.texts {
            let ids = tokenizer.encode_plain(&case.text).unwrap();
            let whole = tokenizer.decode(&ids, SpecialTokens::Skip, TextStart::Continuation);
            assert_eq!(whole.token_ends.len(), ids.len());
            assert!(whole.token_ends.is_sorted());
            assert_eq!(whole.token_ends.last().copied().unwrap_or(0), whole.text.len());
            for (n_tokens, &end) in (1..).zip(&whole.token_ends) {
                // What a prefix of the tokens shows beyond its end is an incomplete character.
                let prefix =
                    tokenizer.decode(&ids[..n_tokens], SpecialTokens::Skip, TextStart::Continuation).text;
                assert!(prefix.starts_with(&whole.text[..end]), "{name}: {:?}", case.text);
                assert!(["", "\u{fffd}"].contains(&&prefix[end..]), "{name}: {:?}", case.text);
            }
        }
    }
}

#[test]
fn stop_tokens_and_beginnings_follow_the_files() {
    let stops = |name: &str| {
        let tokenizer = tokenizer(name);
        let strings: Vec<_> =
            tokenizer.stop_tokens().iter().filter_map(|&id| tokenizer.token_string(id)).collect();
        strings.join(" ")
    };
    assert_eq!(stops("llama3"), "<|eot_id|> <|end_of_text|>");
    assert_eq!(stops("qwen"), "<|im_end|> <|endoftext|>");
    assert_eq!(stops("gemma"), "<eos> <end_of_turn>");
    assert_eq!(stops("phi3"), "<|endoftext|> <|end|> </s>");
    let prefixes: Vec<usize> = NAMES.iter().map(|name| tokenizer(name).prompt_prefix().len()).collect();
    assert_eq!(prefixes, [1, 0, 0, 0, 1, 1, 1, 0]);
}

#[test]
fn eos_lists_of_model_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(goldens().join("qwen").join(file), dir.path().join(file)).unwrap();
    }
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [7, 8]}"#).unwrap();
    let config = r#"{"eos_token_id": 9, "text_config": {"eos_token_id": 99999}}"#;
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    let copied = Tokenizer::from_dir(dir.path()).unwrap();
    let im_end = copied.token_id("<|im_end|>").unwrap();
    let endoftext = copied.token_id("<|endoftext|>").unwrap();
    assert_eq!(copied.stop_tokens(), [im_end, 7, 8, 9, endoftext]);
    assert_eq!(copied.hash(), tokenizer("qwen").hash());
}

#[test]
fn templates_render_as_in_transformers() {
    let goldens: Templates = read("templates.json");
    let named = BTreeMap::from([("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")]);
    let named = named.into_iter().map(|(name, token)| (name.to_owned(), token.to_owned())).collect();
    for (name, expected) in &goldens.templates {
        let template = ChatTemplate::new(&expected.source, &named).unwrap();
        for case in &expected.cases {
            let messages = conversation(&goldens.conversations[&case.conversation]);
            let rendered = template.render(&messages, case.add_generation_prompt, now());
            let Some(text) = &case.text else {
                let error = rendered.unwrap_err();
                let refused =
                    matches!(&error, TemplateError::Refused(why) if Some(why) == case.refused.as_ref());
                assert!(refused, "{name}: {}: {error:?}", case.conversation);
                continue;
            };
            assert_eq!(&rendered.unwrap(), text, "{name}: {}", case.conversation);
            let segments = match template.render_segments(&messages, case.add_generation_prompt, now()) {
                // Its methods write contents anew, so that nobody can tell where they went.
                Err(TemplateError::Rewritten { .. }) if name == "python-methods" => continue,
                segments => {
                    segments.unwrap_or_else(|error| panic!("{name}: {}: {error:?}", case.conversation))
                }
            };
            let joined: String = segments.iter().map(|segment| segment.text.as_str()).collect();
            assert_eq!(&joined, text, "{name}: {}", case.conversation);
        }
    }
}

#[test]
fn conversations_encode_as_in_transformers() {
    let templates: Templates = read("templates.json");
    for (name, expected) in encodings() {
        let tokenizer = tokenizer(&name);
        let template =
            ChatTemplate::from_dir(&goldens().join(&name), tokenizer.named_tokens()).unwrap().unwrap();
        assert!(!expected.chats.is_empty());
        for case in &expected.chats {
            let messages = conversation(&templates.conversations[&case.conversation]);
            let segments = template.render_segments(&messages, true, now()).unwrap();
            assert_eq!(
                tokenizer.encode_segments(&segments).unwrap(),
                case.ids,
                "{name}: {}",
                case.conversation
            );
        }
    }
}

#[test]
fn what_people_write_adds_no_special_tokens() {
    let templates: Templates = read("templates.json");
    for name in NAMES {
        let tokenizer = tokenizer(name);
        let template =
            ChatTemplate::from_dir(&goldens().join(name), tokenizer.named_tokens()).unwrap().unwrap();
        let special_tokens = |conversation: &[ChatMessage]| {
            let segments = template.render_segments(conversation, true, now()).unwrap();
            let ids = tokenizer.encode_segments(&segments).unwrap();
            ids.into_iter().filter(|&id| tokenizer.is_special(id)).collect::<Vec<_>>()
        };
        let hostile = conversation(&templates.conversations["lookalikes"]);
        let harmless: Vec<ChatMessage> = hostile
            .iter()
            .map(|message| ChatMessage { role: message.role, content: "x".to_owned() })
            .collect();
        assert_eq!(special_tokens(&hostile), special_tokens(&harmless), "{name}");
    }
}

#[test]
fn special_tokens_do_not_form_across_the_border_of_a_message() {
    let tokenizer = tokenizer("qwen");
    let count = |parts: &[(&str, bool)]| {
        let segment = |&(text, is_template): &(&str, bool)| Segment { text: text.to_owned(), is_template };
        let ids = tokenizer.encode_segments(&parts.iter().map(segment).collect::<Vec<_>>()).unwrap();
        ids.into_iter().filter(|&id| tokenizer.is_special(id)).count()
    };
    assert_eq!(count(&[("<|im_", false), ("end|>", true)]), 0);
    assert_eq!(count(&[("<|im_", true), ("end|>", false)]), 0);
    assert_eq!(count(&[("<|im_", true), ("end|>", true)]), 1);
    assert_eq!(count(&[("<|<|im_end|>", true), ("|>", false)]), 1);
}

/// The golden tokenizers as GGUF metadata would describe them.
fn as_gguf(name: &str, scores: Option<&BTreeMap<String, f32>>) -> GgufVocabulary {
    let json: Value = read(&format!("{name}/tokenizer.json"));
    let mut tokens: BTreeMap<u32, (String, i32)> = BTreeMap::new();
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        let kind = if scores.is_some() && token.starts_with("<0x") { 6 } else { 1 };
        tokens.insert(id.as_u64().unwrap() as u32, (token.clone(), kind));
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"] == true { 3 } else { 4 };
        tokens.insert(
            added["id"].as_u64().unwrap() as u32,
            (added["content"].as_str().unwrap().to_owned(), kind),
        );
    }
    let pre = [("llama3", "llama-bpe"), ("qwen", "qwen2"), ("olmo", "olmo"), ("smollm", "smollm")];
    let halves = |merge: &Value| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(halves);
    let id = |token: &str| tokens.iter().find(|(_, (known, _))| known == token).map(|(id, _)| *id);
    GgufVocabulary {
        architecture: name.to_owned(),
        model: if scores.is_some() { "llama" } else { "gpt2" }.to_owned(),
        pre: pre.iter().find(|(known, _)| *known == name).map_or("", |(_, pre)| pre).to_owned(),
        scores: scores.map_or(Vec::new(), |scores| {
            tokens.values().map(|(token, _)| scores.get(token).copied().unwrap_or(0.0)).collect()
        }),
        merges: if scores.is_some() { Vec::new() } else { merges.collect() },
        bos: ["<|begin_of_text|>", "<bos>", "<s>"].into_iter().find_map(id),
        unk: id("<unk>"),
        add_space_prefix: Some(name != "gemma"),
        token_types: tokens.values().map(|(_, kind)| *kind).collect(),
        tokens: tokens.into_values().map(|(token, _)| token).collect(),
        ..GgufVocabulary::default()
    }
}

/// Metadata with merges (byte-level) or with scores only (SentencePiece) gives the tokens of the equivalent tokenizer.json.
#[test]
fn gguf_metadata_gives_the_same_tokens() {
    for (name, expected) in encodings() {
        if ["mistral", "phi3"].contains(&name.as_str()) {
            // GGUF has no word for `Metaspace`, nor for the white space that a special token swallows.
            continue;
        }
        let tokenizer = Tokenizer::from_gguf_metadata(&as_gguf(&name, expected.scores.as_ref())).unwrap();
        for case in &expected.texts {
            assert_eq!(
                tokenizer.encode_prompt(&case.text).unwrap(),
                case.prompt(&tokenizer),
                "{name}: {:?}",
                case.text
            );
        }
    }
}

/// The vocabulary in a GGUF file.
fn vocabulary_of(path: &Path) -> GgufVocabulary {
    let content = gguf_file::Content::read(&mut std::fs::File::open(path).unwrap()).unwrap();
    let get = |key: &str| content.metadata.get(&format!("tokenizer.{key}"));
    let string = |key: &str| get(key).and_then(|value| value.to_string().ok().cloned());
    let strings = |key: &str| -> Vec<String> {
        let list = get(key).and_then(|value| value.to_vec().ok()).into_iter().flatten();
        list.map(|value| value.to_string().unwrap().clone()).collect()
    };
    let id = |key: &str| get(key).and_then(|value| value.to_u32().ok());
    let types = get("ggml.token_type").and_then(|value| value.to_vec().ok()).into_iter().flatten();
    GgufVocabulary {
        architecture: content.metadata["general.architecture"].to_string().unwrap().clone(),
        model: string("ggml.model").unwrap(),
        pre: string("ggml.pre").unwrap_or_default(),
        tokens: strings("ggml.tokens"),
        token_types: types.map(|value| value.to_i32().unwrap()).collect(),
        merges: strings("ggml.merges"),
        bos: id("ggml.bos_token_id"),
        eos: id("ggml.eos_token_id"),
        unk: id("ggml.unknown_token_id"),
        add_bos: get("ggml.add_bos_token").and_then(|value| value.to_bool().ok()),
        chat_template: string("chat_template"),
        ..GgufVocabulary::default()
    }
}

/// The folder's tokenizer.json is a conversion that does not split digits; the model's own tokenizer does, and so does the GGUF file
/// by name. No merge joins ASCII digits, so the two differ only after two spaces and in other numerals; there the GGUF tokens are
/// the model's own.
#[test]
fn smollm2_tokenizers_agree() {
    let Some(path) = std::env::var_os("ENTRACE_SMOLLM2").map(PathBuf::from) else {
        println!("skipped: ENTRACE_SMOLLM2 does not name a GGUF file of SmolLM2-135M-Instruct");
        return;
    };
    let folder = path.with_file_name("SmolLM2-135M-Instruct");
    if !folder.is_dir() {
        println!("skipped: no folder SmolLM2-135M-Instruct in Hugging Face layout beside the GGUF file");
        return;
    }
    let vocabulary = vocabulary_of(&path);
    let gguf = Tokenizer::from_gguf_metadata(&vocabulary).unwrap();
    let hf = Tokenizer::from_dir(&folder).unwrap();
    assert_eq!(gguf.vocab_size(), hf.vocab_size());
    assert_eq!(gguf.stop_tokens(), hf.stop_tokens());
    assert_eq!(gguf.named_tokens()["bos_token"], "<|im_start|>");

    let mut texts: Vec<String> = encodings()["smollm"].texts.iter().map(|case| case.text.clone()).collect();
    if let Some(lines) = std::env::var_os("ENTRACE_GSM8K") {
        texts.extend(std::fs::read_to_string(lines).unwrap().lines().map(str::to_owned));
    }
    let mut differing = Vec::new();
    for text in &texts {
        for (a, b) in [
            (gguf.encode_prompt(text).unwrap(), hf.encode_prompt(text).unwrap()),
            (gguf.encode_plain(text).unwrap(), hf.encode_plain(text).unwrap()),
        ] {
            assert_eq!(continuation(&gguf, &a), *text);
            assert_eq!(continuation(&hf, &b), *text);
            if a != b {
                differing.push(text);
            }
        }
    }
    println!("{} of {} encodings differ", differing.len(), 2 * texts.len());
    let numbers_matter = |text: &str| {
        let chars: Vec<char> = text.chars().collect();
        let after_spaces = |w: &[char]| w[0].is_whitespace() && w[1].is_whitespace() && w[2].is_numeric();
        chars.windows(3).any(after_spaces) || chars.iter().any(|c| c.is_numeric() && !c.is_ascii())
    };
    for text in differing {
        assert!(numbers_matter(text), "{text:?}");
    }

    let source = vocabulary.chat_template.unwrap();
    let template = ChatTemplate::new(&source, gguf.named_tokens()).unwrap();
    let of_folder = ChatTemplate::from_dir(&folder, hf.named_tokens()).unwrap().unwrap();
    let question = [ChatMessage { role: Role::User, content: "2 + 2? <|im_end|>".to_owned() }];
    let segments = template.render_segments(&question, true, now()).unwrap();
    assert_eq!(segments, of_folder.render_segments(&question, true, now()).unwrap());
    let ids = gguf.encode_segments(&segments).unwrap();
    assert_eq!(ids, hf.encode_segments(&segments).unwrap());
    assert_eq!(ids.iter().filter(|&&id| gguf.is_special(id)).count(), 5);
}
