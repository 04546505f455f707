"""Writes tiny GGUF files and what transformers computes from the weights in them.

    python generate.py [--only NAME] [--out out]

Each preset of CASES becomes a folder:

    model.gguf             the weights, laid out as llama.cpp's converters lay them out, some of them quantised
                           (or model-00001-of-0000N.gguf and so on, where the case is split)
    golden.safetensors     input_ids [T] i64 and logits [T, V] f32

A random model of transformers is made as in goldens/models. Its weights are brought into GGUF's layout (query and key rows of LLaMA
and OLMo interleaved, Gemma's norms plus one, experts stacked, DeepSeek's kv_b_proj cut in two), quantised by the `gguf` package, dequantised by it, brought back, and put into the model; the
logits are of that model in float32. Where the package cannot quantise (the K types) blocks are random bytes with scales of the right
size, so that only its dequantisation counts. Names come from the package's own table. Where transformers can read GGUF itself, the
file is read back by it, and its logits must be the same.
"""

import argparse
import pathlib
import sys
import zlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import quants
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "models"))
from generate import PROMPT_TOKENS, build_config, fill_weights, forward, split_settings  # noqa: E402
from presets import LLAMA3_ROPE, LONGROPE, _default  # noqa: E402

# Intermediate size and head counts of goldens/models do not fill blocks of 32.
SMALL = dict(intermediate_size=64)
YARN = dict(rope_type="yarn", rope_theta=50.0, factor=4.0, original_max_position_embeddings=32)
MLA = dict(
    num_key_value_heads=4,
    kv_lora_rank=32,
    q_lora_rank=None,
    qk_nope_head_dim=32,
    qk_rope_head_dim=8,
    v_head_dim=8,
    n_routed_experts=4,
    n_shared_experts=1,
    num_experts_per_tok=2,
    moe_intermediate_size=32,
    first_k_dense_replace=1,
)
DEEPSEEK_YARN = dict(
    rope_type="yarn", rope_theta=50.0, factor=8.0, original_max_position_embeddings=32, beta_fast=32, beta_slow=1
)
# `_types`: quantisation by a part of the GGUF name, "" for the rest. Vectors are always float32, and so are the rows that experts are
# picked by. `_whole_kv_b`, `_bare`: as older converters wrote such files. `_split`: tensors in a part.
CASES = {
    "llama-f32": dict(model_type="llama", _types={"": Type.F32}) | SMALL,
    "llama-bias-bf16": dict(model_type="llama", attention_bias=True, _types={"": Type.BF16}) | SMALL,
    "llama3-tied-f16": dict(
        model_type="llama", tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE, _types={"": Type.F16}
    )
    | SMALL,
    "llama-linear-q5_1": dict(
        model_type="llama",
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0),
        _types={"": Type.Q5_1},
    )
    | SMALL,
    # Rows of 256 numbers for the K types; what has narrower rows is of other types.
    "llama-k": dict(
        model_type="llama",
        hidden_size=256,
        intermediate_size=32,
        head_dim=8,
        num_hidden_layers=1,
        _types={
            "attn_q": Type.Q4_K,
            "attn_k": Type.Q5_K,
            "attn_v": Type.Q6_K,
            "ffn_gate": Type.Q3_K,
            "ffn_up": Type.Q2_K,
            "token_embd": Type.Q4_K,
            "output": Type.Q6_K,
            "": Type.Q8_0,
        },
    ),
    "qwen2-q8_0": dict(model_type="qwen2", rope_parameters=_default(1000000.0), _types={"": Type.Q8_0}) | SMALL,
    "qwen2-yarn-tied-q5_0": dict(
        model_type="qwen2",
        tie_word_embeddings=True,
        max_position_embeddings=32,
        rope_parameters=YARN,
        _types={"": Type.Q5_0},
    )
    | SMALL,
    "qwen3-q4_0": dict(model_type="qwen3", head_dim=16, _types={"token_embd": Type.Q8_0, "": Type.Q4_0}) | SMALL,
    "gemma2-q4_1": dict(
        model_type="gemma2",
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=8,
        attn_logit_softcapping=4.0,
        final_logit_softcapping=3.0,
        tie_word_embeddings=True,
        _types={"token_embd": Type.F16, "": Type.Q4_1},
    )
    | SMALL,
    "olmo2-q8_0": dict(model_type="olmo2", rope_parameters=_default(500000.0), _types={"": Type.Q8_0}) | SMALL,
    # What the file leaves out: five sliding layers to one full one, and the sliding ones' base of 10,000.
    "gemma3-bare-q8_0": dict(
        model_type="gemma3_text",
        num_hidden_layers=6,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=8,
        tie_word_embeddings=True,
        rope_parameters=dict(
            sliding_attention=_default(10000.0),
            full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
        ),
        _bare=True,
        _types={"": Type.Q8_0},
    )
    | SMALL,
    "gemma3-q5_0": dict(
        model_type="gemma3_text",
        num_hidden_layers=3,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        tie_word_embeddings=True,
        rope_parameters=dict(sliding_attention=_default(100.0), full_attention=_default(1000000.0)),
        _types={"token_embd": Type.Q8_0, "": Type.Q5_0},
    )
    | SMALL,
    "olmo-q8_0": dict(model_type="olmo", num_key_value_heads=4, clip_qkv=0.8, _types={"": Type.Q8_0}) | SMALL,
    "olmo3-q8_0": dict(
        model_type="olmo3",
        num_hidden_layers=4,
        sliding_window=8,
        rope_parameters=dict(sliding_attention=_default(50.0), full_attention=YARN),
        max_position_embeddings=128,
        _types={"": Type.Q8_0},
    )
    | SMALL,
    "phi3-q5_1": dict(
        model_type="phi3",
        sliding_window=8,
        rope_parameters=_default() | dict(partial_rotary_factor=0.5),
        _types={"": Type.Q5_1},
    )
    | SMALL,
    "phi3-longrope-bf16": dict(
        model_type="phi3",
        original_max_position_embeddings=16,
        max_position_embeddings=128,
        rope_parameters=LONGROPE | dict(original_max_position_embeddings=16),
        _types={"": Type.BF16},
    )
    | SMALL,
    "deepseek-v2-bare-q8_0": dict(
        model_type="deepseek_v2",
        topk_method="greedy",
        rope_parameters=DEEPSEEK_YARN | dict(mscale=0.707, mscale_all_dim=0.707),
        _bare=True,
        _whole_kv_b=True,
        _types={"": Type.Q8_0},
    )
    | MLA
    | SMALL,
    "deepseek-v2-q5_0": dict(
        model_type="deepseek_v2", topk_method="group_limited_greedy", n_group=2, topk_group=1, _types={"": Type.Q5_0}
    )
    | MLA
    | SMALL
    | dict(q_lora_rank=32, num_experts_per_tok=1, routed_scaling_factor=4.0),
    "deepseek-v3-q4_1": dict(
        model_type="deepseek_v3",
        n_group=2,
        topk_group=1,
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        num_mtp_layers=0,
        rope_parameters=DEEPSEEK_YARN | dict(mscale=1.0, mscale_all_dim=1.0),
        _types={"": Type.Q4_1},
    )
    | MLA
    | SMALL
    | dict(q_lora_rank=32),
    "qwen2-split-f16": dict(
        model_type="qwen2", rope_parameters=_default(1000000.0), _split=10, _types={"": Type.F16}
    )
    | SMALL,
}
# What llama.cpp calls a family where it has another name for it.
ARCHITECTURES = dict(gemma3_text="gemma3", olmo3="olmo2", deepseek_v2="deepseek2", deepseek_v3="deepseek2")


def interleave(weight, n_heads):
    """Rows (i, i + D/2) of each head become neighbours, as ggml's rotation of LLaMA wants them."""
    return weight.reshape(n_heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def deinterleave(weight, n_heads):
    return weight.reshape(n_heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def same(weight):
    return weight


def layout(config, name):
    """The change from a checkpoint's weight to GGUF's, and the one back."""
    if config.model_type in ("llama", "olmo") and ".q_proj." in name:
        n_heads = config.num_attention_heads
    elif config.model_type in ("llama", "olmo") and ".k_proj." in name:
        n_heads = config.num_key_value_heads
    elif config.model_type.startswith("gemma") and name.endswith("norm.weight"):
        return (lambda w: w + 1), (lambda w: w - 1)
    else:
        return same, same
    return (lambda w: interleave(w, n_heads)), (lambda w: deinterleave(w, n_heads))


def pieces(config, name, tensor, whole_kv_b):
    """What becomes of one weight of transformers: the checkpoint's names, the parts of the tensor (as views), and their layouts."""
    if name.endswith("experts.gate_up_proj"):
        base, inner = name.removesuffix("gate_up_proj"), config.moe_intermediate_size
        return [
            (f"{base}gate_proj.weight", tensor[:, :inner], same, same),
            (f"{base}up_proj.weight", tensor[:, inner:], same, same),
        ]
    if name.endswith("experts.down_proj"):
        return [(f"{name}.weight", tensor, same, same)]
    if name.endswith("e_score_correction_bias"):
        return [(name.removesuffix("_bias") + ".bias", tensor, same, same)]
    if name.endswith("kv_b_proj.weight") and not whole_kv_b:
        heads = tensor.view(config.num_attention_heads, -1, config.kv_lora_rank)
        fixed = config.qk_nope_head_dim
        turn = lambda w: w.swapaxes(1, 2)
        return [
            (name.replace("kv_b_proj", "k_b_proj"), heads[:, :fixed], turn, turn),
            (name.replace("kv_b_proj", "v_b_proj"), heads[:, fixed:], same, same),
        ]
    return [(name, tensor, *layout(config, name))]


# Where the float16 scales of a block of 256 lie, and how large the numbers of a block are for a scale of one.
K_SCALES = {
    Type.Q2_K: ((80, 82), 15.0),
    Type.Q3_K: ((108,), 64.0),
    Type.Q4_K: ((0, 2), 300.0),
    Type.Q5_K: ((0, 2), 600.0),
    Type.Q6_K: ((208,), 1500.0),
}


def random_blocks(shape, kind, size, rng):
    """Random blocks whose numbers have a deviation near `size`. A second scale, of what is taken off, makes their mean about zero."""
    n_blocks = shape[0] * shape[1] // 256
    blocks = rng.integers(0, 256, (n_blocks, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    offsets, spread = K_SCALES[kind]
    levels = {Type.Q2_K: 1.5, Type.Q4_K: 7.5, Type.Q5_K: 15.5}.get(kind)
    scales = size / spread * rng.uniform(0.5, 1.5, n_blocks)
    for offset, factor in zip(offsets, (1.0, levels)):
        blocks[:, offset : offset + 2] = (scales * factor).astype(np.float16).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(shape[0], -1)


def quantise(weight, kind, rng):
    """Raw data as the file holds it, and its numbers."""
    if kind in K_SCALES:
        raw = random_blocks(weight.shape, kind, weight.std(), rng)
    else:
        raw = quants.quantize(weight, kind)
    return raw, quants.dequantize(raw, kind).astype(np.float32)


def write_metadata(writer, config, bare, whole_kv_b):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    family = config.model_type
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    if family.startswith("deepseek"):
        write_latent_attention(writer, config, whole_kv_b)
        write_experts(writer, config, bare)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        if family != "phi3":
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)
    if family == "olmo":
        writer.add_layer_norm_eps(1e-5)
        writer.add_clamp_kqv(config.clip_qkv)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    write_rope(writer, config, head_dim, bare)
    if family in ("gemma3_text", "olmo3") and not bare:
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if family in ("gemma2", "gemma3_text", "olmo3", "phi3"):
        writer.add_sliding_window(config.sliding_window or 0)


def write_latent_attention(writer, config, whole_kv_b):
    key_length = config.qk_nope_head_dim + config.qk_rope_head_dim
    writer.add_kv_lora_rank(config.kv_lora_rank)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)
    if whole_kv_b:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(key_length)
        writer.add_value_length(config.v_head_dim)
    else:
        # One key head in the latent space.
        writer.add_head_count_kv(1)
        writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        writer.add_value_length(config.kv_lora_rank)
        writer.add_key_length_mla(key_length)
        writer.add_value_length_mla(config.v_head_dim)


def write_experts(writer, config, bare):
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    if bare:
        return
    sigmoid = config.model_type == "deepseek_v3"
    writer.add_expert_weights_norm(sigmoid and config.norm_topk_prob)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)
    writer.add_expert_group_count(config.n_group)
    writer.add_expert_group_used_count(config.topk_group)


def write_rope(writer, config, head_dim, bare):
    rope = config.rope_parameters
    if "full_attention" in rope:
        if config.model_type == "gemma3_text" and not bare:
            writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    turning = config.qk_rope_head_dim if config.model_type.startswith("deepseek") else head_dim
    writer.add_rope_freq_base(rope["rope_theta"])
    if config.model_type != "gemma3_text":
        writer.add_rope_dimension_count(int(turning * rope.get("partial_rotary_factor", 1.0)))
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] in ("yarn", "longrope"):
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "longrope":
        scale = config.max_position_embeddings / rope["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(
            float(np.sqrt(1 + np.log(scale) / np.log(rope["original_max_position_embeddings"])))
        )
    if "mscale_all_dim" in rope:
        writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def rope_divisors(rope, head_dim):
    """What llama3-type scaling divides each frequency by."""
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * np.pi * rope["rope_theta"] ** (i / head_dim)
        turns = rope["original_max_position_embeddings"] / wavelength
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, dtype=np.float32)


def write_rope_tensors(writer, config):
    rope = config.rope_parameters
    kind = rope.get("rope_type")
    if kind == "llama3":
        head_dim = config.hidden_size // config.num_attention_heads
        writer.add_tensor("rope_freqs.weight", rope_divisors(rope, head_dim))
    if kind == "longrope":
        for length in ("long", "short"):
            factors = np.array(rope[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)


def storage(target, weight, types):
    if weight.ndim < 2 or "ffn_gate_inp" in target:
        return Type.F32
    return next(kind for part, kind in types.items() if part in ("", *target.split(".")))


def write_gguf(model, settings, path, rng):
    """Writes the file; the model's weights become those that the file holds."""
    config, whole_kv_b = model.config, settings.get("whole_kv_b", False)
    architecture = ARCHITECTURES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=settings.get("split", 0))
    write_metadata(writer, config, settings.get("bare", False), whole_kv_b)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == architecture)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    write_rope_tensors(writer, config)
    weights = list(model.named_parameters())
    weights += [(n, b) for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")]
    parts = [part for name, tensor in weights for part in pieces(config, name, tensor.detach(), whole_kv_b)]
    for name, tensor, there, back in parts:
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        weight = np.ascontiguousarray(there(tensor.numpy()))
        kind = storage(target, weight, settings["types"])
        raw, numbers = quantise(weight, kind, rng) if kind != Type.F32 else (weight, weight)
        writer.add_tensor(target, raw, raw_dtype=kind)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(back(numbers.reshape(weight.shape)))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def second_opinion(out, ids, logits):
    """transformers' own reader of GGUF on the same file."""
    try:
        model = AutoModelForCausalLM.from_pretrained(out, gguf_file="model.gguf", dtype=torch.float32)
    except Exception as problem:  # noqa: BLE001
        return f"transformers cannot read it: {type(problem).__name__}: {str(problem)[:80]}"
    found, _ = forward(model.eval(), ids)
    return f"transformers' reader differs by {float((found - logits).abs().max()):.2g}"


def write_case(name, spec, out):
    overrides, settings = split_settings(spec)
    config = build_config(overrides)
    seed = zlib.crc32(name.encode()) % 100000
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32
    ).eval()
    fill_weights(model, seed)
    out.mkdir(parents=True, exist_ok=True)
    write_gguf(model, settings, out / "model.gguf", np.random.default_rng(seed))
    rng = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(3, config.vocab_size, (PROMPT_TOKENS,), generator=rng).tolist()
    logits, _ = forward(model, ids)
    save_file(dict(input_ids=torch.tensor(ids), logits=logits), out / "golden.safetensors")
    size = sum(f.stat().st_size for f in out.iterdir()) // 1024
    print(f"{name}: {size} KiB, logits std {logits.std():.2f}; {second_opinion(out, ids, logits)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(CASES), action="append")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for name in args.only or CASES:
        write_case(name, CASES[name], args.out / name)


if __name__ == "__main__":
    main()
