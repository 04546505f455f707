//! Gemma-2 (`gemma2`): norms before and after each part with weights stored less one, embeddings times √E, every other layer with a
//! sliding window, soft caps on scores and logits, scores scaled by `query_pre_attn_scalar`, a tanh-GELU gate.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::{NormPlacement, Spec};

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let (heads, plain) = block(config)?;
    let windows = common::windows(config, config.opt_usize("sliding_window")?, |layer| layer % 2 == 0)?;
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let layers = windows.into_iter().map(|window| plain.layer(&heads, window, 0)).collect();
    finish(config, vec![rope], layers)
}

/// The block that Gemma-2 and Gemma-3 share.
pub(super) fn block(config: &Config) -> Result<(Heads, Plain), Error> {
    config.refuse_if_on("use_bidirectional_attention")?;
    let heads = match config.opt_usize("head_dim")? {
        Some(_) => Heads::read(config)?,
        None => Heads { head_dim: 256, ..Heads::read(config)? },
    };
    let key = if config.get("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    let activation = if config.get(key).is_some() {
        common::activation(config, key)?
    } else {
        crate::spec::Activation::GeluTanh
    };
    let bias = config.bool_or("attention_bias", false)?;
    let plain = Plain {
        norms: NormPlacement::Around,
        activation,
        qkv_bias: bias,
        o_bias: bias,
        scale: config.opt_positive_f64("query_pre_attn_scalar")?.unwrap_or(256.0).powf(-0.5),
        softcap: config.opt_positive_f64("attn_logit_softcapping")?,
        ..Plain::new(config, &heads)?
    };
    Ok((heads, plain))
}

/// The outer parts that Gemma-2 and Gemma-3 share.
pub(super) fn finish(
    config: &Config,
    ropes: Vec<RopeSpec>,
    layers: Vec<crate::spec::LayerSpec>,
) -> Result<Spec, Error> {
    let spec = common::spec(config, common::rms(config, 1e-6, 1.0)?, ropes, layers, true)?;
    Ok(Spec {
        embed_scale: Some((spec.hidden_size as f64).sqrt()),
        final_logit_softcapping: config.opt_positive_f64("final_logit_softcapping")?,
        ..spec
    })
}
