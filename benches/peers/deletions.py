"""Leaving out each step of recorded traces: `entrace intervene` against transformers, one edited trace at a time.

    entrace run --model FOLDER --tasks arc_challenge --limit 32 --controls none --output-path RUN
    python benches/peers/deletions.py --entrace target/release/entrace --model FOLDER --run RUN [--threads 2] [--rounds 3]

The run has to be of questions with options, so that both sides read the same: the labels after the cue. For every trace and every step k of K,
transformers runs prompt, trace without step k, and cue. Prints the time of both, in turn in one process tree, tokens against the formula
(prompt, trace and, for each deletion, what follows it, and cues), and how far the probabilities of the targets lie apart.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--entrace", required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--run", required=True, type=Path)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
args = parser.parse_args()
torch.set_num_threads(args.threads)

tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
cue = json.loads((args.run / "manifest.json").read_text())["settings"]["cue"]
CUE = tokenizer(cue, add_special_tokens=False)["input_ids"]


def traces():
    """Of each trace its key, prompt, and the tokens of each of its steps."""
    tokens = {}
    for row in pq.read_table(args.run / "tokens.parquet").to_pylist():
        key = (row["question_id"], row["sample"])
        tokens.setdefault(key, {}).setdefault(row["step"], []).append(row["token_id"])
    for row in pq.read_table(args.run / "traces.parquet").to_pylist():
        key = (row["question_id"], row["sample"])
        if key in tokens:
            prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
            yield key, prompt, [tokens[key][step] for step in sorted(tokens[key])], row


@torch.inference_mode()
def deleted(prompt, steps, k, labels):
    ids = prompt + [token for n, step in enumerate(steps, 1) if n != k for token in step] + CUE
    out = model(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
    return torch.softmax(out.logits[0, -1, labels].double(), -1)


def labels_of(row):
    """Tokens of the labels of a question's options."""
    labels = json.loads(row["choices"])["labels"]
    return [tokenizer(f" {label}", add_special_tokens=False)["input_ids"][0] for label in labels]


def transformers_round(all_traces):
    began, found = time.perf_counter(), {}
    for key, prompt, steps, row in all_traces:
        labels = labels_of(row)
        for k in range(1, len(steps) + 1):
            found[(*key, k)] = deleted(prompt, steps, k, labels)
    return time.perf_counter() - began, found


def entrace_round():
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(args.run, run)
        command = [args.entrace, "intervene", run, "--model", args.model, "--kinds", "delete", "--quiet"]
        subprocess.run([*command, "--threads", str(args.threads)], check=True, stdout=subprocess.DEVNULL)
        settings = json.loads((run / "interventions.json").read_text())
        return settings, pq.read_table(run / "interventions.parquet").to_pylist()


everything = list(traces())
formula = 0
for _, prompt, steps, _ in everything:
    sizes = [len(step) for step in steps]
    formula += len(prompt) + sum(sizes) + len(CUE) * (len(sizes) + 1)
    formula += sum(sum(sizes[k:]) for k in range(1, len(sizes) + 1))
ratios, ours, theirs = [], [], []
for _ in range(args.rounds):
    settings, rows = entrace_round()
    seconds, found = transformers_round(everything)
    ours.append(settings["elapsed_secs"])
    theirs.append(seconds)
    ratios.append(seconds / settings["elapsed_secs"])
apart = []
for row in rows:
    key = (row["question_id"], row["sample"], row["step"])
    if row["kind"] == "delete" and row["target_prob"] is not None and key in found:
        apart.append(float((found[key] - row["target_prob"]).abs().min()))
print(f"{len(everything)} traces, {len(found)} deletions")
print(f"tokens run: {settings['tokens_scored']}, by the formula {formula}: {settings['tokens_scored'] / formula:.3f}")
print(f"seconds: entrace {min(ours):.2f}, transformers {min(theirs):.2f}; ratios {[round(r, 2) for r in ratios]}")
print(f"target probability, largest distance from the nearest option's: {max(apart):.1e} of {len(apart)}")
