"""The workloads on transformers.

usage: with_transformers.py MODEL WORKLOAD THREADS [single|cropped] [float32|bfloat16]

W1 `single` runs prompt, prefix and cue anew for every prefix; `cropped` runs prompt and trace once and cuts the cache back to each
prefix, the longest first. Rollouts share the run of their prefix and are sampled in one padded batch.
"""

import sys
import time

import torch
from transformers import AutoModelForCausalLM

from channel import Workload, open_channel, serve


class Transformers:
    def __init__(self, path, mode, dtype):
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
        self.mode = mode

    def refresh(self):
        pass

    @torch.inference_mode()
    def choices(self, traces):
        score = self.cropped if self.mode == "cropped" else self.single
        return [score(trace) for trace in traces]

    def options(self, logits, trace):
        return torch.log_softmax(logits.float(), -1)[trace["option_ids"]].tolist()

    def single(self, trace):
        scores = []
        for n in trace["prefixes"]:
            ids = trace["prompt_ids"] + trace["trace_ids"][:n] + trace["cue_ids"]
            out = self.model(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
            scores.append(self.options(out.logits[0, -1], trace))
        return scores

    def cropped(self, trace):
        context = trace["prompt_ids"] + trace["trace_ids"]
        cache = self.model(torch.tensor([context]), use_cache=True, logits_to_keep=1).past_key_values
        cue = torch.tensor([trace["cue_ids"]])
        scores = []
        for n in reversed(trace["prefixes"]):
            excess = cache.get_seq_length() - len(trace["prompt_ids"]) - n
            if excess > 0:
                cache.crop(-excess)
            out = self.model(cue, past_key_values=cache, use_cache=True, logits_to_keep=1)
            scores.append(self.options(out.logits[0, -1], trace))
        return scores[::-1]

    @torch.inference_mode()
    def rollout(self, rollout):
        forks, draws, new_tokens = rollout["forks"], rollout["draws"], rollout["new_tokens"]
        width = max(forks)
        ids = torch.zeros(len(forks), width, dtype=torch.long)
        mask = torch.zeros(len(forks), width, dtype=torch.long)
        for row, n in enumerate(forks):
            ids[row, width - n :] = torch.tensor(rollout["context_ids"][:n])
            mask[row, width - n :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        out = self.model(
            ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
        )
        cache, logits = out.past_key_values, out.logits[:, -1].repeat_interleave(draws, 0)
        cache.batch_repeat_interleave(draws)
        mask = mask.repeat_interleave(draws, 0)
        position = positions[:, -1:].repeat_interleave(draws, 0)
        for step in range(new_tokens):
            token = torch.multinomial(torch.softmax(logits.float(), -1), 1)
            if step + 1 == new_tokens:
                break
            mask = torch.cat([mask, torch.ones(len(mask), 1, dtype=torch.long)], 1)
            position = position + 1
            out = self.model(
                token, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
            )
            logits = out.logits[:, -1]
        return len(mask) * new_tokens

    @torch.inference_mode()
    def tokens(self, token_ids):
        ids = torch.tensor(token_ids)
        logits = self.model(ids[None], use_cache=False).logits[0, :-1]
        return torch.log_softmax(logits.float(), -1).gather(1, ids[1:, None])[:, 0].tolist()

    @torch.inference_mode()
    def bf16_products(self):
        """The best rate of a product of bf16 matrices, GFLOP/s."""
        best = 0.0
        for side in (1024, 2048):
            a, b = (torch.randn(side, side).to(torch.bfloat16) for _ in range(2))
            for _ in range(3):
                begin = time.perf_counter()
                a @ b
                best = max(best, 2 * side**3 / (time.perf_counter() - begin) / 1e9)
        return best

    @torch.inference_mode()
    def prefill(self, token_ids):
        self.model(torch.tensor([token_ids]), use_cache=True, logits_to_keep=1)


if __name__ == "__main__":
    answers = open_channel()
    model, workload, threads, *rest = sys.argv[1:]
    mode, dtype = rest + ["single", "float32"][len(rest) :]
    torch.set_num_threads(int(threads))
    serve(answers, Transformers(model, mode, dtype), Workload(workload))
