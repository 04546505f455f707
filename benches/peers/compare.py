"""Runs the same workload file on entrace and its peers in turn, checks that the numbers agree, and prints the ratios.

Every engine stays loaded in a process of its own; all but the one that is being timed are stopped. In each round every engine runs every
workload once, so that a machine whose speed drifts treats all alike; ratios are of best times.

Engines are compared within their class: those that compute in float32 with each other, and those that round activations (to bf16, or the f16
of attention) with each other. The floor of a class is the best rate of a large product of its numbers that was measured in the same rounds:
sgemm, and for the rounded class the faster of that and torch's product of bf16 matrices, which uses the processor's tiles. The share of the floor
counts the products that the workload needs when every common beginning is run once, whatever an engine runs; float32 products that are made
of bf16 tiles are ahead of sgemm.

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
    "vllm, prefix cache": ("vllm", []),
    "vllm, prefix cache, bf16": ("vllm", ["bfloat16"]),
}
# Of a processor, what products are made of.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")
SCRIPTS = {"transformers": "with_transformers.py", "llama.cpp": "with_llama_cpp.py", "vllm": "with_vllm.py"}
# The modes of an engine differ in W1 only.
ONLY_W1 = {"transformers, cropped cache", "llama.cpp, forked, f16 attention"}
# Fewer traces are enough for what takes seconds each and does not pack traces together.
SLOW = {"transformers, one at a time", "transformers, one at a time, bf16", "transformers, cropped cache"}
WORKLOADS = {"W1": "s/trace", "W2": "tokens/s", "W3": "tokens/s", "prefill": "tokens/s"}
# The engine of ours in each class.
OURS = {"float32": "entrace", "rounded": "entrace, bf16"}


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
        if is_wanted(args, name, kind):
            python = pythons.get(kind, sys.executable)
            script = str(HERE / SCRIPTS[kind])
            yield name, before + [python, script, model, args.workload, str(args.threads), *rest]


def is_wanted(args, name, kind):
    return not args.engines or kind in args.engines or name in args.engines


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


def class_of(name):
    return "rounded" if "bf16" in name or "f16" in name else "float32"


def rate(workload, answer):
    """What is compared: seconds for a trace, or tokens in a second."""
    if workload == "W1":
        return answer["seconds"] / answer["amount"]
    return answer["amount"] / answer["seconds"]


class Measured:
    """What the rounds gave."""

    def __init__(self):
        # By workload and engine, one of each round.
        self.rates = {workload: {} for workload in WORKLOADS}
        # Of large products, in GFLOP/s, one of each round and workload.
        self.products = {"float32": [], "bf16": []}
        # GFLOP that the products of a workload need, for each trace or token.
        self.gflop = {}

    def floors(self):
        """The best rate of each class; none of products that nobody measured."""
        float32, bf16 = (max(rates, default=None) for rates in self.products.values())
        return {"float32": float32, "rounded": max(filter(None, (float32, bf16)), default=None)}


def measure(engines, args):
    found = Measured()
    torch = next((engine for name, engine in engines.items() if name.startswith("transformers")), None)
    for turn in range(args.rounds):
        for workload in args.only:
            found.products["float32"].append(engines["entrace"].ask("sgemm")["gflops"])
            if torch:
                found.products["bf16"].append(torch.ask("bf16-products")["gflops"])
            for name, engine in engines.items():
                if workload not in workloads_of(name):
                    continue
                n = args.slow_traces if name in SLOW else args.traces
                answer = engine.ask(f"W1 {n}" if workload == "W1" else workload)
                rates = found.rates[workload].setdefault(name, [])
                rates.append(rate(workload, answer))
                if name == "entrace" and answer.get("gflop"):
                    found.gflop[workload] = answer["gflop"] / answer["amount"]
                print(f"round {turn}: {workload} {name}: {rates[-1]:.4g}", file=sys.stderr)
    return found


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


def tell(measured, differences, machine):
    tiles = "with" if "amx_bf16" in machine["features"] else "without"
    print(f"{machine['processor']}, {machine['n_threads']} threads, {tiles} bf16 tiles ({', '.join(machine['features'])})")
    for kind, floor in measured.floors().items():
        if any(class_of(name) == kind for engines in measured.rates.values() for name in engines):
            tell_class(kind, floor, measured)
    print("\nlargest difference of a log-probability from entrace's (nats)")
    for name, difference in differences.items():
        tolerance = TOLERANCE_BF16 if "bf16" in name else TOLERANCE_F16 if "f16" in name else TOLERANCE
        verdict = "agrees" if difference <= tolerance else f"DISAGREES (tolerance {tolerance})"
        print(f"  {name:38}{difference:10.2e}  {verdict}")


def tell_class(kind, floor, measured):
    """The engines of a class: rates, ratios to ours of the same class, and shares of the floor."""
    print(f"\n{kind}: large products at {f'{floor:.0f} GFLOP/s' if floor else 'a rate that was not measured'}")
    print(f"{'':10}{'engine':38}{'best':>10}{'median':>10}  {'':9}{'entrace is':>11}{'of the floor':>14}")
    for workload, engines in measured.rates.items():
        # What is known of a whole text is known of its beginning: scoring stands against a prefill.
        ours = measured.rates["W3" if workload == "prefill" else workload].get(OURS[kind])
        for name, values in engines.items():
            if class_of(name) != kind:
                continue
            value = best(workload, values)
            ratio = "" if not ours or name == OURS[kind] else f"{times_as_fast(workload, best(workload, ours), value):.2f} x"
            share = share_of_floor(workload, value, measured.gflop.get(workload), floor)
            print(
                f"{workload:10}{name:38}{value:10.4g}{median(values):10.4g}  {WORKLOADS[workload]:9}{ratio:>11}{share:>14}"
            )


def times_as_fast(workload, ours, theirs):
    return theirs / ours if workload == "W1" else ours / theirs


def share_of_floor(workload, value, gflop, floor):
    if not gflop or not floor:
        return ""
    per_second = gflop / value if workload == "W1" else gflop * value
    return f"{per_second / floor:.0%}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entrace", required=True, help="the program entrace-bench")
    parser.add_argument("--model", required=True, help="folder in Hugging Face layout, float32, Llama")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--gguf", help="the same weights in float32 for llama.cpp; made from the folder unless given")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--engines", nargs="*", help="transformers, llama.cpp, vllm, or an engine as the table names it; all unless some are named")
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
        if not args.gguf and any(is_wanted(args, name, kind) for name, (kind, _) in ENGINES.items() if kind == "llama.cpp"):
            args.gguf = str(folder / "model.gguf")
            python = pythons.get("llama.cpp", sys.executable)
            subprocess.run([python, str(HERE / "gguf_from_hf.py"), args.model, args.gguf], check=False)
        engines, absent = {}, {}
        try:
            start(args, pythons, folder, engines, absent)
            found = differences(engines, args)
            measured = measure(engines, args)
        finally:
            for engine in engines.values():
                engine.close()
    tell(measured, found, machine(args.threads))
    if args.json:
        report = {
            "date": str(datetime.date.today()),
            "machine": machine(args.threads),
            "model": Path(args.model).name,
            "product_gflops": measured.products,
            "floor_gflops": measured.floors(),
            "gflop_per_unit": measured.gflop,
            "rates": measured.rates,
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
        "features": [flag for flag in FEATURES if flag in flags],
        "n_threads": threads,
        "memory": field("/proc/meminfo", "MemTotal"),
    }


if __name__ == "__main__":
    main()
