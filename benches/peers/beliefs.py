"""Beliefs through `entrace.transformers.Backend` beside a probe of one's own in plain transformers.

    python benches/peers/beliefs.py MODEL [--traces N] [--tokens T] [--steps K] [--threads N]

Both ask the same of the same model: after each of K + 1 prefixes of a trace of T tokens, the probabilities of four option labels after a
cue. The probe runs the trace once and then the cue after each prefix on the cropped cache, as one would write it by hand. Times are the
least of three, without loading and without hashing the weights; entrace's include tokenising, log-probability and entropy of every token
of the traces, the record of the run, its tables and its report.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

import entrace
from entrace import Path as EnginePath
from entrace.transformers import Backend

WORDS = "There are some apples and pears on the table and she takes two of them to give away".split()


class Asked(NamedTuple):
    """Prompt and trace as tokens, and the cues: how many tokens precede each, and its own."""

    whole: np.ndarray
    cues: list[tuple[int, np.ndarray]]


def traces(n: int, n_tokens: int, n_steps: int) -> list[dict]:
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
def probe(model, plan: list[Asked]) -> list[np.ndarray]:
    """Logits after each cue: prompt and trace in one pass, each cue on the cropped cache."""
    found = []
    for asked in plan:
        cache = DynamicCache()
        model(torch.tensor(asked.whole[None]), past_key_values=cache, use_cache=True)
        for n_before, cue in sorted(asked.cues, key=lambda cue: -cue[0]):
            cache.crop(n_before - cache.get_seq_length())
            logits = model(torch.tensor(cue[None]), past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            found.append(logits[0, -1].numpy())
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
    rows = traces(arguments.traces, arguments.tokens, arguments.steps)
    backend = Backend(model, tokenizer, model_hash="benchmark")

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            entrace.score(backend, rows, segment="line", controls="none", rollouts="0", output_path=Path(folder) / "run", quiet=True)

    ours_secs = least(3, ours)
    plan, logits = recorded(backend, ours)
    theirs_secs = least(3, lambda: probe(model, plan))
    difference = max(np.abs(a - b).max() for a, b in zip(probe(model, plan), logits))
    ratio = round(ours_secs / theirs_secs, 3)
    print(json.dumps({"entrace_secs": round(ours_secs, 2), "probe_secs": round(theirs_secs, 2), "ratio": ratio, "largest_difference": float(difference)}))


def recorded(backend: Backend, ours) -> tuple[list[Asked], list[np.ndarray]]:
    """What entrace asks of the model, and the logits that it gets, in the order of the probe: the same work for both."""
    paths: list[tuple[EnginePath, np.ndarray]] = []
    score = backend.score

    def listening(asked: list[EnginePath]) -> list[np.ndarray]:
        found = score(asked)
        paths.extend(zip(asked, found))
        return found

    backend.score = listening
    ours()
    backend.score = score
    plan, logits = [], []
    for trace, _ in paths:
        if len(trace.rows) < 2:
            continue
        whole = trace.tokens
        of_trace = [
            (path, found)
            for path, found in paths
            if len(path.rows) == 1 and len(path.context) <= len(whole) and np.array_equal(path.context, whole[: len(path.context)])
        ]
        of_trace.sort(key=lambda item: -len(item[0].context))
        plan.append(Asked(whole, [(len(path.context), path.ids) for path, _ in of_trace]))
        logits.extend(found[-1] for _, found in of_trace)
    return plan, logits


if __name__ == "__main__":
    main()
