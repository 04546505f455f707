//! DeepSeek-V2 (`deepseek_v2`) and DeepSeek-V3 (`deepseek_v3`): multi-head latent attention, and experts above the first dense layers.
//!
//! Differences that matter: V2 routes by softmax, greedily or within the best groups, and ignores `norm_topk_prob` as transformers
//! does; V3 routes by sigmoid with a bias that counts for picking only. Scores are scaled by 1/√D times YaRN's `mscale_all_dim` squared.
//! The norms on the bottlenecks always have ε = 1e-6. Sources: arXiv:2405.04434, arXiv:2412.19437.

use super::common;
use crate::config::Config;
use crate::error::Error;
use crate::rope::{RopeSpec, Scaling, yarn_mscale};
use crate::spec::{
    AttentionSpec, LayerSpec, MlpSpec, NormPlacement, Projection, Routing, RoutingScores, Spec,
};

pub(super) fn read_v2(config: &Config) -> Result<Spec, Error> {
    let routing = if has_experts(config)? { Some(routing_v2(config)?) } else { None };
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    read(config, routing, true, mlp_bias)
}

pub(super) fn read_v3(config: &Config) -> Result<Spec, Error> {
    let routing = if has_experts(config)? { Some(routing_v3(config)?) } else { None };
    read(config, routing, config.bool_or("rope_interleave", true)?, false)
}

fn has_experts(config: &Config) -> Result<bool, Error> {
    Ok(config.opt_usize("n_routed_experts")?.is_some_and(|n| n > 0))
}

fn routing_v2(config: &Config) -> Result<Routing, Error> {
    if let Some(found) = config.opt_str("scoring_func")?.filter(|&f| f != "softmax") {
        return Err(config.refuse("scoring_func", format!("{found:?} is not supported in deepseek_v2")));
    }
    let groups = match config.opt_str("topk_method")?.unwrap_or("greedy") {
        "greedy" => (1, 1),
        "group_limited_greedy" => (config.positive("n_group")?, config.positive("topk_group")?),
        other => {
            return Err(config.refuse("topk_method", format!("{other:?} is not supported in deepseek_v2")));
        }
    };
    checked(
        config,
        Routing {
            top_k: config.positive("num_experts_per_tok")?,
            n_groups: groups.0,
            top_groups: groups.1,
            scores: RoutingScores::Softmax,
            normalise: false,
            scale: config.opt_f64("routed_scaling_factor")?.unwrap_or(1.0),
        },
    )
}

fn routing_v3(config: &Config) -> Result<Routing, Error> {
    if let Some(found) = config.opt_str("scoring_func")?.filter(|&f| f != "sigmoid") {
        return Err(config.refuse("scoring_func", format!("{found:?} is not supported in deepseek_v3")));
    }
    if let Some(found) = config.opt_str("topk_method")?.filter(|&m| m != "noaux_tc") {
        return Err(config.refuse("topk_method", format!("{found:?} is not supported in deepseek_v3")));
    }
    checked(
        config,
        Routing {
            top_k: config.opt_usize("num_experts_per_tok")?.unwrap_or(8),
            n_groups: config.opt_usize("n_group")?.unwrap_or(8),
            top_groups: config.opt_usize("topk_group")?.unwrap_or(4),
            scores: RoutingScores::SigmoidWithBias,
            normalise: config.bool_or("norm_topk_prob", true)?,
            scale: config.opt_f64("routed_scaling_factor")?.unwrap_or(2.5),
        },
    )
}

fn checked(config: &Config, routing: Routing) -> Result<Routing, Error> {
    let n_experts = config.positive("n_routed_experts")?;
    let group = n_experts / routing.n_groups.max(1);
    let smallest = if routing.scores == RoutingScores::SigmoidWithBias { 2 } else { 1 };
    if routing.n_groups == 0 || n_experts % routing.n_groups != 0 || group < smallest {
        return Err(config.refuse(
            "n_group",
            format!("{n_experts} experts cannot be cut into {} groups", routing.n_groups),
        ));
    }
    if routing.top_groups == 0 || routing.top_groups > routing.n_groups {
        return Err(
            config.refuse("topk_group", format!("{} of {} groups", routing.top_groups, routing.n_groups))
        );
    }
    if routing.top_k == 0 || routing.top_k > group * routing.top_groups {
        return Err(config.refuse(
            "num_experts_per_tok",
            format!("{} experts of {} that can be picked", routing.top_k, group * routing.top_groups),
        ));
    }
    Ok(routing)
}

fn read(config: &Config, routing: Option<Routing>, interleaved: bool, mlp_bias: bool) -> Result<Spec, Error> {
    if config.opt_usize("moe_layer_freq")?.is_some_and(|every| every != 1) {
        return Err(config.refuse("moe_layer_freq", "only 1 is supported"));
    }
    let rope_dim = config.positive("qk_rope_head_dim")?;
    let rope = RopeSpec::read(config, rope_dim, 10_000.0)?;
    if rope.dim != rope_dim {
        return Err(config.refuse("partial_rotary_factor", "only 1 is supported"));
    }
    let attention = attention(config, &rope, rope_dim, interleaved)?;
    let first_experts = config.opt_usize("first_k_dense_replace")?.unwrap_or(0);
    let n_layers = common::n_layers(config)?;
    let layers = (0..n_layers)
        .map(|layer| {
            let mlp = match routing {
                Some(routing) if layer >= first_experts => experts(config, routing, mlp_bias)?,
                _ => MlpSpec::Gated {
                    intermediate_size: config.positive("intermediate_size")?,
                    activation: common::activation(config, "hidden_act")?,
                    bias: mlp_bias,
                    fused: false,
                },
            };
            Ok(LayerSpec { norms: NormPlacement::Before, attention: attention.clone(), mlp })
        })
        .collect::<Result<_, Error>>()?;
    common::spec(config, common::rms(config, 1e-6, 0.0)?, vec![rope], layers, false)
}

fn attention(
    config: &Config,
    rope: &RopeSpec,
    rope_dim: usize,
    interleaved: bool,
) -> Result<AttentionSpec, Error> {
    let n_heads = config.positive("num_attention_heads")?;
    let head_dim = config.positive("qk_nope_head_dim")? + rope_dim;
    let mscale = mscale_squared(config, rope)?;
    let bias = config.bool_or("attention_bias", false)?;
    Ok(AttentionSpec {
        n_heads,
        n_kv_heads: n_heads,
        head_dim,
        v_head_dim: config.positive("v_head_dim")?,
        scale: (head_dim as f64).powf(-0.5) * mscale,
        softcap: None,
        window: None,
        rope: 0,
        projection: Projection::Latent {
            q_rank: config.opt_usize("q_lora_rank")?.filter(|&rank| rank > 0),
            kv_rank: config.positive("kv_lora_rank")?,
            rope_dim,
            bias,
            interleaved,
            eps: 1e-6,
        },
        o_bias: bias,
    })
}

fn mscale_squared(config: &Config, rope: &RopeSpec) -> Result<f64, Error> {
    let part = match config.opt_part("rope_parameters")? {
        Some(part) => Some(part),
        None => config.opt_part("rope_scaling")?,
    };
    let (Some(part), false) = (part, rope.scaling == Scaling::None) else { return Ok(1.0) };
    match part.opt_f64("mscale_all_dim")?.filter(|&m| m != 0.0) {
        Some(mscale) => Ok(yarn_mscale(part.positive_f64("factor")?, mscale).powi(2)),
        None => Ok(1.0),
    }
}

fn experts(config: &Config, routing: Routing, mlp_bias: bool) -> Result<MlpSpec, Error> {
    let intermediate_size = config.positive("moe_intermediate_size")?;
    Ok(MlpSpec::Experts {
        n_experts: config.positive("n_routed_experts")?,
        intermediate_size,
        shared_size: intermediate_size * config.positive("n_shared_experts")?,
        activation: common::activation(config, "hidden_act")?,
        routing,
        shared_bias: mlp_bias,
    })
}
