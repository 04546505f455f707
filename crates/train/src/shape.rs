//! What a trainable model looks like: sizes, and every weight by its checkpoint key.
//!
//! The trainable block is that of LLaMA and Qwen-2: RMS norms before attention and feed-forward part, grouped-query attention with rotary
//! embeddings and perhaps biases on queries, keys and values, SwiGLU. Whatever a configuration asks for beyond that is refused by name.

use crate::error::Error;
use entrace_decoder::config::Config;
use entrace_decoder::rope::RopeSpec;
use entrace_decoder::spec::{Activation, LayerSpec, MlpSpec, NormKind, NormPlacement, Projection, Spec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Sizes of a model that is made from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSize {
    /// E.
    pub hidden_size: usize,
    /// L.
    pub num_hidden_layers: usize,
    /// H.
    pub num_attention_heads: usize,
    /// K.
    pub num_key_value_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Most positions.
    pub max_position_embeddings: usize,
    /// θ of the rotary embeddings.
    pub rope_theta: f64,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
}

impl Default for ModelSize {
    /// About 1.3 million parameters with a vocabulary of some hundred tokens.
    fn default() -> Self {
        Self {
            hidden_size: 128,
            num_hidden_layers: 6,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            intermediate_size: 384,
            max_position_embeddings: 512,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
        }
    }
}

impl ModelSize {
    /// `config.json` of a LLaMA model of this size.
    pub fn config(&self, vocabulary: &VocabularyIds) -> Map<String, Value> {
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocabulary.size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.hidden_size / self.num_attention_heads.max(1),
            "hidden_act": "silu",
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": 1e-5,
            "rope_theta": self.rope_theta,
            "attention_bias": false,
            "attention_dropout": 0.0,
            "mlp_bias": false,
            "initializer_range": 0.02,
            "tie_word_embeddings": self.tie_word_embeddings,
            "bos_token_id": vocabulary.bos,
            "eos_token_id": vocabulary.eos,
            "use_cache": true,
        });
        match config {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// What a configuration says about its vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VocabularyIds {
    /// Number of tokens.
    pub size: usize,
    /// Token that begins a text.
    pub bos: u32,
    /// Token that ends it.
    pub eos: u32,
}

/// Sizes of a trainable model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) n_layers: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) context_length: usize,
    pub(crate) rms_norm_eps: f64,
    pub(crate) qkv_bias: bool,
    pub(crate) tie_word_embeddings: bool,
    pub(crate) rope: RopeSpec,
}

/// What a weight is, which decides how it starts and whether it decays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedding,
    Norm,
    Bias,
    Matrix,
    /// A matrix whose output is added to the residual stream.
    Residual,
}

/// A weight by its checkpoint key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightSpec {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
    pub(crate) kind: Kind,
}

impl Shape {
    /// Reads a configuration; `path` is where it stands, for errors.
    pub(crate) fn read(path: &Path, config: &Map<String, Value>) -> Result<Self, Error> {
        let config = Config::from_value(path, Value::Object(config.clone()))?;
        let (family, spec) = entrace_decoder::arch::read_spec(&config)?;
        let refuse = |part: &str| Error::Untrainable { path: path.to_path_buf(), part: part.to_string() };
        if !["llama", "qwen2"].contains(&family.model_type) {
            return Err(refuse(&format!("a model of type {}", family.model_type)));
        }
        Self::of_spec(&spec).map_err(refuse)
    }

    fn of_spec(spec: &Spec) -> Result<Self, &'static str> {
        let first = spec.layers.first().ok_or("a model without layers")?;
        if spec.layers.iter().any(|layer| layer != first) {
            return Err("layers that differ (sliding windows)");
        }
        let NormKind::Rms { eps, .. } = spec.norm else { return Err("a norm that is not an RMS norm") };
        let (qkv_bias, intermediate_size) = plain_block(first)?;
        let attention = &first.attention;
        let rope = spec.ropes.get(attention.rope).ok_or("attention without rotary embeddings")?.clone();
        if rope.dim != attention.head_dim {
            return Err("a rotary embedding of a part of the head");
        }
        Ok(Self {
            vocab_size: spec.vocab_size,
            hidden_size: spec.hidden_size,
            n_layers: spec.layers.len(),
            n_heads: attention.n_heads,
            n_kv_heads: attention.n_kv_heads,
            head_dim: attention.head_dim,
            intermediate_size,
            context_length: spec.context_length,
            rms_norm_eps: eps,
            qkv_bias,
            tie_word_embeddings: spec.tie_word_embeddings,
            rope,
        })
    }

    /// All weights in the order of checkpoints.
    pub(crate) fn weights(&self) -> Vec<WeightSpec> {
        let (hidden, mlp) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let mut all = Vec::new();
        let mut add = |name: String, dims: &[usize], kind| {
            all.push(WeightSpec { name, dims: dims.to_vec(), kind });
        };
        add("model.embed_tokens.weight".into(), &[self.vocab_size, hidden], Kind::Embedding);
        for layer in 0..self.n_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            add(name("input_layernorm.weight"), &[hidden], Kind::Norm);
            for (part, rows) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                add(name(&format!("self_attn.{part}.weight")), &[rows, hidden], Kind::Matrix);
                if self.qkv_bias {
                    add(name(&format!("self_attn.{part}.bias")), &[rows], Kind::Bias);
                }
            }
            add(name("self_attn.o_proj.weight"), &[hidden, q], Kind::Residual);
            add(name("post_attention_layernorm.weight"), &[hidden], Kind::Norm);
            add(name("mlp.gate_proj.weight"), &[mlp, hidden], Kind::Matrix);
            add(name("mlp.up_proj.weight"), &[mlp, hidden], Kind::Matrix);
            add(name("mlp.down_proj.weight"), &[hidden, mlp], Kind::Residual);
        }
        add("model.norm.weight".into(), &[hidden], Kind::Norm);
        if !self.tie_word_embeddings {
            add("lm_head.weight".into(), &[self.vocab_size, hidden], Kind::Embedding);
        }
        all
    }
}

/// Biases and width of a layer, if it is the plain block.
fn plain_block(layer: &LayerSpec) -> Result<(bool, usize), &'static str> {
    let attention = &layer.attention;
    let Projection::Plain { bias, fused: false, qk_norm: None, clip: None } = attention.projection else {
        return Err("this projection of queries, keys and values");
    };
    let MlpSpec::Gated { intermediate_size, activation: Activation::Silu, bias: false, fused: false } =
        layer.mlp
    else {
        return Err("this feed-forward part");
    };
    if layer.norms != NormPlacement::Before {
        return Err("norms that stand behind");
    }
    if attention.o_bias {
        return Err("a bias on the attention's output");
    }
    if attention.window.is_some() {
        return Err("a sliding window");
    }
    Ok((bias, intermediate_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl Fn(&mut Map<String, Value>)) -> Map<String, Value> {
        let mut config = ModelSize::default().config(&VocabularyIds { size: 400, bos: 1, eos: 2 });
        change(&mut config);
        config
    }

    #[test]
    fn the_default_has_about_1_3_million_parameters() {
        let shape = Shape::read(Path::new("config.json"), &config(|_| {})).unwrap();
        let n: usize = shape.weights().iter().map(|w| w.dims.iter().product::<usize>()).sum();
        assert_eq!(n, 51_200 + 6 * (4 * 128 * 128 + 3 * 128 * 384 + 256) + 128);
    }

    #[test]
    fn what_cannot_be_trained_is_named() {
        let refused = |change: fn(&mut Map<String, Value>)| {
            Shape::read(Path::new("config.json"), &config(change)).unwrap_err().to_string()
        };
        assert!(
            refused(|c| {
                c.insert("hidden_act".into(), json!("gelu"));
            })
            .contains("feed-forward")
        );
        assert!(
            refused(|c| {
                c.insert("attention_bias".into(), json!(true));
            })
            .contains("output")
        );
        assert!(
            refused(|c| {
                c.insert("model_type".into(), json!("qwen3"));
            })
            .contains("qwen3")
        );
    }
}
