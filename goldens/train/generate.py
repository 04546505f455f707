"""Writes tiny trainable checkpoints and what PyTorch computes from them.

    python generate.py --out out

Each of `llama` (grouped-query attention, tied embeddings) and `qwen2` (biases, a head of its own) becomes a folder:

    config.json, model.safetensors    random weights, float32
    golden.safetensors                tokens [S, N] i64 padded with -1, n_given [S]; then float64 unless said otherwise:
        loss, grad_norm               mean negative log-probability of the tokens from n_given on, norm of its gradient
        grad.<name>                   its gradient
        step1.<name>, step3.<name>    float32 weights after one and three AdamW updates on the same batch (settings below)
        grpo.sampled, grpo.reference  [R] log-probabilities, made by disturbing those of the model, in the order of the learnt tokens
        grpo.rewards                  [S]
        grpo.advantages               [S], within one group of all sequences
        grpo.loss, grpo.grad.<name>   loss of the objective (settings below) and its gradient

`trained` is a checkpoint of the example `tiny_checkpoint` of crates/train; this script adds what transformers makes of it:

    golden.safetensors                tokens.<i>, float32 logits.<i> [T, V] of the texts below
    golden.json                       these texts, and what the tokens decode to

Gradients are computed in float64, so that they are exact for a comparison in float32; the updates are made in float32 with torch.optim.AdamW from
float32 gradients, the arithmetic that is being compared.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

ADAMW = dict(lr=3e-3, betas=(0.9, 0.95), eps=1e-8)
WEIGHT_DECAY = 0.1
CLIP_NORM = 0.5
GRPO = dict(clip_low=0.2, clip_high=0.28, kl_weight=0.05, entropy_weight=0.01)

COMMON = dict(
    vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
)
MODELS = {
    "llama": dict(num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2": dict(num_key_value_heads=4, tie_word_embeddings=False),
}
TEXTS = ["What is 3+9?", "  two\n\nlines, 12.50 of them: What What", "What is 7+0? 7<eos>"]
LENGTHS_AND_GIVEN = [(17, 5), (9, 1), (23, 20), (12, 6)]


def build(name, seed):
    config = AutoConfig.for_model(name, **COMMON, **MODELS[name])
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).float().eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in sorted(model.named_parameters()):
            noise = torch.randn(tensor.shape, generator=rng)
            if "norm" in key:
                tensor.copy_(1 + 0.2 * noise)
            elif key.endswith("bias"):
                tensor.copy_(0.2 * noise)
            else:
                tensor.copy_(noise * (1.0 / tensor.shape[-1]) ** 0.5)
    return model


def sequences(seed):
    rng = torch.Generator().manual_seed(seed)
    return [(torch.randint(0, 61, (n,), generator=rng), given) for n, given in LENGTHS_AND_GIVEN]


def token_scores(model, batch):
    """Log-probabilities and entropies of the learnt tokens of every sequence."""
    logprobs, entropies = [], []
    for tokens, given in batch:
        logits = model(tokens[None, :-1]).logits[0, given - 1 :]
        logs = torch.log_softmax(logits, -1)
        logprobs.append(logs.gather(1, tokens[given:, None])[:, 0])
        entropies.append(-(logs.exp() * logs).sum(-1))
    return logprobs, entropies


def mle_loss(model, batch):
    return -torch.cat(token_scores(model, batch)[0]).mean()


def gradients(model, loss, prefix):
    model.zero_grad()
    loss.backward()
    return {prefix + key: p.grad.clone() for key, p in model.named_parameters()}


def adamw_steps(model, batch, n_steps):
    decays = [p for k, p in model.named_parameters() if p.ndim == 2 and "embed" not in k and "lm_head" not in k]
    ids = {id(p) for p in decays}
    others = [p for p in model.parameters() if id(p) not in ids]
    groups = [dict(params=decays, weight_decay=WEIGHT_DECAY), dict(params=others, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, **ADAMW, foreach=False)
    out = {}
    for step in range(1, n_steps + 1):
        optimizer.zero_grad()
        mle_loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM, foreach=False)
        optimizer.step()
        if step in (1, n_steps):
            out |= {f"step{step}.{k}": p.detach().clone() for k, p in model.named_parameters()}
    return out


def grpo(model, batch, seed):
    rng = torch.Generator().manual_seed(seed)
    logprobs, entropies = token_scores(model, batch)
    now = torch.cat(logprobs)
    sampled = (now + 0.25 * torch.randn(now.shape, generator=rng)).detach().clamp(max=-1e-3)
    reference = (now + 0.4 * torch.randn(now.shape, generator=rng)).detach().clamp(max=-1e-3)
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=now.dtype)
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    advantage = torch.cat([a.expand(len(l)) for a, l in zip(advantages, logprobs)])
    ratio = (now - sampled).exp()
    held = ratio.clamp(1 - GRPO["clip_low"], 1 + GRPO["clip_high"])
    surrogate = torch.minimum(ratio * advantage, held * advantage)
    gap = reference - now
    kl = gap.exp() - gap - 1
    objective = surrogate - GRPO["kl_weight"] * kl + GRPO["entropy_weight"] * torch.cat(entropies)
    # Every completion counts the same.
    per_completion = objective.split([len(l) for l in logprobs])
    loss = -torch.stack([part.mean() for part in per_completion]).mean()
    out = {"grpo.sampled": sampled, "grpo.reference": reference, "grpo.rewards": rewards}
    out |= {"grpo.advantages": advantages, "grpo.loss": loss.detach()[None]}
    out["grpo.n_clipped"] = ((held * advantage) < (ratio * advantage)).sum()[None]
    return out | gradients(model, loss, "grpo.grad.")


def write(name, seed, folder):
    folder.mkdir(parents=True, exist_ok=True)
    batch = sequences(seed + 1)
    model = build(name, seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    exact = build(name, seed).double()
    loss = mle_loss(exact, batch)
    golden = gradients(exact, loss, "grad.")
    norm = torch.stack([g.norm() for g in golden.values()]).norm()
    golden |= {"loss": loss.detach()[None], "grad_norm": norm[None]}
    golden |= grpo(exact, batch, seed + 2)
    golden |= adamw_steps(model, batch, 3)
    longest = max(len(tokens) for tokens, _ in batch)
    padded = torch.full((len(batch), longest), -1)
    for row, (tokens, _) in zip(padded, batch):
        row[: len(tokens)] = tokens
    golden |= {"tokens": padded, "n_given": torch.tensor([given for _, given in batch])}
    save_file({k: v.contiguous() for k, v in golden.items()}, folder / "golden.safetensors")
    print(f"{name}: loss {loss.item():.4f}, norm {norm.item():.4f}, clipped {golden['grpo.n_clipped'].item()}")


def read_trained(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    golden, decoded = {}, []
    for i, text in enumerate(TEXTS):
        tokens = torch.tensor(tokenizer(text).input_ids)
        with torch.no_grad():
            golden |= {f"tokens.{i}": tokens, f"logits.{i}": model(tokens[None]).logits[0].contiguous()}
        decoded.append(tokenizer.decode(tokens, skip_special_tokens=True))
    save_file(golden, folder / "golden.safetensors")
    (folder / "golden.json").write_text(json.dumps({"texts": TEXTS, "decoded": decoded}, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name in enumerate(MODELS):
        write(name, 100 * seed, arguments.out / name)
    read_trained(arguments.out / "trained")


if __name__ == "__main__":
    main()
