"""Log-probabilities of SmolLM2-135M-Instruct by transformers, for the test that compares entrace with them.

    python generate.py MODEL_DIR        writes golden.json beside this file

MODEL_DIR holds the weights of the GGUF file, dequantised to float32, in Hugging Face layout. Everything is float32 on the CPU.

tokens:   for each text its token ids and the log-probability of every token but the first, given those before it.
choices:  a multiple-choice question in the model's chat template with a trace of three steps: token ids of prompt, trace, cue and the four
          options (labels with a leading space), the token counts at which prefixes end, and the raw log-probability of every option
          after every prefix and the cue, each computed from scratch on the whole sequence.
Token ids are stored, so that the comparison does not depend on how either side tokenises.
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = [
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "Lena buys twelve pencils and gives a third of them to her brother. She keeps eight pencils.",
    "fn main() {\n    println!(\"a tree is a graph without cycles\");\n}\n",
    "Water boils at a lower temperature on a mountain because the air pressure is lower there.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
]
QUESTION = (
    "Which of these is needed for a plant to make sugar?\nA. moonlight\nB. sunlight\nC. wind\nD. thunder\n\n"
    "Reason step by step. Finish with \"The answer is X.\""
)
STEPS = [
    "Plants make sugar by photosynthesis.\n",
    "Photosynthesis uses the energy of light to join carbon dioxide and water.\n",
    "The light comes from the sun, so sunlight is needed.\n",
]
CUE = "\nThe answer is"
LABELS = ["A", "B", "C", "D"]


def logprobs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)


def main():
    folder = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    tokens = []
    for text in TEXTS:
        ids = encode(text)
        rows = logprobs(model, ids)
        tokens.append(dict(token_ids=ids, logprobs=[rows[i - 1, ids[i]].item() for i in range(1, len(ids))]))

    message = [dict(role="user", content=QUESTION)]
    prompt = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    prompt = encode(prompt)
    steps = [encode(step) for step in STEPS]
    trace = [token for step in steps for token in step]
    ends = [0]
    for step in steps:
        ends.append(ends[-1] + len(step))
    cue, options = encode(CUE), [encode(" " + label) for label in LABELS]
    at_prefixes = []
    for end in ends:
        before = prompt + trace[:end] + cue
        scores = []
        for option in options:
            rows = logprobs(model, before + option)
            scores.append(sum(rows[len(before) + i - 1, token].item() for i, token in enumerate(option)))
        at_prefixes.append(scores)
    choices = dict(prompt=prompt, trace=trace, ends=ends, cue=cue, options=options, logprobs=at_prefixes)
    out = pathlib.Path(__file__).parent / "golden.json"
    out.write_text(json.dumps(dict(tokens=tokens, choices=choices)) + "\n")


main()
