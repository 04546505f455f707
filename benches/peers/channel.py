"""How an engine answers the driver: a line with a command comes in, a line of JSON goes out.

`bf16-products` asks for the rate of large products of bf16 matrices, of an engine that has such.

A command is `NAME` or `NAME N` (only the first N traces). What libraries print goes to standard error.
"""

import json
import os
import sys
import time


class Workload:
    """The lines of a workload file, by kind."""

    def __init__(self, path):
        with open(path) as file:
            lines = [json.loads(line) for line in file if line.strip()]
        self.choices = [line for line in lines if line["kind"] == "choices"]
        self.rollout = [line for line in lines if line["kind"] == "rollout"]
        self.tokens = [line for line in lines if line["kind"] == "tokens"]


def open_channel():
    """Keeps standard output for answers; everything else that is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def serve(answers, engine, workload):
    """Answers commands. `engine` has choices(traces), rollout(line) -> new tokens, tokens(ids) and refresh()."""

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"ready": True})
    for line in sys.stdin:
        name, *rest = line.split() or [""]
        traces = workload.choices[: int(rest[0])] if rest else workload.choices
        engine.refresh()
        begin = time.perf_counter()
        if name == "W1":
            engine.choices(traces)
            say({"seconds": time.perf_counter() - begin, "amount": len(traces), "unit": "trace"})
        elif name == "W2":
            n_new = sum(engine.rollout(rollout) for rollout in workload.rollout)
            say({"seconds": time.perf_counter() - begin, "amount": n_new, "unit": "tokens"})
        elif name in ("W3", "prefill"):
            run = engine.tokens if name == "W3" else engine.prefill
            for text in workload.tokens:
                run(text["token_ids"])
            n_tokens = sum(len(text["token_ids"]) for text in workload.tokens)
            say({"seconds": time.perf_counter() - begin, "amount": n_tokens, "unit": "tokens"})
        elif name == "bf16-products":
            say({"gflops": engine.bf16_products()})
        elif name == "scores":
            tokens = []
            for text in workload.tokens:
                engine.refresh()
                tokens.append(engine.tokens(text["token_ids"]))
            engine.refresh()
            say({"choices": engine.choices(traces), "tokens": tokens})
