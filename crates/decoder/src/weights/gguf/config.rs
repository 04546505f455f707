//! The metadata of a GGUF file as the `config.json` that the same model has on the Hub, so that families are read in one way.
//!
//! Keys are those that llama.cpp's converters write. What they leave out is what llama.cpp assumes: the second rotary base of Gemma 3,
//! which layers slide, and how Gemma's largest models scale their scores. Two architectures of llama.cpp are two families each:
//! `deepseek2` is DeepSeek-V3 where experts are picked by sigmoids, and `olmo2` is OLMo 3 where it has a sliding window.

use super::GgufFile;
use super::header::Value;
use crate::config::Config;
use crate::error::Error;
use crate::weights::WeightFile;
use serde_json::{Map, Value as Json, json};

/// Values of `expert_gating_func`.
const SIGMOID: usize = 2;

impl GgufFile {
    /// The configuration as the model has it on the Hub.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let model_type = self.model_type()?;
        let mut config = self.common()?;
        config.insert("model_type".into(), json!(model_type));
        let own = match self.architecture.as_str() {
            "gemma2" => self.gemma2()?,
            "gemma3" => self.gemma3()?,
            "olmo" => json!({ "clip_qkv": self.number("attention.clamp_kqv")? }),
            "olmo2" => self.olmo2()?,
            "phi3" => {
                json!({ "sliding_window": self.count("attention.sliding_window")?.filter(|&n| n > 0) })
            }
            "deepseek2" => self.deepseek2()?,
            _ => json!({}),
        };
        if let Json::Object(own) = own {
            config.extend(own);
        }
        Config::from_value(self.path(), Json::Object(config))
    }

    fn model_type(&self) -> Result<&'static str, Error> {
        let architecture = self.architecture.as_str();
        let named = match architecture {
            "deepseek2" if self.count("expert_gating_func")? == Some(SIGMOID) => Some("deepseek_v3"),
            "olmo2" if self.count("attention.sliding_window")?.is_some_and(|n| n > 0) => Some("olmo3"),
            _ => None,
        };
        let family = crate::arch::FAMILIES.iter().find(|family| {
            family.gguf == architecture && named.is_none_or(|named| named == family.model_type)
        });
        family.map(|family| family.model_type).ok_or_else(|| Error::UnknownArchitecture {
            path: self.path().to_path_buf(),
            key: "general.architecture",
            found: architecture.to_string(),
        })
    }

    fn common(&self) -> Result<Map<String, Json>, Error> {
        let vocab_size = self.raw_shape("token_embd.weight").and_then(|shape| shape.first().copied());
        let vocab_size = vocab_size.ok_or_else(|| Error::MissingWeight {
            path: self.path().to_path_buf(),
            name: "token_embd.weight".into(),
        })?;
        if self.architecture != "deepseek2" && self.count("expert_count")?.is_some_and(|n| n > 0) {
            return Err(self.refuse("expert_count", "experts are read in deepseek2 only"));
        }
        let eps = match self.architecture.as_str() {
            "olmo" => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        };
        let config = json!({
            "vocab_size": vocab_size,
            "hidden_size": self.needed("embedding_length")?,
            "intermediate_size": self.needed("feed_forward_length")?,
            "num_hidden_layers": self.needed("block_count")?,
            "num_attention_heads": self.needed("attention.head_count")?,
            "num_key_value_heads": self.count("attention.head_count_kv")?,
            "head_dim": self.head_dim()?,
            "max_position_embeddings": self.needed("context_length")?,
            "rms_norm_eps": self.number(eps)?.ok_or_else(|| self.refuse(eps, "missing"))?,
            "rope_theta": self.number("rope.freq_base")?,
            "rope_scaling": self.rope_scaling()?,
            "partial_rotary_factor": self.rotating_share()?,
            "tie_word_embeddings": self.raw_shape("output.weight").is_none(),
            "attention_bias": self.raw_shape("blk.0.attn_output.bias").is_some(),
        });
        match config {
            Json::Object(config) => Ok(config),
            _ => unreachable!("an object was written"),
        }
    }

    fn head_dim(&self) -> Result<usize, Error> {
        match self.count("attention.key_length")? {
            Some(dim) => Ok(dim),
            None => Ok(self.needed("embedding_length")? / self.needed("attention.head_count")?.max(1)),
        }
    }

    /// What part of a head turns. DeepSeek's heads turn in a part of their own.
    fn rotating_share(&self) -> Result<Option<f64>, Error> {
        let (head_dim, turning) = (self.head_dim()?, self.count("rope.dimension_count")?);
        let turning = turning.filter(|&turning| self.architecture != "deepseek2" && turning != head_dim);
        Ok(turning.map(|turning| turning as f64 / head_dim as f64))
    }

    fn rope_scaling(&self) -> Result<Json, Error> {
        if self.raw_shape("rope_freqs.weight").is_some() {
            let divisors = self.raw_numbers("rope_freqs.weight")?;
            return Ok(json!({
                "rope_type": "longrope", "short_factor": divisors, "long_factor": divisors,
                "attention_factor": 1.0, "factor": 1.0, "original_max_position_embeddings": self.count("context_length")?,
            }));
        }
        if self.raw_shape("rope_factors_long.weight").is_some() {
            return Ok(json!({
                "rope_type": "longrope",
                "short_factor": self.raw_numbers("rope_factors_short.weight")?,
                "long_factor": self.raw_numbers("rope_factors_long.weight")?,
                "attention_factor": self.number("rope.scaling.attn_factor")?,
                "original_max_position_embeddings": self.count("rope.scaling.original_context_length")?,
            }));
        }
        let Some(kind) = self.text("rope.scaling.type")? else { return Ok(json!(null)) };
        let factor = self.number("rope.scaling.factor")?;
        match kind {
            "none" => Ok(json!(null)),
            "linear" => Ok(json!({ "rope_type": "linear", "factor": factor })),
            "yarn" => self.yarn(factor),
            other => Err(self.refuse("rope.scaling.type", format!("{other:?} is not supported"))),
        }
    }

    /// `attn_factor` multiplies the factor that YaRN has by itself, `yarn_attn_factor` replaces it. The logarithm's multiplier is a tenth
    /// of `mscale_all_dim`, which is also `mscale` in every model that has one.
    fn yarn(&self, factor: Option<f64>) -> Result<Json, Error> {
        let own = crate::rope::yarn_mscale(factor.unwrap_or(1.0), 1.0);
        let attention_factor = match self.number("rope.scaling.yarn_attn_factor")? {
            Some(given) => Some(given),
            None => self.number("rope.scaling.attn_factor")?.map(|times| own * times),
        };
        let mscale = self.number("rope.scaling.yarn_log_multiplier")?.map(|tenth| 10.0 * tenth);
        Ok(json!({
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": self.count("rope.scaling.original_context_length")?,
            "attention_factor": attention_factor,
            "beta_fast": self.number("rope.scaling.yarn_beta_fast")?,
            "beta_slow": self.number("rope.scaling.yarn_beta_slow")?,
            "mscale": mscale,
            "mscale_all_dim": mscale,
        }))
    }

    /// The largest models scale scores by hidden size over heads; files do not say so, llama.cpp goes by the number of layers.
    fn query_scalar(&self, layers_of_the_largest: usize) -> Result<usize, Error> {
        if self.needed("block_count")? == layers_of_the_largest {
            Ok(self.needed("embedding_length")? / self.needed("attention.head_count")?.max(1))
        } else {
            self.head_dim()
        }
    }

    fn gemma2(&self) -> Result<Json, Error> {
        Ok(json!({
            "query_pre_attn_scalar": self.query_scalar(46)?,
            "sliding_window": self.count("attention.sliding_window")?.unwrap_or(4096),
            "attn_logit_softcapping": self.number("attn_logit_softcapping")?,
            "final_logit_softcapping": self.number("final_logit_softcapping")?,
        }))
    }

    fn gemma3(&self) -> Result<Json, Error> {
        Ok(json!({
            "query_pre_attn_scalar": self.query_scalar(62)?,
            "sliding_window": self.count("attention.sliding_window")?.unwrap_or(1024),
            "layer_types": self.layer_types(6)?,
            "final_logit_softcapping": self.number("final_logit_softcapping")?,
            "rope_local_base_freq": self.number("rope.freq_base_swa")?,
        }))
    }

    fn olmo2(&self) -> Result<Json, Error> {
        match self.count("attention.sliding_window")?.filter(|&n| n > 0) {
            None => Ok(json!({})),
            // Here the layers that slide share the rotary base of the others, without its scaling.
            Some(window) => Ok(json!({
                "sliding_window": window,
                "layer_types": self.layer_types(4)?,
                "rope_parameters": {
                    "sliding_attention": { "rope_type": "default", "rope_theta": self.number("rope.freq_base")? },
                    "full_attention": self.full_rope()?,
                },
            })),
        }
    }

    fn full_rope(&self) -> Result<Json, Error> {
        let mut rope = match self.rope_scaling()? {
            Json::Object(scaling) => scaling,
            _ => Map::new(),
        };
        rope.insert("rope_theta".into(), json!(self.number("rope.freq_base")?));
        Ok(Json::Object(rope))
    }

    /// Which layers slide: by the file's own pattern, else all but every `every`th.
    fn layer_types(&self, every: usize) -> Result<Vec<&'static str>, Error> {
        let key = "attention.sliding_window_pattern";
        let n_layers = self.needed("block_count")?;
        let slides: Vec<bool> = match self.value(key) {
            Some(Value::List(list)) => self
                .values(list)
                .map(|value| matches!(value, Value::Bool(true) | Value::Integer(1)))
                .collect(),
            _ => {
                let every = self.count(key)?.unwrap_or(every);
                (1..=n_layers).map(|layer| every == 0 || layer % every != 0).collect()
            }
        };
        Ok(slides.into_iter().map(|s| if s { "sliding_attention" } else { "full_attention" }).collect())
    }

    fn deepseek2(&self) -> Result<Json, Error> {
        let or = |key: &str, other: &str| match self.count(key)? {
            Some(n) => Ok(n),
            None => self.needed(other),
        };
        let rope_dim = self.needed("rope.dimension_count")?;
        // In newer files the plain lengths are those of the heads that llama.cpp computes with, in the latent space.
        let key_length = or("attention.key_length_mla", "attention.key_length")?;
        let fixed = key_length.checked_sub(rope_dim).ok_or_else(|| {
            self.refuse("rope.dimension_count", format!("{rope_dim} of a key's {key_length} numbers"))
        })?;
        let n_experts = self.count("expert_count")?.unwrap_or(0);
        let n_heads = self.needed("attention.head_count")?;
        let mut config = json!({
            "num_key_value_heads": n_heads,
            "head_dim": rope_dim,
            "q_lora_rank": self.count("attention.q_lora_rank")?,
            "kv_lora_rank": self.needed("attention.kv_lora_rank")?,
            "qk_rope_head_dim": rope_dim,
            "qk_nope_head_dim": fixed,
            "v_head_dim": or("attention.value_length_mla", "attention.value_length")?,
            "n_routed_experts": n_experts,
        });
        let experts = if n_experts > 0 { self.experts(n_experts)? } else { json!({}) };
        if let (Json::Object(config), Json::Object(experts)) = (&mut config, experts) {
            config.extend(experts);
        }
        Ok(config)
    }

    fn experts(&self, n_experts: usize) -> Result<Json, Error> {
        let sigmoid = self.count("expert_gating_func")? == Some(SIGMOID);
        // Older files do not say that the experts of DeepSeek-V3 itself are grouped.
        let of_v3 = sigmoid && n_experts == 256;
        let n_groups = self.count("expert_group_count")?.unwrap_or(if of_v3 { 8 } else { 1 });
        let top_groups = self.count("expert_group_used_count")?.unwrap_or(if of_v3 { 4 } else { 1 });
        let method = match (sigmoid, n_groups) {
            (true, _) => "noaux_tc",
            (false, 0 | 1) => "greedy",
            (false, _) => "group_limited_greedy",
        };
        Ok(json!({
            "topk_method": method,
            "n_group": n_groups.max(1),
            "topk_group": top_groups.max(1),
            "num_experts_per_tok": self.needed("expert_used_count")?,
            "n_shared_experts": self.needed("expert_shared_count")?,
            "moe_intermediate_size": self.needed("expert_feed_forward_length")?,
            "first_k_dense_replace": self.count("leading_dense_block_count")?.unwrap_or(0),
            "norm_topk_prob": self.flag("expert_weights_norm")?.unwrap_or(false),
            // Zero is how a file says that there is no factor.
            "routed_scaling_factor": self.number("expert_weights_scale")?.filter(|&scale| scale != 0.0).unwrap_or(1.0),
        }))
    }

    fn refuse(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::Config {
            path: self.path().to_path_buf(),
            key: format!("{}.{key}", self.architecture),
            problem: problem.into(),
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.metadata(&format!("{}.{key}", self.architecture))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wrong = || self.refuse(key, format!("expected {wanted}, found {value}"));
        read(value).map(Some).ok_or_else(wrong)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |value| match value {
            Value::Integer(n) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    fn needed(&self, key: &str) -> Result<usize, Error> {
        self.count(key)?.ok_or_else(|| self.refuse(key, "missing"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", |value| match value {
            Value::Float(x) => Some(*x).filter(|x| x.is_finite()),
            Value::Integer(n) => Some(*n as f64),
            _ => None,
        })
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a word", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(yes) => Some(*yes),
            _ => None,
        })
    }
}
