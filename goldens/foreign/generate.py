"""Writes small logs with the packages whose logs entrace imports: the same four traces of two questions in each form.

    python goldens/foreign/generate.py inspect|trl|verl|lighteval|openai FOLDER

Each needs its package only (`install.py` has their versions); none of them needs a model or a network. The files in `crates/datasets/tests/foreign`
came from here, and a test makes them anew with the packages of the day where ENTRACE_PYTHON_TRAINERS asks for it.
"""

import json
import os
import sys
from pathlib import Path

QUESTIONS = ["Mia has 3 pens and buys 4. How many has she?", "Tom has 9 eggs and eats 2. How many are left?"]
TRACES = [
    ["Mia has 3 pens.\nShe buys 4 more.\nThe answer is 7.", "She has 3 + 4 = 8.\nThe answer is 8."],
    ["Tom had 9 eggs.\nHe eats 2 of them.\nThe answer is 7.", "9 - 2 is 7.\nThe answer is 7."],
]
ROWS = [(question, trace) for question, traces in zip(QUESTIONS, TRACES) for trace in traces]
REWARDS = [1.0, 0.0, 1.0, 1.0]
TARGET = "7"


def chat(role, text):
    return [{"role": role, "content": text}]


def inspect(folder):
    """Logs of evaluations with inspect's scripted model: numbers as an archive and as JSON, and one question with options."""
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.log import read_eval_log, write_eval_log
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import choice, match
    from inspect_ai.solver import generate, multiple_choice

    def model(texts):
        outputs = [ModelOutput.from_content("mockllm/model", text) for text in texts]
        for output in outputs:
            output.usage = ModelUsage(input_tokens=10, output_tokens=10, total_tokens=20)
        return get_model("mockllm/model", memoize=False, custom_outputs=outputs)

    def write(task, texts, kind, name):
        logs = evaluate(task, model=model(texts), log_dir=str(folder / "logs"), log_format=kind, display="none", max_samples=1)
        log = read_eval_log(logs[0].location)
        for sample in log.samples:
            sample.events, sample.attachments = [], {}
        write_eval_log(log, str(folder / name))

    numbers = MemoryDataset(
        [Sample(id=name, input=question, target=TARGET) for name, question in zip(["pens", "eggs"], QUESTIONS)]
    )
    texts = [text.replace("The answer is ", "ANSWER: ").rstrip(".") for _, text in ROWS]
    for kind in ["eval", "json"]:
        task = Task(dataset=numbers, solver=generate(), scorer=match(numeric=True), name="sums", epochs=2)
        write(task, texts, kind, f"inspect.{kind}")
    options = MemoryDataset(
        [Sample(id=1, input="Which is a fruit?", choices=["stone", "apple", "chair"], target="B")]
    )
    task = Task(dataset=options, solver=multiple_choice(cot=True), scorer=choice(), name="fruit")
    write(task, ["An apple grows on a tree.\nANSWER: B"], "eval", "inspect_choice.eval")


def trl(folder):
    """The completions that GRPO's trainer logs, written by its own `log`: what it would have drawn is put into its log."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "a": 2}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=3, num_key_value_heads=1, **sizes)).to(torch.float32)
    config = GRPOConfig(
        output_dir=str(folder / "trainer"),
        log_completions=True,
        report_to=[],
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=4,
        num_generations=2,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "a"}] * 4),
        processing_class=tokenizer,
    )
    trainer.state.global_step = 1
    trainer._logs["prompt"].extend(chat("user", question) for question, _ in ROWS)
    trainer._logs["completion"].extend(chat("assistant", trace) for _, trace in ROWS)
    trainer._logs["rewards"]["accuracy_reward"].extend(REWARDS)
    trainer._logs["advantages"].extend([0.7, -0.7, 0.0, 0.0])
    trainer.log({"loss": 0.0})
    os.replace(
        folder / "trainer" / "completions" / "completions_00001.parquet", folder / "completions_00001.parquet"
    )


def verl(folder):
    """Rollouts that the PPO trainer dumps, written by its own method."""
    from types import SimpleNamespace

    from verl.trainer.ppo.ray_trainer import RayPPOTrainer

    trainer = SimpleNamespace(global_steps=1)
    writes = getattr(RayPPOTrainer, "_write_generations", None)
    fields = {
        "inputs": [f"user\n{question}\nassistant\n" for question, _ in ROWS],
        "outputs": [trace for _, trace in ROWS],
        "gts": [TARGET] * 4,
        "scores": REWARDS,
        "reward_extra_infos_dict": {"acc": [reward > 0.5 for reward in REWARDS]},
        "dump_path": str(folder),
    }
    if writes is None:
        RayPPOTrainer._dump_generations(trainer, **fields)
    else:
        # Newer versions write on a thread of their own, through this.
        is_static = isinstance(RayPPOTrainer.__dict__["_write_generations"], staticmethod)
        arguments = [*fields.values(), trainer.global_steps]
        writes(*arguments) if is_static else writes(trainer, *arguments)
    os.replace(folder / "1.jsonl", folder / "verl_1.jsonl")


def lighteval(folder):
    """Details of an evaluation, from lighteval's own classes and with its own writer."""
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.abstract_model import ModelConfig
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    tracker = EvaluationTracker(output_dir=str(folder / "tracker"), save_details=True)
    for number, (question, traces) in enumerate(zip(QUESTIONS, TRACES)):
        doc = Doc(query=question, choices=[TARGET], gold_index=0, task_name="sums", id=str(number))
        answers = ModelResponse(input=question, text=traces)
        tracker.details_logger.log("sums", doc, answers, {"extractive_match": 1.0 if number else 0.5})
    config = ModelConfig(model_name="small")
    tracker.general_config_logger.model_config, tracker.general_config_logger.model_name = config, "small"
    tracker.save()
    written = next((folder / "tracker").rglob("*.parquet"))
    os.replace(written, folder / "details_sums.parquet")


def openai(folder):
    """Requests and answers of a batch, in OpenAI's own types, and the same as vLLM's batch runner names them."""
    from openai.types.chat import ChatCompletion

    def line(**fields):
        return json.dumps(fields) + "\n"

    with (
        open(folder / "batch_input.jsonl", "w") as requests,
        open(folder / "batch_output.jsonl", "w") as answers,
        open(folder / "vllm_output.jsonl", "w") as of_vllm,
    ):
        for number, (question, traces) in enumerate(zip(QUESTIONS, TRACES)):
            key = f"q{number}"
            body = {"model": "small", "messages": chat("user", question), "n": 2, "metadata": {"target": TARGET}}
            requests.write(line(custom_id=key, method="POST", url="/v1/chat/completions", body=body))
            choices = [
                {"index": k, "message": chat("assistant", trace)[0], "logprobs": None, "finish_reason": "stop"}
                for k, trace in enumerate(traces)
            ]
            usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
            made = ChatCompletion.model_validate(
                {
                    "id": f"chatcmpl-{number}",
                    "object": "chat.completion",
                    "created": 1764374400,
                    "model": "small",
                    "choices": choices,
                    "usage": usage,
                }
            ).model_dump(mode="json")
            for file, name, request in [(answers, "batch_req", "r"), (of_vllm, "vllm", "vllm-batch-")]:
                response = {"status_code": 200, "request_id": f"{request}{number}", "body": made}
                file.write(line(id=f"{name}_{number}", custom_id=key, response=response, error=None))
        expired = {
            "code": "batch_expired",
            "message": "This request could not be executed before the completion window expired.",
        }
        answers.write(line(id="batch_req_2", custom_id="q2", response=None, error=expired))


if __name__ == "__main__":
    writers = {"inspect": inspect, "trl": trl, "verl": verl, "lighteval": lighteval, "openai": openai}
    writer, to = writers[sys.argv[1]], Path(sys.argv[2])
    to.mkdir(parents=True, exist_ok=True)
    writer(to)
