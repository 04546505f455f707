#!/usr/bin/env python3
"""Damages files and looks at what entrace makes of them.

Each file that users get from others is flipped in one bit or cut off at random places; every try gets 4 GB of memory and ten seconds. A try
is a failure if entrace panics, dies of a signal, hangs, ends with an exit code of none of its meanings, or, for a run folder, prints other
numbers than those of the whole one with exit code 0. Numbers of damaged weights or texts are other numbers rightly.

    python3 fuzz/mutate.py target/release/entrace [--tries 300] [--seed 1] [--only gguf,folder,...]
"""

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEMORY = 4 << 30
SECONDS = 10
CODES = {0, 1, 2, 3}
# What a panic prints, and what the program says of one.
PANICS = ("panicked at", "a fault of entrace")

QUESTIONS = "\n".join(
    f'{{"id": "q{i}", "question": "Mia has {i} pens and buys 4. How many has she?", "target": "{i + 4}"}}' for i in range(6)
)
TRACES = "\n".join(
    f'{{"id": "q{i}", "question": "Mia has {i} pens and buys 4. How many?", "target": "{i + 4}", '
    f'"trace": "She has {i}.\\nShe buys 4.\\nThat is {i + 4}."}}'
    for i in range(6)
)


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(command):
    """Exit code and what was said; None for a hang."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, preexec_fn=limited, check=False)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def damaged(data, rng):
    """One bit flipped, or the end cut off."""
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data))], "cut"
    at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
    # Headers are small beside what they describe: half of the flips are in the beginning.
    if rng.random() < 0.5:
        at = rng.randrange(min(len(data), 4096))
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], f"byte {at} ^ {bit}"


class Kind:
    """Something to damage: files of a folder, and the command that reads them."""

    def __init__(self, folder, files, command, keeps_numbers=False):
        self.folder, self.files, self.command, self.keeps_numbers = folder, files, command, keeps_numbers


def kinds(entrace, work):
    questions, traces = work / "questions.jsonl", work / "traces.jsonl"
    questions.write_text(QUESTIONS)
    traces.write_text(TRACES)
    gguf = next((ROOT / "goldens/gguf/out/llama-f32").glob("*.gguf"))
    folder = work / "folder"
    shutil.copytree(ROOT / "goldens/models/out/llama-gqa", folder)
    text = work / "text"
    text.mkdir()
    for file in (ROOT / "models/sprout").glob("*.json"):
        shutil.copy(file, text)
    shutil.copy(ROOT / "models/sprout/rl.safetensors", text / "model.safetensors")
    record = work / "record"
    made = [entrace, "run", "--limit", "4", "--max-new-tokens", "24", "--output-path", record, "--quiet"]
    code, said = run(made)
    if code not in (0, 1):
        sys.exit(f"the run folder could not be made: {said}")

    def tokens(model):
        return [entrace, "tokens", "--model", model, "--token-ids", "1,2,3,4"]

    def score(file):
        return lambda path: [
            entrace, "score", "--model", "sprout", "--traces", path / file, "--limit", "2",
            "--output-path", path / "out", "--quiet",
        ]  # fmt: skip

    data = work / "data"
    data.mkdir()
    shutil.copy(traces, data / "traces.jsonl")
    table = work / "table"
    table.mkdir()
    shutil.copy(record / "traces.parquet", table / "traces.parquet")
    return {
        "gguf": Kind(gguf.parent, [gguf.name], lambda path: tokens(path / gguf.name)),
        "safetensors": Kind(folder, ["model.safetensors", "config.json"], tokens),
        "tokenizer": Kind(
            text,
            ["tokenizer.json", "tokenizer_config.json"],
            lambda path: [entrace, "doctor", "--model", path],
        ),
        "jsonl": Kind(data, ["traces.jsonl"], score("traces.jsonl")),
        "parquet": Kind(table, ["traces.parquet"], score("traces.parquet")),
        "record": Kind(
            record,
            ["manifest.json", "traces.parquet", "prefixes.parquet", "answers.parquet", "tokens.parquet"],
            lambda path: [entrace, "report", path, "--markdown"],
            keeps_numbers=True,
        ),
    }


def attempt(kind, whole, seed, work):
    """What is wrong with one try; None if nothing is."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=work) as place:
        copy = Path(place) / "copy"
        shutil.copytree(kind.folder, copy)
        name = rng.choice(kind.files)
        data, how = damaged((copy / name).read_bytes(), rng)
        (copy / name).write_bytes(data)
        code, said = run(kind.command(copy))
        what = f"seed {seed}: {name}, {how}"
        if code is None:
            return f"{what}: no end after {SECONDS} s"
        if code not in CODES or any(panic in said for panic in PANICS):
            return f"{what}: exit {code}: {said[-300:]}"
        if kind.keeps_numbers and code == 0 and said != whole:
            return f"{what}: exit 0 with other numbers"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("entrace")
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    n_failures = 0
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(2) as pool:
        work = Path(place)
        entrace = str(Path(args.entrace).resolve())
        for name, kind in kinds(entrace, work).items():
            if args.only and name not in args.only.split(","):
                continue
            with tempfile.TemporaryDirectory(dir=work) as untouched:
                copy = Path(untouched) / "copy"
                shutil.copytree(kind.folder, copy)
                code, whole = run(kind.command(copy))
            if code not in (0, 1):
                sys.exit(f"{name}: exit {code} without any damage: {whole}")
            seeds = range(args.seed * 1_000_000, args.seed * 1_000_000 + args.tries)
            found = [bad for bad in pool.map(lambda seed: attempt(kind, whole, seed, work), seeds) if bad]
            print(f"{name}: {args.tries} tries, {len(found)} failures", flush=True)
            for bad in found:
                print(f"  {bad}", flush=True)
            n_failures += len(found)
    sys.exit(1 if n_failures else 0)


if __name__ == "__main__":
    main()
