"""Beliefs through `entrace.transformers.Backend` beside a probe of one's own in plain transformers.

    python benches/peers/beliefs.py MODEL [--traces N] [--tokens T] [--steps K] [--threads N]

Both ask the same of the same model: after each of K + 1 prefixes of a trace of T tokens, the probabilities of four option labels after a
cue. The probe runs the trace once and then the cue after each prefix on the cropped cache, as one would write it by hand. Times are the
least of three, without loading; entrace's include tokenising, the record of the run and its tables.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

import entrace
from entrace.transformers import Backend

WORDS = "There are some apples and pears on the table and she takes two of them to give away".split()


def traces(n: int, n_tokens: int, n_steps: int, tokenizer) -> list[dict]:
    """Questions with four options and traces of about so many tokens, one step a line."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(n):
        lines = [" ".join(generator.choice(WORDS, size=max(1, n_tokens // n_steps - 1))) for _ in range(n_steps)]
        rows.append(
            {"id": str(number), "question": f"How many are left of {number + 10}?", "choices": ["1", "2", "3", "4"], "target": "A", "trace": "\n".join(lines)}
        )
    return rows


@torch.inference_mode()
def probe(model, plan: list[tuple[list[int], list[int], list[int], list[int]]], labels: list[int]) -> list[np.ndarray]:
    """Probabilities of the labels at each prefix: prompt and trace in one pass, each cue on the cropped cache."""
    found = []
    for prompt, trace, ends, cue in plan:
        cache = DynamicCache()
        model(torch.tensor([prompt + trace]), past_key_values=cache, use_cache=True)
        rows = []
        for end in reversed(ends):
            cache.crop(len(prompt) + end - cache.get_seq_length())
            logits = model(torch.tensor([cue]), past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            rows.append(torch.softmax(logits[labels].float(), -1).numpy())
        found.append(np.array(rows[::-1]))
    return found


def least(times: int, work) -> float:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--traces", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=240)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    rows = traces(arguments.traces, arguments.tokens, arguments.steps, tokenizer)
    backend = Backend(model, tokenizer)

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(
                entrace.score(backend, rows, segment="line", controls="none", rollouts="0", output_path=Path(folder) / "run", quiet=True).prefixes.to_numpy()
            )

    measured: list[dict] = []
    ours_secs = least(3, ours)
    # The very tokens that entrace asked about, so that both do the same work.
    plan, labels = plan_of(backend, rows)
    theirs_secs = least(3, lambda: probe(model, plan, labels))
    leader = [row.max() for of_trace in probe(model, plan, labels) for row in of_trace]
    difference = float(np.abs(np.array(leader) - measured[-1]["leader_prob"]).max())
    print(json.dumps({"entrace_secs": round(ours_secs, 2), "probe_secs": round(theirs_secs, 2), "ratio": round(ours_secs / theirs_secs, 3), "largest_difference": difference}))


def plan_of(backend: Backend, rows: list[dict]) -> tuple[list, list[int]]:
    """Prompt, trace, ends of prefixes and cue of each trace, as entrace plans them, and the tokens of the labels."""
    model = entrace.Model(backend)
    plan = []
    for row in rows:
        curve = model.belief(row["question"], row["trace"], choices=row["choices"], segment="line")
        prompt = model.encode(curve.prompt, special=True).tolist()
        trace = model.encode(row["trace"]).tolist()
        plan.append((prompt, trace, [int(n) for n in curve.n_tokens], model.encode("\nThe answer is").tolist()))
    return plan, [int(model.encode(f" {label}")[-1]) for label in "ABCD"]


if __name__ == "__main__":
    main()
