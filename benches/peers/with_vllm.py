"""The workloads on vLLM, offline, with its prefix cache.

usage: with_vllm.py MODEL WORKLOAD THREADS [float32|bfloat16]

W1 hands over every prefix with its cue as a prompt of its own and asks for the log-probabilities of the options; the prefix cache is
emptied between repetitions. The engine runs in this process.
"""

import os
import sys

from channel import Workload, open_channel, serve


class Vllm:
    def __init__(self, path, workload, dtype):
        from vllm import LLM

        longest = max([len(text["token_ids"]) for text in workload.tokens] + [1024])
        self.llm = LLM(
            model=path,
            dtype=dtype,
            max_model_len=longest + 64,
            max_num_seqs=256,
            enable_prefix_caching=True,
            skip_tokenizer_init=True,
            max_logprobs=64,
            disable_log_stats=True,
            **({"block_size": int(os.environ["BLOCK_SIZE"])} if "BLOCK_SIZE" in os.environ else {}),
        )

    def refresh(self):
        self.llm.reset_prefix_cache()

    def generate(self, prompts, params):
        from vllm import TokensPrompt

        prompts = [TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        return self.llm.generate(prompts, params, use_tqdm=False)

    def choices(self, traces):
        from vllm import SamplingParams

        prompts, params = [], []
        for trace in traces:
            for n in trace["prefixes"]:
                prompts.append(trace["prompt_ids"] + trace["trace_ids"][:n] + trace["cue_ids"])
                params.append(
                    SamplingParams(
                        max_tokens=1, temperature=0, logprob_token_ids=trace["option_ids"], detokenize=False
                    )
                )
        outputs = iter(self.generate(prompts, params))
        scores = []
        for trace in traces:
            rows = [next(outputs).outputs[0].logprobs[0] for _ in trace["prefixes"]]
            scores.append([[row[option].logprob for option in trace["option_ids"]] for row in rows])
        return scores

    def rollout(self, rollout):
        from vllm import SamplingParams

        params = SamplingParams(
            n=rollout["draws"],
            temperature=1.0,
            max_tokens=rollout["new_tokens"],
            ignore_eos=True,
            detokenize=False,
        )
        outputs = self.generate([rollout["context_ids"][:n] for n in rollout["forks"]], params)
        return sum(len(completion.token_ids) for output in outputs for completion in output.outputs)

    def tokens(self, token_ids):
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
        rows = self.generate([token_ids], params)[0].prompt_logprobs
        return [row[token].logprob for row, token in zip(rows[1:], token_ids[1:])]

    def prefill(self, token_ids):
        from vllm import SamplingParams

        self.generate([token_ids], SamplingParams(max_tokens=1, temperature=0, detokenize=False))


if __name__ == "__main__":
    answers = open_channel()
    model, workload, threads, *rest = sys.argv[1:]
    os.environ.update(
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_CPU_KVCACHE_SPACE=os.environ.get("VLLM_CPU_KVCACHE_SPACE", "2"),
        VLLM_CPU_OMP_THREADS_BIND=f"0-{int(threads) - 1}",
        HF_HUB_OFFLINE="1",
        VLLM_NO_USAGE_STATS="1",
        DO_NOT_TRACK="1",
    )
    workload = Workload(workload)
    serve(answers, Vllm(model, workload, rest[0] if rest else "float32"), workload)
