//! A model made from a seed, for when no real one is at hand: the shape of SmolLM2-135M, float32, random weights.
//!
//! The numbers that it computes mean nothing, but it takes as long as a real one. Its tokenizer has the 256 bytes, an end token, and
//! made-up words for the rest of the vocabulary.

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const HIDDEN: usize = 576;
const LAYERS: usize = 30;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const INTERMEDIATE: usize = 1536;
/// Tokens of the vocabulary, that of SmolLM2.
pub(crate) const VOCAB: usize = 49152;
/// Those of Qwen2.5.
pub(crate) const LARGE_VOCAB: usize = 151_936;

/// Standard deviation of weights.
const SPREAD: f32 = 0.04;

/// The folder of the model, which is written unless it is there.
pub(crate) fn model(cache: &Path) -> Result<PathBuf> {
    model_of(cache, VOCAB)
}

/// The folder of the model with a vocabulary of this size.
pub(crate) fn model_of(cache: &Path, vocab: usize) -> Result<PathBuf> {
    let folder = if vocab == VOCAB { "made-up-135m".to_string() } else { format!("made-up-135m-{vocab}") };
    let folder = cache.join(folder);
    let weights = folder.join("model.safetensors");
    if weights.is_file() {
        return Ok(folder);
    }
    let written = || -> Result<()> {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config.json"), config(vocab).to_string())?;
        std::fs::write(folder.join("tokenizer.json"), tokenizer(vocab).to_string())?;
        let end = json!({"eos_token": END});
        std::fs::write(folder.join("tokenizer_config.json"), end.to_string())?;
        let temporary = folder.join(".weights");
        write_weights(&temporary, vocab)?;
        Ok(std::fs::rename(&temporary, &weights)?)
    };
    written().with_context(|| format!("cannot write the made-up model to {}", folder.display()))?;
    Ok(folder)
}

fn config(vocab: usize) -> Value {
    json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "dtype": "float32",
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HIDDEN / HEADS, "intermediate_size": INTERMEDIATE,
        "vocab_size": vocab, "max_position_embeddings": 8192, "rope_theta": 100_000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "eos_token_id": 0,
    })
}

/// Names and shapes of all tensors.
fn tensors(vocab: usize) -> Vec<(String, Vec<usize>)> {
    let kv = HIDDEN / HEADS * KV_HEADS;
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), vec![vocab, HIDDEN]),
        ("model.norm.weight".to_string(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let of_layer = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![kv, HIDDEN]),
            ("self_attn.v_proj", vec![kv, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.up_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INTERMEDIATE]),
        ];
        tensors.extend(of_layer.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
    }
    tensors
}

/// A safetensors file: length of the header, the header, the numbers. Norms are ones, matrices uniform around zero.
fn write_weights(path: &Path, vocab: usize) -> Result<()> {
    let mut header = Map::new();
    let mut offset = 0;
    for (name, shape) in tensors(vocab) {
        let end = offset + 4 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    // The numbers begin at a multiple of eight bytes.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let half_width = SPREAD * 3.0_f32.sqrt();
    for (_, shape) in tensors(vocab) {
        for _ in 0..shape.iter().product() {
            let value = if shape.len() == 1 { 1.0 } else { rng.random_range(-half_width..half_width) };
            file.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(file.into_inner()?.sync_all()?)
}

/// Ends a turn; token 0.
const END: &str = "<|end|>";

/// Byte-level pairs without merges: each byte is a token.
fn tokenizer(vocab_size: usize) -> Value {
    let mut vocab = Map::new();
    vocab.insert(END.into(), json!(0));
    for (byte, letter) in byte_letters().enumerate() {
        vocab.insert(letter.to_string(), json!(1 + byte));
    }
    for token in vocab.len()..vocab_size {
        vocab.insert(format!("Ġword{token}"), json!(token));
    }
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 0, "content": END, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}

/// How byte-level vocabularies spell each byte: printable ones as they are, the others as letters from U+0100 on.
fn byte_letters() -> impl Iterator<Item = char> {
    let mut others = 0x100_u32..;
    (0..=255_u8).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => others.next().and_then(char::from_u32).unwrap_or('\u{fffd}'),
    })
}
