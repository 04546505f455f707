//! Model folders that are more, or less, than `config.json`, `tokenizer.json` and weights: a head beside a tied flag, adapters alone, a
//! vocabulary with its merges.
//!
//! Logits are those of transformers and peft (`goldens/models/generate.py`, `goldens/adapters/generate.py`), within 1e-4 absolute + 1e-4
//! relative.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device};
use entrace_decoder::{Decoder, Options};
use entrace_text::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens")
}

fn with_base(base: PathBuf) -> Options {
    Options { base: Some(base), ..Options::default() }
}

fn refusal(folder: &Path, options: Options) -> String {
    let error = Decoder::open("tiny", folder, options).err().unwrap();
    error.to_string().replace(&folder.display().to_string(), "DIR")
}

#[test]
fn a_head_beside_a_tied_flag_is_used_and_told() {
    let own = goldens().join("models/out/llama-tied-own-head");
    let decoder = Decoder::open("tiny", &own, Options::default()).unwrap();
    assert!(!decoder.model().spec().tie_word_embeddings);
    assert!(decoder.notes()[0].contains("there is a head of its own"), "{:?}", decoder.notes());
    let tied = goldens().join("models/out/llama-tied");
    assert!(Decoder::open("tiny", &tied, Options::default()).unwrap().notes().is_empty());
}

#[test]
fn a_head_that_is_the_embedding_again_stays_tied() {
    let folder = tempfile::tempdir().unwrap();
    let tied = goldens().join("models/out/llama-tied");
    fs::copy(tied.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut weights = candle_core::safetensors::load(tied.join("model.safetensors"), &Device::Cpu).unwrap();
    weights.insert("lm_head.weight".into(), weights["model.embed_tokens.weight"].clone());
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&weights, &path).unwrap();
    let twice = Decoder::open("tiny", folder.path(), Options::default()).unwrap();
    assert!(twice.model().spec().tie_word_embeddings && twice.notes().is_empty());
    weights.remove("model.embed_tokens.weight");
    fs::remove_file(&path).unwrap();
    candle_core::safetensors::save(&weights, &path).unwrap();
    assert!(Decoder::open("tiny", folder.path(), Options::default()).is_ok());
}

#[test]
fn merged_adapters_compute_what_peft_computes() {
    for name in ["plain", "patterns"] {
        let folder = goldens().join("adapters/out").join(name);
        let options = with_base(goldens().join("models/out/llama-gqa"));
        let decoder = Decoder::open(name, &folder, options).unwrap_or_else(|e| panic!("{name}: {e}"));
        let golden = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        let ids: Vec<u32> = golden["input_ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
        let (_, logits) = decoder.hidden_states(&ids).unwrap();
        let expected = golden["logits"].to_vec2::<f32>().unwrap();
        for (at, (found, expected)) in logits.to_vec2::<f32>().unwrap().iter().zip(&expected).enumerate() {
            for (found, expected) in found.iter().zip(expected) {
                let tolerance = 1e-4 + 1e-4 * expected.abs();
                assert!((found - expected).abs() <= tolerance, "{name}, token {at}: {found} not {expected}");
            }
        }
    }
}

#[test]
fn adapters_name_the_model_that_they_need() {
    let folder = goldens().join("adapters/out/plain");
    assert_eq!(
        refusal(&folder, Options::default()),
        "DIR is not a model: it holds adapters of made-up/llama-gqa only, and needs that model as its base"
    );
    let other = refusal(&folder, with_base(goldens().join("models/out/phi3")));
    assert!(other.contains("which the base model does not have"), "{other}");
    let narrow = refusal(&folder, with_base(goldens().join("models/out/gemma2")));
    assert!(narrow.contains("self_attn.q_proj.weight has shape"), "{narrow}");
    let whole = goldens().join("models/out/llama-gqa");
    assert_eq!(
        refusal(&whole, with_base(whole.clone())),
        "DIR is not a model: it is no folder of adapters, and only those have a base model"
    );
}

#[test]
fn adapters_that_are_no_sum_are_refused_by_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let plain = goldens().join("adapters/out/plain");
    let weights = "adapter_model.safetensors";
    fs::copy(plain.join(weights), folder.path().join(weights)).unwrap();
    let config: Value =
        serde_json::from_str(&fs::read_to_string(plain.join("adapter_config.json")).unwrap()).unwrap();
    let cases = [
        ("peft_type", json!("IA3"), "peft_type: \"IA3\" is not supported"),
        ("use_dora", json!(true), "use_dora: true is not supported"),
        ("bias", json!("all"), "bias: \"all\" is not supported"),
        ("layer_replication", json!([[0, 2]]), "layer_replication: not supported"),
        ("alpha_pattern", json!({"^model\\.layers": 3}), "alpha_pattern: \"^model\\\\.layers\": 3 is not"),
        ("lora_alpha", json!("six"), "lora_alpha: expected a number"),
    ];
    for (key, value, expected) in cases {
        let mut changed = config.clone();
        changed[key] = value;
        fs::write(folder.path().join("adapter_config.json"), changed.to_string()).unwrap();
        let problem = refusal(folder.path(), with_base(goldens().join("models/out/llama-gqa")));
        assert!(problem.contains(expected), "{problem}");
    }
}

/// The vocabulary and the merges of a tokenizer of the goldens, as older folders hold them.
fn taken_apart(name: &str, config: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = goldens().join("text/out").join(name).join("tokenizer.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(source).unwrap()).unwrap();
    let merges: Vec<String> = whole["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let write = |file: &str, text: String| fs::write(folder.path().join(file), text).unwrap();
    write("vocab.json", whole["model"]["vocab"].to_string());
    write("merges.txt", format!("#version: 0.2\n{}\n", merges.join("\n")));
    let mut config = config.clone();
    let added = whole["added_tokens"].as_array().unwrap().iter();
    config["added_tokens_decoder"] =
        added.map(|token| (token["id"].to_string(), token.clone())).collect::<serde_json::Map<_, _>>().into();
    write("tokenizer_config.json", config.to_string());
    folder
}

#[test]
fn a_vocabulary_with_merges_is_a_tokenizer() {
    let encodings: Value =
        serde_json::from_str(&fs::read_to_string(goldens().join("text/out/encodings.json")).unwrap())
            .unwrap();
    let config =
        json!({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"});
    let folder = taken_apart("qwen", &config);
    let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
    for case in encodings["qwen"]["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<u32> =
            case["plain"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode_plain(text).unwrap(), expected, "{text:?}");
    }
    assert_eq!(tokenizer.token_string(tokenizer.stop_tokens()[0]).unwrap(), "<|im_end|>");

    // Any other class cuts as GPT-2 does: numbers whole.
    let config = json!({"tokenizer_class": "GPT2Tokenizer", "bos_token": "A", "add_bos_token": true});
    let tokenizer = Tokenizer::from_dir(taken_apart("smollm", &config).path()).unwrap();
    assert_eq!(tokenizer.prompt_prefix(), [tokenizer.token_id("A").unwrap()]);
}
