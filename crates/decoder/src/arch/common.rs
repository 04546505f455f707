//! Keys that mean the same in most families.

use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::{
    Activation, AttentionSpec, LayerSpec, MlpSpec, NormKind, NormPlacement, Projection, QkNorm, Spec,
};

/// Sizes of an ordinary attention.
pub(super) struct Heads {
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) head_dim: usize,
}

impl Heads {
    /// `num_attention_heads`, `num_key_value_heads` (default: as many), `head_dim` (default: hidden size over heads).
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
        let n_heads = config.positive("num_attention_heads")?;
        let n_kv_heads = config.opt_usize("num_key_value_heads")?.unwrap_or(n_heads);
        if n_kv_heads == 0 || n_heads % n_kv_heads != 0 {
            return Err(config.refuse(
                "num_key_value_heads",
                format!("{n_kv_heads} does not divide the {n_heads} attention heads"),
            ));
        }
        let head_dim = match config.opt_usize("head_dim")? {
            Some(0) => return Err(config.refuse("head_dim", "must be positive")),
            Some(dim) => dim,
            None => divided(config, config.positive("hidden_size")?, n_heads)?,
        };
        Ok(Self { n_heads, n_kv_heads, head_dim })
    }
}

fn divided(config: &Config, hidden_size: usize, n_heads: usize) -> Result<usize, Error> {
    if hidden_size.is_multiple_of(n_heads) {
        Ok(hidden_size / n_heads)
    } else {
        Err(config.refuse("hidden_size", format!("{hidden_size} is not a multiple of {n_heads} heads")))
    }
}

/// More layers than any model has: a number that a damaged file gave.
const MOST_LAYERS: usize = 4096;

/// `num_hidden_layers`.
pub(super) fn n_layers(config: &Config) -> Result<usize, Error> {
    match config.positive("num_hidden_layers")? {
        n if n > MOST_LAYERS => {
            Err(config.refuse("num_hidden_layers", format!("{n} is more than {MOST_LAYERS}")))
        }
        n => Ok(n),
    }
}

/// What differs between families that share one plain block.
pub(super) struct Plain {
    pub(super) norms: NormPlacement,
    pub(super) qkv_bias: bool,
    pub(super) o_bias: bool,
    pub(super) mlp_bias: bool,
    pub(super) fused: bool,
    pub(super) qk_norm: Option<QkNorm>,
    pub(super) clip: Option<f64>,
    pub(super) scale: f64,
    pub(super) softcap: Option<f64>,
    pub(super) activation: Activation,
    pub(super) intermediate_size: usize,
}

impl Plain {
    /// The LLaMA block: norms before, no biases, 1/√D.
    pub(super) fn new(config: &Config, heads: &Heads) -> Result<Self, Error> {
        Ok(Self {
            norms: NormPlacement::Before,
            qkv_bias: false,
            o_bias: false,
            mlp_bias: false,
            fused: false,
            qk_norm: None,
            clip: None,
            scale: (heads.head_dim as f64).powf(-0.5),
            softcap: None,
            activation: activation(config, "hidden_act")?,
            intermediate_size: config.positive("intermediate_size")?,
        })
    }

    /// One layer with its window and its rotary embedding.
    pub(super) fn layer(&self, heads: &Heads, window: Option<usize>, rope: usize) -> LayerSpec {
        LayerSpec {
            norms: self.norms,
            attention: AttentionSpec {
                n_heads: heads.n_heads,
                n_kv_heads: heads.n_kv_heads,
                head_dim: heads.head_dim,
                v_head_dim: heads.head_dim,
                scale: self.scale,
                softcap: self.softcap,
                window,
                rope,
                projection: Projection::Plain {
                    bias: self.qkv_bias,
                    fused: self.fused,
                    qk_norm: self.qk_norm,
                    clip: self.clip,
                },
                o_bias: self.o_bias,
            },
            mlp: MlpSpec::Gated {
                intermediate_size: self.intermediate_size,
                activation: self.activation,
                bias: self.mlp_bias,
                fused: self.fused,
            },
        }
    }
}

/// The outer parts, with the given layers.
pub(super) fn spec(
    config: &Config,
    norm: NormKind,
    ropes: Vec<RopeSpec>,
    layers: Vec<LayerSpec>,
    tie_default: bool,
) -> Result<Spec, Error> {
    let max_positions = config.positive("max_position_embeddings")?;
    let extended = ropes.iter().filter_map(|rope| rope.extended_length(max_positions)).max();
    Ok(Spec {
        vocab_size: config.positive("vocab_size")?,
        hidden_size: config.positive("hidden_size")?,
        context_length: extended.unwrap_or(0).max(max_positions),
        embed_scale: None,
        final_logit_softcapping: None,
        tie_word_embeddings: config.bool_or("tie_word_embeddings", tie_default)?,
        norm,
        ropes,
        layers,
    })
}

/// `rms_norm_eps` of an ordinary RMS norm.
pub(super) fn rms(config: &Config, default_eps: f64, offset: f64) -> Result<NormKind, Error> {
    let eps = config.opt_f64("rms_norm_eps")?.unwrap_or(default_eps);
    if eps < 0.0 {
        return Err(config.refuse("rms_norm_eps", format!("must not be negative, found {eps}")));
    }
    Ok(NormKind::Rms { eps, offset })
}

/// The activation named by a key.
pub(super) fn activation(config: &Config, key: &str) -> Result<Activation, Error> {
    match config.opt_str(key)?.unwrap_or("silu") {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        "gelu" => Ok(Activation::Gelu),
        other => Err(config.refuse(key, format!("{other:?} is not supported"))),
    }
}

/// Window of each layer: by `layer_types` if present, else where `default_sliding` says so.
pub(super) fn windows(
    config: &Config,
    sliding_window: Option<usize>,
    default_sliding: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, Error> {
    let n_layers = n_layers(config)?;
    let sliding: Vec<bool> = match config.opt_strings("layer_types")? {
        None => (0..n_layers).map(default_sliding).collect(),
        Some(types) if types.len() != n_layers => {
            return Err(
                config.refuse("layer_types", format!("{} entries for {n_layers} layers", types.len()))
            );
        }
        Some(types) => types
            .iter()
            .map(|kind| match kind.as_str() {
                "full_attention" => Ok(false),
                "sliding_attention" => Ok(true),
                other => Err(config.refuse("layer_types", format!("{other:?} is not supported"))),
            })
            .collect::<Result<_, _>>()?,
    };
    sliding
        .into_iter()
        .map(|sliding| match (sliding, sliding_window) {
            (false, _) => Ok(None),
            (true, Some(0)) => Err(config.refuse("sliding_window", "must be positive")),
            (true, Some(window)) => Ok(Some(window)),
            (true, None) => Err(config.refuse("sliding_window", "missing, but some layers slide")),
        })
        .collect()
}

/// Rotary parameters by kind of layer: `(full, sliding)`.
pub(super) fn ropes_by_kind(config: &Config, head_dim: usize) -> Result<Option<(RopeSpec, RopeSpec)>, Error> {
    let Some(parts) = config.opt_part("rope_parameters")? else { return Ok(None) };
    let kind = |key: &str| match parts.opt_part(key)? {
        Some(part) => RopeSpec::read_part(config, &part, head_dim, part.positive_f64("rope_theta")?),
        None => Err(parts.refuse(key, "missing")),
    };
    Ok(Some((kind("full_attention")?, kind("sliding_attention")?)))
}
