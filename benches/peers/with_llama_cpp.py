"""The workloads on llama.cpp, through its C interface.

usage: with_llama_cpp.py MODEL.gguf WORKLOAD THREADS [rollback|forked] [float32|default]

W1 runs prompt and trace once without logits. `rollback` then cuts the cache back to each prefix, the longest first, and runs the cue with
logits at its last token; `forked` makes every prefix a sequence that shares the cells of the trace and runs all cues in one batch.
Rollouts are sequences that share the cells of their prefix, one batch a step.

By `default` llama.cpp keeps keys and values in float16 and runs its flash attention, which rounds to float16 whatever the cache holds;
`float32` turns both off.
"""

import ctypes
import sys

import llama_cpp.llama_cpp as llama
import numpy as np

from channel import Workload, open_channel, serve

BATCH = 2048
CELLS = 16384
GGML_TYPE_F32, FLASH_ATTENTION_OFF = 0, 0


class LlamaCpp:
    def __init__(self, path, threads, mode, precision):
        llama.llama_backend_init()
        self.mode = mode
        self.model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        if not self.model:
            sys.exit(f"cannot load {path}")
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CELLS, BATCH, 512
        params.n_seq_max, params.kv_unified = 200, True
        params.n_threads = params.n_threads_batch = threads
        if precision == "float32":
            params.type_k = params.type_v = GGML_TYPE_F32
            params.flash_attn_type = FLASH_ATTENTION_OFF
        self.context = llama.llama_init_from_model(self.model, params)
        self.memory = llama.llama_get_memory(self.context)
        self.n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.batch = llama.llama_batch_init(BATCH, 0, 1)
        self.random = np.random.default_rng(0)

    def refresh(self):
        llama.llama_memory_seq_rm(self.memory, -1, -1, -1)

    def decode(self, tokens):
        """Runs (token, position, sequence, wants logits), at most BATCH of them."""
        for i, (token, position, sequence, logits) in enumerate(tokens):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = logits
        self.batch.n_tokens = len(tokens)
        if llama.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")

    def logits(self, n_rows):
        """The rows that were asked for, in the order of the batch."""
        pointer = llama.llama_get_logits(self.context)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (n_rows, self.n_vocab))

    def options(self, row, trace):
        top = row.max()
        total = top + np.log(np.exp(row - top).sum(dtype=np.float64))
        return [float(row[option] - total) for option in trace["option_ids"]]

    def choices(self, traces):
        score = self.forked if self.mode == "forked" else self.rolled_back
        return [score(trace) for trace in traces]

    def run_trace(self, trace):
        self.refresh()
        context = trace["prompt_ids"] + trace["trace_ids"]
        self.decode([(token, i, 0, False) for i, token in enumerate(context)])

    def rolled_back(self, trace):
        self.run_trace(trace)
        scores = []
        for n in reversed(trace["prefixes"]):
            at, cue = len(trace["prompt_ids"]) + n, trace["cue_ids"]
            llama.llama_memory_seq_rm(self.memory, 0, at, -1)
            self.decode([(token, at + i, 0, i + 1 == len(cue)) for i, token in enumerate(cue)])
            scores.append(self.options(self.logits(1)[0], trace))
        return scores[::-1]

    def forked(self, trace):
        self.run_trace(trace)
        tokens, cue = [], trace["cue_ids"]
        for sequence, n in enumerate(trace["prefixes"], 1):
            at = len(trace["prompt_ids"]) + n
            llama.llama_memory_seq_cp(self.memory, 0, sequence, 0, at)
            tokens += [(token, at + i, sequence, i + 1 == len(cue)) for i, token in enumerate(cue)]
        self.decode(tokens)
        return [self.options(row, trace) for row in self.logits(len(trace["prefixes"]))]

    def rollout(self, rollout):
        self.refresh()
        forks, draws, new_tokens = rollout["forks"], rollout["draws"], rollout["new_tokens"]
        last = {n - 1 for n in forks}
        context = rollout["context_ids"][: max(forks)]
        self.decode([(token, i, 0, i in last) for i, token in enumerate(context)])
        rows = self.logits(len(last))[[sorted(last).index(n - 1) for n in forks]]
        rows = np.repeat(rows, draws, axis=0)
        places = [n for n in forks for _ in range(draws)]
        for sequence, n in enumerate(places, 1):
            llama.llama_memory_seq_cp(self.memory, 0, sequence, 0, n)
        llama.llama_memory_seq_rm(self.memory, 0, -1, -1)
        for step in range(new_tokens):
            drawn = self.draw(rows)
            if step + 1 == new_tokens:
                break
            self.decode([(int(t), n + step, s, True) for s, (t, n) in enumerate(zip(drawn, places), 1)])
            rows = self.logits(len(places))
        return len(places) * new_tokens

    def draw(self, rows):
        """One token from each row of logits, at temperature 1."""
        drawn = []
        for row, u in zip(rows, self.random.random(len(rows))):
            sums = np.exp(row - row.max()).cumsum()
            drawn.append(min(int(sums.searchsorted(u * sums[-1])), len(row) - 1))
        return drawn

    def tokens(self, token_ids):
        self.decode([(token, i, 0, True) for i, token in enumerate(token_ids)])
        logits = self.logits(len(token_ids))
        scores = []
        for row, token in zip(logits[:-1], token_ids[1:]):
            top = row.max()
            scores.append(float(row[token] - top - np.log(np.exp(row - top).sum(dtype=np.float64))))
        self.refresh()
        return scores

    def prefill(self, token_ids):
        self.decode([(token, i, 0, i + 1 == len(token_ids)) for i, token in enumerate(token_ids)])
        self.refresh()


if __name__ == "__main__":
    answers = open_channel()
    model, workload, threads, *rest = sys.argv[1:]
    mode, precision = rest + ["rollback", "float32"][len(rest) :]
    serve(answers, LlamaCpp(model, int(threads), mode, precision), Workload(workload))
