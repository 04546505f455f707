"""Loads rewards_trl.jsonl, rewards_openrlhf.jsonl and precomputed_scores.jsonl of a folder with the code that they are for.

TRL's tokenisation of stepwise rows and OpenRLHF's data set get a tokenizer of single characters, so that labels can be told by their places.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

folder = Path(sys.argv[1])


def tokenizer(rows):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted({letter for row in rows for letter in row} | set("+-"))
    vocabulary = {letter: number for number, letter in enumerate(["ки", "<pad>", *letters])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("ки|[\\s\\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<pad>")


def trl():
    from datasets import load_dataset
    from trl import PRMTrainer

    rows = load_dataset("json", data_files=str(folder / "rewards_trl.jsonl"), split="train")
    of_letters = tokenizer(row["prompt"] + "".join(row["completions"]) + "\n" for row in rows)
    for row in rows:
        made = PRMTrainer.tokenize_row(row, of_letters, "\n", None, None, None, False, False)
        labels = [label for label in made["labels"] if label != -100]
        assert labels == [int(label) for label in row["labels"]], (labels, row["labels"])
        assert [reward > 0 for reward in row["rewards"]] == row["labels"]
    return len(rows)


def openrlhf():
    from datasets import load_dataset
    from openrlhf.datasets import ProcessRewardDataset

    rows = load_dataset("json", data_files=str(folder / "rewards_openrlhf.jsonl"), split="train")
    of_letters = tokenizer(row["input"].replace("ки", "") for row in rows)
    args = SimpleNamespace(input_key="input", label_key="label", placeholder_token="ки", reward_tokens=["+", "-"])
    made = ProcessRewardDataset(rows, of_letters, 10_000, SimpleNamespace(args=args))
    for number in range(len(made)):
        _, _, labels = made[number]
        found = of_letters.convert_ids_to_tokens(labels[labels != -100].tolist())
        assert found == rows[number]["label"], (found, rows[number]["label"])
    return len(made)


def inspect():
    from inspect_ai.scorer._precomputed import _read_scores_file

    scores = _read_scores_file(str(folder / "precomputed_scores.jsonl"))
    assert all(0 <= score.value <= 1 and epoch == 1 for (_, epoch), score in scores.items())
    return len(scores)


for name, load in [("TRL", trl), ("OpenRLHF", openrlhf), ("inspect", inspect)]:
    try:
        print(f"{name}: loaded {load()} rows")
    except ImportError as missing:
        print(f"{name}: not installed ({missing})")
