//! Where a GGUF file holds the weight of a checkpoint key.
//!
//! Most keys have a tensor of their own. Experts of a layer are one tensor, `[experts, rows, columns]`; and newer files hold the two
//! halves of DeepSeek's `kv_b_proj` apart, that of the keys transposed.

/// The place of a weight.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// A tensor.
    Whole(String),
    /// One of the matrices that a tensor stacks.
    Slice {
        /// The tensor.
        tensor: String,
        /// Which of them.
        index: usize,
    },
    /// For each head the rows of its keys, then those of its values.
    KeysAndValues {
        /// `[H, rank, D]`.
        keys: String,
        /// `[H, Dv, rank]`.
        values: String,
    },
}

/// The place of the weight `name` of a file of this architecture, if it can have one; `is_there` asks for tensors.
pub(super) fn source(architecture: &str, name: &str, is_there: impl Fn(&str) -> bool) -> Option<Source> {
    let outer = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(outer) = outer {
        return Some(Source::Whole(outer.to_string()));
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    if let Some(expert) = rest.strip_prefix("mlp.experts.") {
        let (index, part) = expert.split_once('.')?;
        let part = match part {
            "gate_proj.weight" => "ffn_gate_exps",
            "up_proj.weight" => "ffn_up_exps",
            "down_proj.weight" => "ffn_down_exps",
            _ => return None,
        };
        return Some(Source::Slice {
            tensor: format!("blk.{layer}.{part}.weight"),
            index: index.parse().ok()?,
        });
    }
    let (part, kind) = rest.rsplit_once('.')?;
    if part == "mlp.gate" && kind == "e_score_correction_bias" {
        return Some(Source::Whole(format!("blk.{layer}.exp_probs_b.bias")));
    }
    let whole = format!("blk.{layer}.{}.{kind}", tensor_part(architecture, part)?);
    let (keys, values) = (format!("blk.{layer}.attn_k_b.weight"), format!("blk.{layer}.attn_v_b.weight"));
    if part == "self_attn.kv_b_proj" && !is_there(&whole) && is_there(&keys) {
        return Some(Source::KeysAndValues { keys, values });
    }
    Some(Source::Whole(whole))
}

fn tensor_part(architecture: &str, part: &str) -> Option<&'static str> {
    let norms_around = matches!(architecture, "gemma2" | "gemma3" | "olmo2");
    Some(match part {
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.q_a_proj" => "attn_q_a",
        "self_attn.q_a_layernorm" => "attn_q_a_norm",
        "self_attn.q_b_proj" => "attn_q_b",
        "self_attn.kv_a_proj_with_mqa" => "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm" => "attn_kv_a_norm",
        "self_attn.kv_b_proj" => "attn_kv_b",
        "mlp.gate_proj" => "ffn_gate",
        // Phi-3's gate and up are one matrix.
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "mlp.gate" => "ffn_gate_inp",
        "mlp.shared_experts.gate_proj" => "ffn_gate_shexp",
        "mlp.shared_experts.up_proj" => "ffn_up_shexp",
        "mlp.shared_experts.down_proj" => "ffn_down_shexp",
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if norms_around => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(name: &str) -> Option<Source> {
        Some(Source::Whole(name.into()))
    }

    #[test]
    fn a_norm_is_named_by_where_it_stands() {
        let name = "model.layers.2.post_attention_layernorm.weight";
        assert_eq!(source("llama", name, |_| true), whole("blk.2.ffn_norm.weight"));
        assert_eq!(source("gemma3", name, |_| true), whole("blk.2.post_attention_norm.weight"));
    }

    #[test]
    fn experts_and_split_projections_have_no_tensor_of_their_own() {
        let expert = source("deepseek2", "model.layers.1.mlp.experts.7.down_proj.weight", |_| true);
        assert_eq!(expert, Some(Source::Slice { tensor: "blk.1.ffn_down_exps.weight".into(), index: 7 }));
        let up = "model.layers.0.self_attn.kv_b_proj.weight";
        assert_eq!(source("deepseek2", up, |_| true), whole("blk.0.attn_kv_b.weight"));
        let halves = source("deepseek2", up, |name| !name.contains("kv_b"));
        assert!(matches!(halves, Some(Source::KeysAndValues { .. })), "{halves:?}");
    }
}
