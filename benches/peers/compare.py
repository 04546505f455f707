"""Runs the same workload file on entrace and its peers in turn, checks that the numbers agree, and prints the ratios.

Every engine stays loaded in a process of its own; all but the one that is being timed are stopped. In each round every engine runs every
workload once, so that a machine whose speed drifts treats all alike; ratios are of best times.

    python compare.py --entrace target/release/entrace-bench --model FOLDER --workload FILE \\
        --python transformers=PYTHON --python llama.cpp=PYTHON --python vllm=PYTHON --json OUT

Engines without a `--python` run with the interpreter of this script; those that cannot start are left out and named.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
# Largest difference of a log-probability that is put down to rounding: all compute in float32, in different orders. The defaults of
# llama.cpp round keys and values to the eleven bits of float16; bf16 has eight.
TOLERANCE, TOLERANCE_F16, TOLERANCE_BF16 = 5e-4, 5e-2, 1.0

# name: (script, further arguments)
ENGINES = {
    "transformers, one at a time": ("transformers", ["single"]),
    "transformers, one at a time, bf16": ("transformers", ["single", "bfloat16"]),
    "transformers, cropped cache": ("transformers", ["cropped"]),
    "llama.cpp, roll-back": ("llama.cpp", ["rollback", "float32"]),
    "llama.cpp, roll-back, f16 attention": ("llama.cpp", ["rollback", "default"]),
    "llama.cpp, forked, f16 attention": ("llama.cpp", ["forked", "default"]),
    "vllm": ("vllm", []),
    "vllm, bf16": ("vllm", ["bfloat16"]),
}
SCRIPTS = {"transformers": "with_transformers.py", "llama.cpp": "with_llama_cpp.py", "vllm": "with_vllm.py"}
# The modes of an engine differ in W1 only.
ONLY_W1 = {"transformers, cropped cache", "llama.cpp, forked, f16 attention"}
# Fewer traces are enough for what takes seconds each and does not pack traces together.
SLOW = {"transformers, one at a time", "transformers, one at a time, bf16", "transformers, cropped cache"}
WORKLOADS = {"W1": "s/trace", "W2": "tokens/s", "W3": "tokens/s", "prefill": "tokens/s"}


class Engine:
    """A process that answers commands, stopped unless it is asked something."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            self.answer()
        except BaseException:
            self.close()
            raise
        self.signal(signal.SIGSTOP)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}; see {self.log.name}")
        return json.loads(line)

    def ask(self, command):
        self.signal(signal.SIGCONT)
        print(command, file=self.process.stdin, flush=True)
        answer = self.answer()
        self.signal(signal.SIGSTOP)
        return answer

    def close(self):
        """An engine in the middle of something is not waited for."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


def commands(args, pythons):
    """Name and command line of every engine."""
    before = ["chrt", "--rr", "10"] if args.realtime else []
    serve = ["--serve", "--model", args.model, "--workload", args.workload, "--threads", str(args.threads)]
    yield "entrace", before + [args.entrace, *serve]
    yield "entrace, bf16", before + [args.entrace, *serve, "--dtype", "bf16-products"]
    for name, (kind, rest) in ENGINES.items():
        model = args.model
        if kind == "llama.cpp":
            model = args.gguf
        if not args.engines or kind in args.engines:
            python = pythons.get(kind, sys.executable)
            script = str(HERE / SCRIPTS[kind])
            yield name, before + [python, script, model, args.workload, str(args.threads), *rest]


def start(args, pythons, folder, engines, absent):
    for name, command in commands(args, pythons):
        log = open(folder / f"{name}.log", "w")
        try:
            engines[name] = Engine(name, command, log)
            print(f"started {name}", file=sys.stderr)
        except (RuntimeError, OSError) as error:
            absent[name] = str(error)
            print(f"without {name}: {error}", file=sys.stderr)
    if "entrace" not in engines:
        sys.exit("entrace did not start")


def workloads_of(name):
    if name.startswith("entrace"):
        return ["W1", "W2", "W3"]
    return ["W1"] if name in ONLY_W1 else list(WORKLOADS)


def rate(workload, answer):
    """What is compared: seconds for a trace, or tokens in a second."""
    if workload == "W1":
        return answer["seconds"] / answer["amount"]
    return answer["amount"] / answer["seconds"]


def measure(engines, args):
    """Rates by workload and engine, one of each round."""
    rates = {workload: {} for workload in WORKLOADS}
    sgemm = []
    for turn in range(args.rounds):
        for workload in args.only:
            sgemm.append(engines["entrace"].ask("sgemm")["gflops"])
            for name, engine in engines.items():
                if workload in workloads_of(name):
                    n = args.slow_traces if name in SLOW else args.traces
                    answer = engine.ask(f"W1 {n}" if workload == "W1" else workload)
                    rates[workload].setdefault(name, []).append(rate(workload, answer))
                    print(f"round {turn}: {workload} {name}: {rates[workload][name][-1]:.4g}", file=sys.stderr)
    return rates, sgemm


def differences(engines, args):
    """The largest difference of a log-probability from entrace's, by engine."""
    ours = engines["entrace"].ask(f"scores {args.check_traces}")
    found = {}
    for name, engine in engines.items():
        if name == "entrace":
            continue
        theirs = engine.ask(f"scores {args.check_traces}")
        pairs = [
            (a, b)
            for our_trace, trace in zip(ours["choices"], theirs["choices"])
            for our_row, row in zip(our_trace, trace)
            for a, b in zip(our_row, row)
        ]
        pairs += [(a, b) for mine, text in zip(ours["tokens"], theirs["tokens"]) for a, b in zip(mine, text)]
        found[name] = max(abs(a - b) for a, b in pairs)
    return found


def best(workload, values):
    return min(values) if workload == "W1" else max(values)


def tell(rates, sgemm, found):
    print(f"sgemm {max(sgemm):.0f} GFLOP/s")
    print(f"{'':10}{'engine':38}{'best':>10}{'median':>10}  {'':9}{'entrace is':>11}")
    for workload, engines in rates.items():
        ours = rates["W3" if workload == "prefill" else workload].get("entrace")
        for name, values in engines.items():
            value = best(workload, values)
            ratio = ""
            if ours and name != "entrace":
                our_best = best(workload, ours)
                times = value / our_best if workload == "W1" else our_best / value
                ratio = f"{times:.2f} x"
            print(f"{workload:10}{name:38}{value:10.4g}{median(values):10.4g}  {WORKLOADS[workload]:9}{ratio:>11}")
    print("\nlargest difference of a log-probability from entrace's (nats)")
    for name, difference in found.items():
        tolerance = TOLERANCE_BF16 if "bf16" in name else TOLERANCE_F16 if "f16" in name else TOLERANCE
        verdict = "agrees" if difference <= tolerance else f"DISAGREES (tolerance {tolerance})"
        print(f"  {name:38}{difference:10.2e}  {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entrace", required=True, help="the program entrace-bench")
    parser.add_argument("--model", required=True, help="folder in Hugging Face layout, float32, Llama")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--gguf", help="the same weights in float32 for llama.cpp; made from the folder unless given")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--engines", nargs="*", help="transformers, llama.cpp, vllm; all unless some are named")
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), help="W1 W2 W3 prefill")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--traces", type=int, default=32, help="traces of W1")
    parser.add_argument("--slow-traces", type=int, default=4, help="traces of W1 for transformers")
    parser.add_argument("--check-traces", type=int, default=2, help="traces whose numbers are compared")
    parser.add_argument("--realtime", action="store_true", help="real-time priority, against other work on the machine")
    parser.add_argument("--json", help="where to write everything that was found")
    args = parser.parse_args()
    # A driver that is told to end takes its engines with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before all was measured"))
    pythons = dict(pair.split("=", 1) for pair in args.python)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not args.gguf and (not args.engines or "llama.cpp" in args.engines):
            args.gguf = str(folder / "model.gguf")
            python = pythons.get("llama.cpp", sys.executable)
            subprocess.run([python, str(HERE / "gguf_from_hf.py"), args.model, args.gguf], check=False)
        engines, absent = {}, {}
        try:
            start(args, pythons, folder, engines, absent)
            found = differences(engines, args)
            rates, sgemm = measure(engines, args)
        finally:
            for engine in engines.values():
                engine.close()
    tell(rates, sgemm, found)
    if args.json:
        report = {
            "date": str(datetime.date.today()),
            "machine": machine(args.threads),
            "model": Path(args.model).name,
            "sgemm_gflops": {"best": max(sgemm), "each": sgemm},
            "rates": rates,
            "units": WORKLOADS,
            "largest_difference": found,
            "absent": absent,
        }
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")


def machine(threads):
    def field(path, name):
        lines = Path(path).read_text().splitlines() if Path(path).exists() else []
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)

    flags = (field("/proc/cpuinfo", "flags") or "").split()
    return {
        "processor": field("/proc/cpuinfo", "model name"),
        "features": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile") if flag in flags],
        "n_threads": threads,
        "memory": field("/proc/meminfo", "MemTotal"),
    }


if __name__ == "__main__":
    main()
