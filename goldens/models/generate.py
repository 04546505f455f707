"""Writes tiny random checkpoints and what transformers computes from them.

    python generate.py --list
    python generate.py --preset gemma2 --out out
    python generate.py --all --out out
    python generate.py --config overrides.json --name mine --out /tmp/checkpoints [--seed 7]

`overrides.json` holds `model_type` and the config fields to change against presets.BASE (the underscore keys of presets.py
work too). Each checkpoint becomes a folder:

    config.json            as transformers 5 writes it, or rewritten in the layout of older checkpoints
    model.safetensors      the weights under their published names
    golden.safetensors     input_ids [T] i64, logits [T, V] f32, hidden_states [L+1, T, E] f32, greedy_ids [24] i64,
                           and logits_bf16 [T, V] f32 where asked

Everything is float32 on the CPU with eager attention, from weights that the storage type represents exactly, so reading the
checkpoint loses nothing. hidden_states[0] is the input of the first layer (Gemma: after the sqrt(E) scaling), hidden_states[L]
is what the language-model head reads, after the final norm. greedy_ids continues the prompt by argmax, ignores the end token and
computes every step from the whole sequence without a cache: dynamic and long RoPE then see the true length at each step.
logits_bf16 is the same forward pass in bfloat16, to show how far bfloat16 is from float32 in the reference itself.
"""

import argparse
import json
import pathlib
import zlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from presets import BASE, PRESETS

GREEDY_TOKENS = 24
PROMPT_TOKENS = 36
# A continuation is a golden only if the winner of each step is clear of rounding.
MIN_GREEDY_MARGIN = 1e-3
MAX_SEED_TRIES = 20


def split_settings(spec):
    """Splits a preset into config overrides and the generator's own settings."""
    overrides = {k: v for k, v in spec.items() if not k.startswith("_")}
    settings = {k[1:]: v for k, v in spec.items() if k.startswith("_")}
    return overrides, settings


def build_config(overrides):
    fields = BASE | overrides
    model_type = fields.pop("model_type")
    if model_type == "olmo":
        fields.pop("rms_norm_eps")
    fields = json.loads(json.dumps(fields))
    return AutoConfig.for_model(model_type, **fields)


def fill_weights(model, seed):
    """Random weights, large enough that a wrong term moves the logits.

    Matrices are normal with variance 1.3 / fan_in, embeddings normal with deviation 0.7 (0.2 where the
    head shares them, so that a token's own embedding does not decide its logits), biases (the router's too) normal with
    deviation 0.3, norm weights normal with deviation 0.25 around what the untouched module holds (1, or 0 where the module adds 1).
    """
    rng = torch.Generator().manual_seed(seed)
    named = dict(model.named_parameters()) | {
        n: b for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")
    }
    for name in sorted(named):
        tensor = named[name]
        noise = torch.randn(tensor.shape, generator=rng)
        if "norm" in name:
            values = tensor.detach() + 0.25 * noise
        elif name.endswith("bias"):
            values = 0.3 * noise
        elif "embed_tokens" in name:
            values = (0.2 if model.config.tie_word_embeddings else 0.7) * noise
        else:
            values = noise * (1.3 / tensor.shape[-1]) ** 0.5
        with torch.no_grad():
            tensor.copy_(values)


def forward(model, ids):
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    return out.logits[0].float(), torch.stack([h[0].float() for h in out.hidden_states])


def continue_greedily(model, ids):
    """Returns the continuation and the smallest gap between the best and the second logit."""
    ids, margin = list(ids), float("inf")
    for _ in range(GREEDY_TOKENS):
        logits, _ = forward(model, ids)
        best = logits[-1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[-GREEDY_TOKENS:], margin


def old_layout(config, settings):
    """Rewrites a config as checkpoints before transformers 5 wrote it."""
    config = dict(config)
    rope = config.pop("rope_parameters")
    for derived in ("layer_types", "_sliding_window_pattern", "qk_head_dim"):
        config.pop(derived, None)
    if config["model_type"].startswith("deepseek"):
        config.pop("head_dim")
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.40.0"
    if "full_attention" in rope:
        local, rope = rope["sliding_attention"], rope["full_attention"]
        if config["model_type"].startswith("gemma3"):
            config["rope_local_base_freq"] = local["rope_theta"]
            config["sliding_window_pattern"] = settings["sliding_window_pattern"]
    rope = dict(rope)
    config["rope_theta"] = rope.pop("rope_theta")
    partial = rope.pop("partial_rotary_factor", 1.0)
    if partial != 1.0:
        config["partial_rotary_factor"] = partial
    kind = rope.pop("rope_type")
    if config["model_type"] == "phi3":
        rope.pop("original_max_position_embeddings", None)
    # Llama 3.1 introduced `rope_type`; everything before it says `type`.
    key = "rope_type" if kind == "llama3" or config["model_type"] in ("olmo3", "gemma3_text", "qwen3") else "type"
    config["rope_scaling"] = None if kind == "default" else {key: kind} | rope
    return config | settings.get("extra", {})


def store(model, out, settings, dtype):
    """Writes config.json and model.safetensors; returns the model as read back from them, in float32."""
    out.mkdir(parents=True, exist_ok=True)
    model.config.dtype = dtype
    model.to(dtype)
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    path = out / "config.json"
    config = json.loads(path.read_text())
    if settings.get("layout", "new") == "old":
        config = old_layout(config, settings)
    if settings.get("says_tied", False):
        config["tie_word_embeddings"] = True
    path.write_text(json.dumps(config, indent=1) + "\n")
    return AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()


def write_golden(spec, out, seed):
    """Writes one folder; returns the smallest greedy margin, or None if a step was too close to call."""
    overrides, settings = split_settings(spec)
    config = build_config(overrides)
    dtype = getattr(torch, settings.get("dtype", "bfloat16"))
    fresh = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32).eval()
    fill_weights(fresh, seed)
    rng = torch.Generator().manual_seed(seed + 1)
    n_tokens = settings.get("tokens", PROMPT_TOKENS)
    ids = torch.randint(3, config.vocab_size, (n_tokens,), generator=rng).tolist()
    for name, tensor in fresh.state_dict().items():
        tensor.copy_(tensor.to(dtype).float())
    expected, _ = forward(fresh, ids)

    model = store(fresh, out, settings, dtype)
    logits, hidden = forward(model, ids)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    greedy, margin = continue_greedily(model, ids)
    if margin < MIN_GREEDY_MARGIN:
        return None
    golden = dict(
        input_ids=torch.tensor(ids), logits=logits, hidden_states=hidden, greedy_ids=torch.tensor(greedy)
    )
    if settings.get("bf16"):
        reference = AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16, attn_implementation="eager", experts_implementation="eager")
        golden["logits_bf16"] = forward(reference.eval(), ids)[0]
    save_file({k: v.contiguous() for k, v in golden.items()}, out / "golden.safetensors")
    return margin


def write_preset(name, spec, root, seed):
    seed = zlib.crc32(name.encode()) % 100000 if seed is None else seed
    for attempt in range(MAX_SEED_TRIES):
        margin = write_golden(spec, root / name, seed + 1000 * attempt)
        if margin is not None:
            break
    else:
        raise SystemExit(f"{name}: no seed gave a clear greedy continuation")
    golden = load_file(root / name / "golden.safetensors")
    size = sum(f.stat().st_size for f in (root / name).iterdir())
    line = f"{name}: {size // 1024} KiB, logits std {golden['logits'].std():.2f}, smallest greedy margin {margin:.4f}"
    if "logits_bf16" in golden:
        gap = (golden["logits_bf16"] - golden["logits"]).abs().max()
        line += f", bfloat16 differs by at most {gap:.3f}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true")
    what.add_argument("--all", action="store_true")
    what.add_argument("--preset", action="append", choices=list(PRESETS))
    what.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--name", default="custom", help="folder name for --config")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    if args.list:
        print("\n".join(f"{name}  ({spec['model_type']})" for name, spec in PRESETS.items()))
    elif args.config:
        write_preset(args.name, json.loads(args.config.read_text()), args.out, args.seed)
    else:
        for name in PRESETS if args.all else args.preset:
            write_preset(name, PRESETS[name], args.out, args.seed)


if __name__ == "__main__":
    main()
