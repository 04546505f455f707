//! Weights, configuration and vocabulary of a `.gguf` file.
//!
//! Tensors are dequantised to float32. Metadata becomes the `config.json` that the same model has on the Hub, so that families are read
//! in one way; names become checkpoint keys. Three things that converters change are undone: the rows of LLaMA's query and key
//! matrices (interleaved for ggml's rotation), Gemma's norm weights (stored plus one), and llama3-type scaling, which is stored as
//! divisors of the frequencies (`rope_freqs.weight`).
//! Source: the GGUF specification and converters of ggml.

use super::safetensors::{fingerprint_blocks, is_git_lfs_pointer};
use super::{Numbers, WeightFile};
use crate::config::Config;
use crate::error::{Error, tensor_problem};
use crate::tokenizer::GgufVocabulary;
use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use memmap2::Mmap;
use serde_json::json;
use sha2::Sha256;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// An opened file.
pub(crate) struct GgufFile {
    path: PathBuf,
    map: Mmap,
    content: Content,
    architecture: String,
}

impl GgufFile {
    /// Reads the header and checks that every tensor lies within the file.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the file is only read; a model that is rewritten while it is in use gives wrong numbers either way.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let damaged = |problem: String| Error::DamagedWeights { path: path.to_path_buf(), problem };
        if is_git_lfs_pointer(&map) {
            return Err(damaged("it is a Git LFS pointer, not the weights".into()));
        }
        if !map.starts_with(b"GGUF") {
            let problem = "it does not begin with the letters GGUF".into();
            return Err(Error::NotAModel { path: path.to_path_buf(), problem });
        }
        let content = Content::read(&mut Cursor::new(&map[..])).map_err(|e| damaged(tensor_problem(&e)))?;
        let mut tensors: Vec<(&String, &TensorInfo)> = content.tensor_infos.iter().collect();
        tensors.sort_by_key(|(_, info)| info.offset);
        for (name, info) in tensors {
            let end = tensor_bytes(info)
                .and_then(|n| content.tensor_data_offset.checked_add(info.offset)?.checked_add(n))
                .ok_or_else(|| damaged(format!("the size of the weight {name} is out of range")))?;
            if end > map.len() as u64 {
                let problem = format!("it has {} bytes, the weight {name} ends at {end}", map.len());
                return Err(damaged(problem));
            }
        }
        let architecture = match content.metadata.get("general.architecture") {
            Some(Value::String(name)) => name.clone(),
            _ => return Err(damaged("general.architecture is missing".into())),
        };
        Ok(Self { path: path.to_path_buf(), map, content, architecture })
    }

    /// Adds length, header and blocks of the data, as for safetensors.
    pub(crate) fn fingerprint(&self, hasher: &mut Sha256) {
        fingerprint_blocks(&self.map, self.content.tensor_data_offset as usize, hasher);
    }

    fn key(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn count(&self, key: &str) -> Option<u64> {
        self.key(key).and_then(as_u64)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.key(key).and_then(as_f64)
    }

    /// The configuration as the model has it on the Hub.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let family = crate::arch::FAMILIES.iter().find(|f| f.gguf == Some(self.architecture.as_str()));
        let family = family.ok_or_else(|| Error::UnknownArchitecture {
            path: self.path.clone(),
            key: "general.architecture",
            found: self.architecture.clone(),
        })?;
        self.check_keys()?;
        let vocab_size = self.raw_shape("token_embd.weight").and_then(|shape| shape.first().copied());
        let vocab_size = vocab_size.ok_or_else(|| Error::MissingWeight {
            path: self.path.clone(),
            name: "token_embd.weight".into(),
        })?;
        let n_heads = self.count("attention.head_count");
        let head_dim = self.count("attention.key_length").or_else(|| {
            let hidden = self.count("embedding_length")?;
            Some(hidden / n_heads?.max(1))
        });
        let bias = self.raw_shape("blk.0.attn_output.bias").is_some();
        let mut config = json!({
            "model_type": family.model_type,
            "vocab_size": vocab_size,
            "hidden_size": self.count("embedding_length"),
            "intermediate_size": self.count("feed_forward_length"),
            "num_hidden_layers": self.count("block_count"),
            "num_attention_heads": n_heads,
            "num_key_value_heads": self.count("attention.head_count_kv"),
            "head_dim": head_dim,
            "max_position_embeddings": self.count("context_length"),
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon"),
            "rope_theta": self.number("rope.freq_base"),
            "rope_scaling": self.rope_scaling()?,
            "tie_word_embeddings": self.raw_shape("output.weight").is_none(),
            "attention_bias": bias,
        });
        if family.model_type == "gemma2" {
            // The 27B model scales scores by hidden size over heads; files do not say so, llama.cpp goes by the number of layers.
            let largest = self.count("block_count") == Some(46);
            let scalar = if largest {
                self.count("embedding_length").zip(n_heads).map(|(e, h)| e / h)
            } else {
                head_dim
            };
            config["query_pre_attn_scalar"] = json!(scalar);
            config["sliding_window"] = json!(self.count("attention.sliding_window").unwrap_or(4096));
            config["attn_logit_softcapping"] = json!(self.number("attn_logit_softcapping"));
            config["final_logit_softcapping"] = json!(self.number("final_logit_softcapping"));
        }
        Config::from_value(&self.path, config)
    }

    /// Without these nothing can be computed; others have defaults.
    fn check_keys(&self) -> Result<(), Error> {
        let needed = [
            "embedding_length",
            "feed_forward_length",
            "block_count",
            "attention.head_count",
            "context_length",
            "attention.layer_norm_rms_epsilon",
        ];
        match needed.into_iter().find(|key| self.key(key).is_none()) {
            Some(key) => Err(Error::Config {
                path: self.path.clone(),
                key: format!("{}.{key}", self.architecture),
                problem: "missing".into(),
            }),
            None => Ok(()),
        }
    }

    fn rope_scaling(&self) -> Result<serde_json::Value, Error> {
        if self.raw_shape("rope_freqs.weight").is_some() {
            let Numbers::F32(divisors) = self.read_raw("rope_freqs.weight")? else { return Ok(json!(null)) };
            return Ok(json!({
                "rope_type": "longrope", "short_factor": divisors, "long_factor": divisors,
                "attention_factor": 1.0, "factor": 1.0, "original_max_position_embeddings": self.count("context_length"),
            }));
        }
        let Some(Value::String(kind)) = self.key("rope.scaling.type") else { return Ok(json!(null)) };
        match kind.as_str() {
            "none" => Ok(json!(null)),
            "linear" => Ok(json!({ "rope_type": "linear", "factor": self.number("rope.scaling.factor") })),
            "yarn" => Ok(json!({
                "rope_type": "yarn", "factor": self.number("rope.scaling.factor"),
                "original_max_position_embeddings": self.count("rope.scaling.original_context_length"),
                "attention_factor": self.number("rope.scaling.attn_factor"),
            })),
            other => Err(Error::Config {
                path: self.path.clone(),
                key: format!("{}.rope.scaling.type", self.architecture),
                problem: format!("{other:?} is not supported"),
            }),
        }
    }

    /// The vocabulary, for the tokenizer.
    pub(crate) fn vocabulary(&self) -> Result<GgufVocabulary, Error> {
        let get = |key: &str| self.content.metadata.get(&format!("tokenizer.ggml.{key}"));
        let text = |key: &str| get(key).and_then(as_str).map(str::to_string);
        let token = |key: &str| get(key).and_then(as_u64).and_then(|id| u32::try_from(id).ok());
        let flag = |key: &str| get(key).and_then(|v| v.to_bool().ok());
        let strings = |key: &str| list(get(key), |v| as_str(v).map(str::to_string));
        let model = text("model").ok_or_else(|| Error::NoTokenizer {
            path: self.path.clone(),
            missing: "tokenizer.ggml.model",
            hint: "",
        })?;
        Ok(GgufVocabulary {
            architecture: self.architecture.clone(),
            model,
            pre: text("pre").unwrap_or_default(),
            tokens: strings("tokens"),
            scores: list(get("scores"), |v| as_f64(v).map(|f| f as f32)),
            token_types: list(get("token_type"), |v| as_u64(v).and_then(|n| i32::try_from(n).ok())),
            merges: strings("merges"),
            bos: token("bos_token_id"),
            eos: token("eos_token_id"),
            eot: token("eot_token_id"),
            pad: token("padding_token_id"),
            unk: token("unknown_token_id"),
            add_bos: flag("add_bos_token"),
            add_space_prefix: flag("add_space_prefix"),
            chat_template: self
                .content
                .metadata
                .get("tokenizer.chat_template")
                .and_then(as_str)
                .map(str::to_string),
        })
    }

    fn raw_shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.content.tensor_infos.get(name)?.shape.dims().to_vec())
    }

    fn read_raw(&self, name: &str) -> Result<Numbers, Error> {
        let tensor = self
            .content
            .tensor(&mut Cursor::new(&self.map[..]), name, &Device::Cpu)
            .and_then(|quantised| quantised.dequantize(&Device::Cpu))
            .and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
        tensor.map(Numbers::F32).map_err(|e| Error::DamagedWeights {
            path: self.path.clone(),
            problem: format!("the weight {name}: {}", tensor_problem(&e)),
        })
    }

    fn raw_name(&self, name: &str) -> Option<String> {
        let outer = match name {
            "model.embed_tokens.weight" => Some("token_embd.weight"),
            "model.norm.weight" => Some("output_norm.weight"),
            "lm_head.weight" => Some("output.weight"),
            _ => None,
        };
        if let Some(outer) = outer {
            return Some(outer.to_string());
        }
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (part, kind) = rest.rsplit_once('.')?;
        let norms_around = matches!(self.architecture.as_str(), "gemma2" | "olmo2");
        let part = match part {
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            "input_layernorm" => "attn_norm",
            "post_attention_layernorm" if norms_around => "post_attention_norm",
            "post_attention_layernorm" => "ffn_norm",
            "pre_feedforward_layernorm" => "ffn_norm",
            "post_feedforward_layernorm" => "post_ffw_norm",
            _ => return None,
        };
        Some(format!("blk.{layer}.{part}.{kind}"))
    }

    fn heads_of(&self, name: &str) -> Option<usize> {
        let key = if name.contains("self_attn.q_proj") {
            "attention.head_count"
        } else if name.contains("self_attn.k_proj") {
            "attention.head_count_kv"
        } else {
            return None;
        };
        let count = self.count(key).or_else(|| self.count("attention.head_count"))?;
        usize::try_from(count).ok()
    }
}

impl WeightFile for GgufFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.raw_shape(&self.raw_name(name)?)
    }

    fn read(&self, name: &str) -> Result<Numbers, Error> {
        let missing = || Error::MissingWeight { path: self.path.clone(), name: name.to_string() };
        let raw_name = self.raw_name(name).ok_or_else(missing)?;
        let Numbers::F32(mut numbers) = self.read_raw(&raw_name)? else { return Err(missing()) };
        if let (Some(n_heads), true) = (self.heads_of(name), self.architecture == "llama") {
            let shape = self.raw_shape(&raw_name).ok_or_else(missing)?;
            numbers = halves_from_pairs(&numbers, shape[0], n_heads);
        }
        if self.architecture.starts_with("gemma") && name.ends_with("norm.weight") {
            numbers.iter_mut().for_each(|weight| *weight -= 1.0);
        }
        Ok(Numbers::F32(numbers))
    }
}

/// Bytes of a tensor; `None` if they cannot be counted.
fn tensor_bytes(info: &TensorInfo) -> Option<u64> {
    let mut n = 1usize;
    for &dim in info.shape.dims() {
        n = n.checked_mul(dim)?;
    }
    (n / info.ggml_dtype.block_size()).checked_mul(info.ggml_dtype.type_size()).map(|bytes| bytes as u64)
}

/// Rows (2i, 2i+1) of each head go back to (i, i + D/2).
fn halves_from_pairs(numbers: &[f32], n_rows: usize, n_heads: usize) -> Vec<f32> {
    let columns = numbers.len() / n_rows.max(1);
    let head_dim = n_rows / n_heads.max(1);
    let mut out = Vec::with_capacity(numbers.len());
    for row in 0..n_rows {
        let (head, within) = (row / head_dim, row % head_dim);
        let half = head_dim / 2;
        let pair = if within < half { 2 * within } else { 2 * (within - half) + 1 };
        let source = (head * head_dim + pair) * columns;
        out.extend_from_slice(&numbers[source..source + columns]);
    }
    out
}

fn as_u64(value: &Value) -> Option<u64> {
    match value {
        Value::I8(n) => u64::try_from(*n).ok(),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        other => other.to_u64().ok(),
    }
}

fn as_f64(value: &Value) -> Option<f64> {
    match value {
        Value::F32(x) => Some(f64::from(*x)),
        Value::F64(x) => Some(*x),
        _ => None,
    }
}

fn as_str(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn list<T>(value: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(read).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_go_back_to_halves() {
        // Two heads of four rows, one column; ggml order is (0, 2, 1, 3) of each head.
        let ggml = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        let expected = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(halves_from_pairs(&ggml, 8, 2), expected);
    }
}
