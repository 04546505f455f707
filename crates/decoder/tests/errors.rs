//! What is said about model files that cannot be used.
//!
//! Every message names the file and, where there is one, the key. `DIR` stands for the model folder, which is a good checkpoint with one
//! thing wrong.
// Long: one list of what files may hold and what is said of it; each test is a row of that list.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use entrace_backend::{
    Branch, BranchId, Error as BackendError, Fork, Generate, GenerateRequest, NextRequest, Parent, Sampling,
    ScoreTree, Text, TokenScores,
};
use entrace_decoder::{Decoder, LanguageModel, Options};
use expect_test::{Expect, expect};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens")
}

/// A copy of a tiny checkpoint.
fn checkpoint(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(goldens().join("models/out").join(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

fn edit_weights(folder: &Path, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = folder.join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    edit(&mut weights);
    fs::remove_file(&path).unwrap();
    candle_core::safetensors::save(&weights, &path).unwrap();
}

/// The error with its causes, with `DIR` for the folder.
fn message(folder: &Path, error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text.replace(&folder.display().to_string(), "DIR") + "\n"
}

fn check_path(folder: &Path, path: &Path, expected: Expect) {
    match Decoder::open("tiny", path, Options::default()) {
        Ok(_) => panic!("{} is opened", path.display()),
        Err(error) => expected.assert_eq(&message(folder, &error)),
    }
}

fn check(folder: &TempDir, expected: Expect) {
    check_path(folder.path(), folder.path(), expected);
}

/// One change to the configuration of a family's checkpoint.
fn check_config(name: &str, edit: impl FnOnce(&mut Value), expected: Expect) {
    let folder = checkpoint(name);
    edit_config(folder.path(), edit);
    check(&folder, expected);
}

#[test]
fn what_is_not_a_model() {
    let folder = tempfile::tempdir().unwrap();
    check_path(
        folder.path(),
        &folder.path().join("missing"),
        expect![[r#"
        DIR/missing is not a model: no such file or folder
    "#]],
    );
    check_path(
        folder.path(),
        &folder.path().join("missing.gguf"),
        expect![[r#"
        cannot read DIR/missing.gguf: No such file or directory (os error 2)
    "#]],
    );
    check(
        &folder,
        expect![[r#"
        DIR is not a model: there is no *.safetensors file in it
    "#]],
    );
    fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    check_path(
        folder.path(),
        &folder.path().join("notes.txt"),
        expect![[r#"
        DIR/notes.txt is not a model: expected a folder with config.json and *.safetensors, or a .gguf file
    "#]],
    );

    let folder = checkpoint("llama-gqa");
    fs::remove_file(folder.path().join("config.json")).unwrap();
    check(
        &folder,
        expect![[r#"
        DIR is not a model: there is no config.json in it
    "#]],
    );

    let folder = checkpoint("llama-gqa");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    check(
        &folder,
        expect![[r#"
        DIR is not a model: there is no *.safetensors file in it
    "#]],
    );
    fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
    check(
        &folder,
        expect![[r#"
        DIR is not a model: there is no *.safetensors file in it, only PyTorch's own format, which is not read: save it with transformers as safetensors
    "#]],
    );
}

#[test]
fn malformed_configurations() {
    let folder = checkpoint("llama-gqa");
    fs::write(folder.path().join("config.json"), "{\"model_type\": \"llama\",\n").unwrap();
    check(
        &folder,
        expect![[r#"
        cannot parse DIR/config.json: EOF while parsing a value at line 2 column 0
    "#]],
    );
    fs::write(folder.path().join("config.json"), "[]").unwrap();
    check(
        &folder,
        expect![[r#"
        cannot parse DIR/config.json: not a JSON object
    "#]],
    );
    fs::write(folder.path().join("config.json"), b"\xff\xfe{}").unwrap();
    check(
        &folder,
        expect![[r#"
        cannot read DIR/config.json: stream did not contain valid UTF-8
    "#]],
    );
    let remove = |key: &'static str| move |c: &mut Value| drop(c.as_object_mut().unwrap().remove(key));
    check_config(
        "llama-gqa",
        remove("model_type"),
        expect![[r#"
        DIR/config.json: model_type: missing
    "#]],
    );
    check_config(
        "llama-gqa",
        remove("hidden_size"),
        expect![[r#"
        DIR/config.json: hidden_size: missing
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["num_hidden_layers"] = json!("3"),
        expect![[r#"
        DIR/config.json: num_hidden_layers: expected a whole number, found "3"
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["num_hidden_layers"] = json!(0),
        expect![[r#"
        DIR/config.json: num_hidden_layers: must be positive
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["num_key_value_heads"] = json!(3),
        expect![[r#"
        DIR/config.json: num_key_value_heads: 3 does not divide the 4 attention heads
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["vocab_size"] = json!(-1),
        expect![[r#"
        DIR/config.json: vocab_size: expected a whole number, found -1
    "#]],
    );
}

#[test]
fn what_is_not_supported() {
    check_config(
        "llama-gqa",
        |c| c["model_type"] = json!("mamba"),
        expect![[r#"
        DIR/config.json: model_type: "mamba" is not supported; `entrace ls architectures` lists what is
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["quantization_config"] = json!({"quant_method": "gptq", "bits": 4}),
        expect![[r#"
            DIR/config.json: quantization_config: not supported (found {"quant_method":"gptq","bits":4})
        "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["hidden_act"] = json!("relu"),
        expect![[r#"
        DIR/config.json: hidden_act: "relu" is not supported
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["rope_parameters"]["rope_type"] = json!("ntk"),
        expect![[r#"
        DIR/config.json: rope_parameters.rope_type: "ntk" is not supported
    "#]],
    );
    check_config(
        "llama-rope-linear-old",
        |c| c["rope_scaling"] = json!({"type": "ntk"}),
        expect![[r#"
        DIR/config.json: rope_scaling.type: "ntk" is not supported
    "#]],
    );
    check_config(
        "llama-rope-linear-old",
        |c| c["rope_scaling"] = json!({"type": "linear"}),
        expect![[r#"
            DIR/config.json: rope_scaling.factor: missing
        "#]],
    );
    check_config(
        "phi3-longrope",
        |c| c["rope_parameters"]["short_factor"] = json!([1.0]),
        expect![[r#"
        DIR/config.json: rope_parameters.short_factor: expected 4 factors, found 1
    "#]],
    );
    check_config(
        "qwen3",
        |c| c["layer_types"] = json!(["full_attention", "linear_attention"]),
        expect![[r#"
            DIR/config.json: layer_types: "linear_attention" is not supported
        "#]],
    );
    check_config(
        "qwen3",
        |c| c["layer_types"] = json!(["full_attention"]),
        expect![[r#"
        DIR/config.json: layer_types: 1 entries for 2 layers
    "#]],
    );
    check_config(
        "gemma2",
        |c| c["use_bidirectional_attention"] = json!(true),
        expect![[r#"
        DIR/config.json: use_bidirectional_attention: true is not supported
    "#]],
    );
    check_config(
        "gemma2",
        |c| c["sliding_window"] = json!(null),
        expect![[r#"
        DIR/config.json: sliding_window: missing, but some layers slide
    "#]],
    );
    check_config(
        "deepseek-v2-grouped",
        |c| c["topk_method"] = json!("noaux_tc"),
        expect![[r#"
        DIR/config.json: topk_method: "noaux_tc" is not supported in deepseek_v2
    "#]],
    );
    check_config(
        "deepseek-v2-grouped",
        |c| c["partial_rotary_factor"] = json!(0.5),
        expect![[r#"
        DIR/config.json: partial_rotary_factor: only 1 is supported
    "#]],
    );
    check_config(
        "deepseek-v3-yarn-old",
        |c| c["topk_method"] = json!("greedy"),
        expect![[r#"
        DIR/config.json: topk_method: "greedy" is not supported in deepseek_v3
    "#]],
    );
    check_config(
        "deepseek-v3-yarn-old",
        |c| c["scoring_func"] = json!("softmax"),
        expect![[r#"
        DIR/config.json: scoring_func: "softmax" is not supported in deepseek_v3
    "#]],
    );
    check_config(
        "deepseek-v3",
        |c| c["num_experts_per_tok"] = json!(9),
        expect![[r#"
        DIR/config.json: num_experts_per_tok: 9 experts of 4 that can be picked
    "#]],
    );
}

#[test]
fn weights_that_do_not_fit_the_configuration() {
    let folder = checkpoint("llama-gqa");
    edit_weights(folder.path(), |w| drop(w.remove("model.layers.1.mlp.up_proj.weight")));
    check(
        &folder,
        expect![[r#"
        DIR: the weight model.layers.1.mlp.up_proj.weight is missing
    "#]],
    );

    check_config(
        "llama-gqa",
        |c| c["vocab_size"] = json!(65),
        expect![[r#"
        DIR: the weight model.embed_tokens.weight has shape [64, 32], the configuration asks for [65, 32]
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["num_hidden_layers"] = json!(4),
        expect![[r#"
        DIR: the weight model.layers.3.input_layernorm.weight is missing
    "#]],
    );
    check_config(
        "llama-gqa",
        |c| c["attention_bias"] = json!(true),
        expect![[r#"
        DIR: the weight model.layers.0.self_attn.q_proj.bias is missing
    "#]],
    );

    let folder = checkpoint("llama-gqa");
    edit_weights(folder.path(), |w| {
        let weight = &w["model.norm.weight"];
        let integers = weight.to_dtype(candle_core::DType::U8).unwrap();
        w.insert("model.norm.weight".into(), integers);
    });
    check(
        &folder,
        expect![[r#"
        DIR/model.safetensors: the weight model.norm.weight has type U8; F32, BF16, F16 and F64 can be read
    "#]],
    );
}

#[test]
fn damaged_safetensors() {
    let folder = checkpoint("llama-gqa");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for n in [whole.len() - 100, 200, 5, 0] {
        fs::write(&path, &whole[..n]).unwrap();
        let expected = match n {
            0 => expect![[r#"
                DIR/model.safetensors is damaged: header too small; it may be cut off, download it again
            "#]],
            5 => expect![[r#"
                DIR/model.safetensors is damaged: header too small; it may be cut off, download it again
            "#]],
            200 => expect![[r#"
                DIR/model.safetensors is damaged: invalid header length; it may be cut off, download it again
            "#]],
            _ => expect![[r#"
                DIR/model.safetensors is damaged: incomplete metadata, file not fully covered; it may be cut off, download it again
            "#]],
        };
        check(&folder, expected);
    }
    // A header that says it is longer than any file.
    fs::write(&path, [&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat()).unwrap();
    check(
        &folder,
        expect![[r#"
        DIR/model.safetensors is damaged: header too large; it may be cut off, download it again
    "#]],
    );
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 100\n").unwrap();
    check(
        &folder,
        expect![[r#"
        DIR/model.safetensors is damaged: it is a Git LFS pointer, not the weights; it may be cut off, download it again
    "#]],
    );
}

#[test]
fn sharded_checkpoints() {
    let folder = checkpoint("llama-gqa");
    let index = folder.path().join("model.safetensors.index.json");
    let map = json!({"weight_map": {
        "model.norm.weight": "model.safetensors",
        "lm_head.weight": "model-00002-of-00002.safetensors",
    }});
    fs::write(&index, map.to_string()).unwrap();
    check(
        &folder,
        expect![[r#"
        DIR/model.safetensors.index.json: weight_map: names model-00002-of-00002.safetensors, which is not in the folder; download it
    "#]],
    );
    fs::create_dir(folder.path().join("inner")).unwrap();
    for outside in ["../model.safetensors", "/etc/passwd", "inner/../../model.safetensors"] {
        fs::write(&index, json!({"weight_map": {"lm_head.weight": outside}}).to_string()).unwrap();
        let error = Decoder::open("tiny", folder.path(), Options::default()).err().unwrap();
        assert!(error.to_string().contains("is outside of the folder"), "{error}");
    }
    fs::write(&index, "{}").unwrap();
    check(
        &folder,
        expect![[r#"
        DIR/model.safetensors.index.json: weight_map: missing
    "#]],
    );
    fs::write(&index, "{").unwrap();
    check(
        &folder,
        expect![[r#"
        cannot parse DIR/model.safetensors.index.json: EOF while parsing an object at line 1 column 1
    "#]],
    );
}

#[test]
fn damaged_gguf_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = fs::read(goldens().join("gguf/out/llama-f32/model.gguf")).unwrap();
    let check_bytes = |bytes: &[u8], expected: Expect| {
        fs::write(&path, bytes).unwrap();
        check_path(folder.path(), &path, expected);
    };
    check_bytes(
        b"",
        expect![[r#"
        DIR/model.gguf is not a model: it does not begin with the letters GGUF
    "#]],
    );
    check_bytes(
        b"GGUF",
        expect![[r#"
        DIR/model.gguf is damaged: its header ends before it is complete; it may be cut off, download it again
    "#]],
    );
    check_bytes(
        b"a text that is no model at all",
        expect![[r#"
        DIR/model.gguf is not a model: it does not begin with the letters GGUF
    "#]],
    );
    check_bytes(
        &whole[..300],
        expect![[r#"
        DIR/model.gguf is damaged: its header ends before it is complete; it may be cut off, download it again
    "#]],
    );
    check_bytes(
        &whole[..whole.len() - 100],
        expect![[r#"
            DIR/model.gguf is damaged: it has 92444 bytes, the weight output.weight ends at 92544; it may be cut off, download it again
        "#]],
    );
    let renamed = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    // The first is the value of general.architecture.
    check_bytes(
        &renamed("llama", "mamba"),
        expect![[r#"
        DIR/model.gguf: general.architecture: "mamba" is not supported; `entrace ls architectures` lists what is
    "#]],
    );
    check_bytes(
        &renamed("general.architecture", "general.architecturX"),
        expect![[r#"
        DIR/model.gguf is damaged: general.architecture is missing; it may be cut off, download it again
    "#]],
    );
    check_bytes(
        &renamed("llama.block_count", "llama.block_counX"),
        expect![[r#"
        DIR/model.gguf: llama.block_count: missing
    "#]],
    );
    check_bytes(
        &renamed("llama.embedding_length", "llama.embedding_lengtX"),
        expect![[r#"
        DIR/model.gguf: llama.embedding_length: missing
    "#]],
    );
    check_bytes(
        &renamed("blk.1.ffn_up", "blk.1.ffn_Xp"),
        expect![[r#"
        DIR/model.gguf: the weight model.layers.1.mlp.up_proj.weight is missing
    "#]],
    );
    check_bytes(
        &renamed("token_embd", "token_embX"),
        expect![[r#"
            DIR/model.gguf: the weight token_embd.weight is missing
        "#]],
    );
}

#[test]
fn gguf_types_that_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut bytes = fs::read(goldens().join("gguf/out/qwen3-q4_0/model.gguf")).unwrap();
    // The type stands behind the name, the number of dimensions and two of them. IQ4_NL is as large as Q4_0.
    let name = b"blk.1.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&20u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    check_path(
        folder.path(),
        &path,
        expect![[r#"
        DIR/model.gguf: the weight blk.1.ffn_up.weight has type IQ4_NL; F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K and BF16 can be read
    "#]],
    );
    bytes[at..at + 4].copy_from_slice(&99u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    check_path(
        folder.path(),
        &path,
        expect![[r#"
        DIR/model.gguf is damaged: the weight blk.1.ffn_up.weight: tensors of type 99 are not known; it may be cut off, download it again
    "#]],
    );
}

#[test]
fn gguf_values_of_the_wrong_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = fs::read(goldens().join("gguf/out/llama-f32/model.gguf")).unwrap();
    let with = |key: &str, kind: u32, value: [u8; 4]| {
        let mut bytes = whole.clone();
        let at = whole.windows(key.len()).position(|w| w == key.as_bytes()).unwrap() + key.len();
        bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&value);
        fs::write(&path, bytes).unwrap();
    };
    with("llama.attention.layer_norm_rms_epsilon", 6, f32::NAN.to_le_bytes());
    check_path(
        folder.path(),
        &path,
        expect![[r#"
        DIR/model.gguf: llama.attention.layer_norm_rms_epsilon: expected a number, found NaN
    "#]],
    );
    with("llama.block_count", 6, 2f32.to_le_bytes());
    check_path(
        folder.path(),
        &path,
        expect![[r#"
        DIR/model.gguf: llama.block_count: expected a whole number, found 2.0
    "#]],
    );
    with("llama.attention.head_count_kv", 5, (-2i32).to_le_bytes());
    check_path(
        folder.path(),
        &path,
        expect![[r#"
        DIR/model.gguf: llama.attention.head_count_kv: expected a whole number, found -2
    "#]],
    );
}

#[test]
fn split_gguf_files() {
    let folder = tempfile::tempdir().unwrap();
    let parts = goldens().join("gguf/out/qwen2-split-f16");
    let first = folder.path().join("model-00001-of-00003.gguf");
    fs::copy(parts.join("model-00001-of-00003.gguf"), &first).unwrap();
    check_path(
        folder.path(),
        &first,
        expect![[r#"
        DIR/model-00001-of-00003.gguf is not a model: the part DIR/model-00002-of-00003.gguf is missing; download it
    "#]],
    );
    let renamed = folder.path().join("model.gguf");
    fs::rename(&first, &renamed).unwrap();
    check_path(
        folder.path(),
        &renamed,
        expect![[r#"
        DIR/model.gguf is not a model: it is one of 3 parts; give them the names that they were published under (model-00001-of-00003.gguf)
    "#]],
    );
}

/// Whatever stands in a header, it is read or refused.
#[test]
fn headers_with_wrong_bytes_are_read_or_refused() {
    let folder = checkpoint("llama-gqa");
    let gguf = folder.path().join("model.gguf");
    let llama = goldens().join("gguf/out/llama-f32/model.gguf");
    let cases = [
        (llama, gguf.clone(), gguf),
        (
            goldens().join("models/out/llama-gqa/model.safetensors"),
            folder.path().join("model.safetensors"),
            folder.path().to_path_buf(),
        ),
    ];
    for (source, target, model) in cases {
        let whole = fs::read(source).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                bytes[rng.random_range(0..2200)] =
                    *[0, 1, 0x7f, 0xff, rng.random()].choose(&mut rng).unwrap();
            }
            fs::write(&target, bytes).unwrap();
            let opened =
                std::panic::catch_unwind(|| Decoder::open("tiny", &model, Options::default()).is_ok());
            assert!(opened.is_ok(), "round {round} on {}", target.display());
        }
    }
}

fn language_model(path: &Path) -> Result<LanguageModel, entrace_decoder::Error> {
    let now = jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0);
    LanguageModel::open("tiny", path, Options::default(), now)
}

fn check_language(folder: &TempDir, path: &Path, expected: Expect) {
    match language_model(path) {
        Ok(_) => panic!("{} is opened", path.display()),
        Err(error) => expected.assert_eq(&message(folder.path(), &error)),
    }
}

#[test]
fn tokenizers_that_do_not_fit() {
    let folder = checkpoint("llama-gqa");
    check_language(
        &folder,
        folder.path(),
        expect![[r#"
        DIR has no tokenizer (tokenizer.json is missing); only token ids can be used with it
    "#]],
    );
    fs::write(folder.path().join("tokenizer.model"), "").unwrap();
    check_language(
        &folder,
        folder.path(),
        expect![[r#"
        DIR has no tokenizer (tokenizer.json is missing; only the SentencePiece file tokenizer.model is there: load and save it with transformers once); only token ids can be used with it
    "#]],
    );
    let tokenizer = folder.path().join("tokenizer.json");
    fs::write(&tokenizer, "{").unwrap();
    check_language(
        &folder,
        folder.path(),
        expect![[r#"
        build the tokenizer of DIR: EOF while parsing an object at line 1 column 1
    "#]],
    );
    fs::copy(goldens().join("text/out/llama3/tokenizer.json"), &tokenizer).unwrap();
    check_language(
        &folder,
        folder.path(),
        expect![[r#"
        DIR: the tokenizer has 401 tokens but the model's vocabulary only 64: these files do not belong together
    "#]],
    );
    fs::write(folder.path().join("tokenizer_config.json"), "{").unwrap();
    check_language(
        &folder,
        folder.path(),
        expect![[r#"
        parse DIR/tokenizer_config.json: EOF while parsing an object at line 1 column 1
    "#]],
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(goldens().join("gguf/out/llama-f32/model.gguf"), &path).unwrap();
    check_language(
        &folder,
        &path,
        expect![[r#"
        DIR/model.gguf has no tokenizer (tokenizer.ggml.model is missing); only token ids can be used with it
    "#]],
    );
}

/// A checkpoint whose token 5 has an embedding that is not a number.
fn with_a_hole() -> TempDir {
    let folder = checkpoint("llama-mha");
    edit_weights(folder.path(), |w| {
        let name = "model.embed_tokens.weight";
        let mut rows = w[name].to_vec2::<f32>().unwrap();
        rows[5].fill(f32::NAN);
        w.insert(name.into(), Tensor::new(rows, &Device::Cpu).unwrap());
    });
    folder
}

#[test]
fn numbers_that_are_not_finite_are_located() {
    let folder = with_a_hole();
    let decoder = Decoder::open("tiny", folder.path(), Options::default()).unwrap();
    let mut session = decoder.session().unwrap();
    let branch = |tokens: &[u32]| Branch {
        tokens: tokens.to_vec(),
        token_scores: TokenScores::Logprobs,
        next: Some(NextRequest::default()),
        keep: true,
        ..Branch::default()
    };
    session.extend(&[branch(&[1, 2, 3])]).unwrap();
    let fork = Branch { parent: Some(Parent { branch: BranchId(0), n_tokens: 3 }), ..branch(&[4, 5, 6]) };
    let found = session.extend(&[branch(&[1]), fork]);
    // The rows of one run of tokens may share what is not finite, but not with what came before.
    assert!(matches!(found, Err(BackendError::NotFinite { index: 3..=4 })), "{found:?}");
    assert_eq!(session.extend(&[branch(&[1, 2, 3])]).unwrap()[0].id, BranchId(1));
}

#[test]
fn sampling_from_numbers_that_are_not_finite_is_refused() {
    let folder = with_a_hole();
    edit_config(folder.path(), |c| c["vocab_size"] = json!(64));
    // A vocabulary of sixty characters.
    let vocab: serde_json::Map<String, Value> =
        (0..60u8).map(|i| (char::from(b'A' + i).to_string(), json!(i))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let model = language_model(folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let context = model.encode_plain("BCFD").unwrap();
    assert_eq!(context, [1, 2, 5, 3]);
    let fork = Fork { n_tokens: 4, suffix: vec![], streams: vec![1], max_new_tokens: None };
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 4, stop: vec![] };
    let found = model.generate(&[GenerateRequest { context, forks: vec![fork] }], &sampling, &mut |_| true);
    assert!(matches!(found, Err(BackendError::NotFinite { index: 3 })), "{found:?}");
}
