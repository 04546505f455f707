"""Writes tiny GGUF files and what transformers computes from the weights in them.

    python generate.py [--only NAME] [--out out]

Each preset of CASES becomes a folder:

    model.gguf             the weights, laid out as llama.cpp's converters lay them out, some of them quantised
    golden.safetensors     input_ids [T] i64 and logits [T, V] f32

A random model of transformers is made as in goldens/models. Its weights are brought into GGUF's layout (query and key rows of LLaMA
interleaved, Gemma's norms plus one), quantised by the `gguf` package, dequantised by it, brought back, and put into the model; the
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
from generate import PROMPT_TOKENS, build_config, fill_weights, forward  # noqa: E402
from presets import LLAMA3_ROPE, _default  # noqa: E402

# Intermediate size and head counts of goldens/models do not fill blocks of 32.
SMALL = dict(intermediate_size=64)
YARN = dict(rope_type="yarn", rope_theta=50.0, factor=4.0, original_max_position_embeddings=32)
# `_types`: quantisation by a part of the GGUF name, "" for the rest. Vectors are always float32.
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
}


def interleave(weight, n_heads):
    """Rows (i, i + D/2) of each head become neighbours, as ggml's rotation of LLaMA wants them."""
    return weight.reshape(n_heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def deinterleave(weight, n_heads):
    return weight.reshape(n_heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def layout(config, name):
    """The change from a checkpoint's weight to GGUF's, and the one back."""
    if config.model_type == "llama" and ".q_proj." in name:
        return (lambda w: interleave(w, config.num_attention_heads)), (
            lambda w: deinterleave(w, config.num_attention_heads)
        )
    if config.model_type == "llama" and ".k_proj." in name:
        return (lambda w: interleave(w, config.num_key_value_heads)), (
            lambda w: deinterleave(w, config.num_key_value_heads)
        )
    if config.model_type == "gemma2" and name.endswith("norm.weight"):
        return (lambda w: w + 1), (lambda w: w - 1)
    return (lambda w: w), (lambda w: w)


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


def write_metadata(writer, config):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(head_dim)
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
        writer.add_sliding_window(config.sliding_window)


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


def write_gguf(model, types, path, rng):
    """Writes the file; the model's weights become those that the file holds."""
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    write_metadata(writer, config)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == config.model_type)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    if config.rope_parameters["rope_type"] == "llama3":
        head_dim = config.hidden_size // config.num_attention_heads
        writer.add_tensor("rope_freqs.weight", rope_divisors(config.rope_parameters, head_dim))
    for name, tensor in model.named_parameters():
        there, back = layout(config, name)
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        weight = np.ascontiguousarray(there(tensor.detach().numpy()))
        kind = Type.F32
        if weight.ndim == 2:
            kind = next(kind for part, kind in types.items() if part in ("", *target.split(".")))
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
    overrides = {k: v for k, v in spec.items() if not k.startswith("_")}
    config = build_config(overrides)
    seed = zlib.crc32(name.encode()) % 100000
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    fill_weights(model, seed)
    out.mkdir(parents=True, exist_ok=True)
    write_gguf(model, spec["_types"], out / "model.gguf", np.random.default_rng(seed))
    rng = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(3, config.vocab_size, (PROMPT_TOKENS,), generator=rng).tolist()
    logits, _ = forward(model, ids)
    save_file(dict(input_ids=torch.tensor(ids), logits=logits), out / "golden.safetensors")
    size = sum(f.stat().st_size for f in out.iterdir()) // 1024
    print(f"{name}: {size} KiB, logits std {logits.std():.2f}; {second_opinion(out, ids, logits)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for name in [args.only] if args.only else CASES:
        write_case(name, CASES[name], args.out / name)


if __name__ == "__main__":
    main()
