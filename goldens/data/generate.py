"""Writes small Parquet files as pyarrow, and so pandas and the Hub, writes them.

Run from the repository root:  python goldens/data/generate.py
Versions are pinned in goldens/requirements.txt. `crates/datasets/tests/forms.rs` states what each file holds.
"""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parent / "out"


def write(name, table, **options):
    pq.write_table(table, OUT / f"{name}.parquet", **options)


def targets():
    """One column for each type that an answer may have; the second row is null but for the question."""
    day = datetime.date(2024, 2, 29)
    columns = {
        "decimal9": pa.array([Decimal("-1234.50"), None], pa.decimal128(9, 2)),
        "decimal38": pa.array([Decimal("123456789012345678901234567890.0001"), None], pa.decimal128(38, 4)),
        "decimal76": pa.array([Decimal("-1" + "0" * 60 + "." + "5" * 10), None], pa.decimal256(76, 10)),
        "integer30": pa.array([Decimal("123456789012345678901234567890"), None], pa.decimal128(38, 0)),
        "half": pa.array([np.float16(0.1), None], pa.float16()),
        "single": pa.array([0.1, None], pa.float32()),
        "double": pa.array([0.1, None], pa.float64()),
        "int8": pa.array([-128, None], pa.int8()),
        "uint8": pa.array([255, None], pa.uint8()),
        "uint64": pa.array([2**64 - 1, None], pa.uint64()),
        "day": pa.array([day, None], pa.date32()),
        "moment": pa.array([datetime.datetime(2024, 2, 29, 12, 30), None], pa.timestamp("ms")),
        "large_text": pa.array(["a text", None], pa.large_string()),
        "words": pa.array(["twelve", None]).dictionary_encode(),
        "bytes": pa.array([b"as text", None], pa.binary()),
        "pickle": pa.array([b"\x80\x04\xff", None], pa.binary()),
        "not_a_number": pa.array([float("nan"), None], pa.float64()),
        "uuid": pa.array([bytes(range(128, 144)), None], pa.binary(16)),
        "always_null": pa.nulls(2, pa.string()),
        "nothing": pa.nulls(2),
    }
    questions = pa.array(["How much?", "How many?"])
    write("targets", pa.table({"question": questions, **columns}))
    write("decimals_as_integers", pa.table({"question": questions, "target": columns["decimal9"]}), store_decimal_as_integer=True)


def choices():
    """The shapes of options, each of the same two."""
    pairs = [("A", "ice"), ("B", "2")]
    text = pa.string()
    table = pa.table({
        "question": ["What melts?"],
        "list": pa.array([["ice", "2"]]),
        "map": pa.array([pairs], pa.map_(text, text)),
        "struct": pa.array([{"A": "ice", "B": "2", "C": None}], pa.struct([(label, text) for label in "ABC"])),
        "labelled": pa.array([[{"label": label, "text": option} for label, option in pairs]]),
        "keyed": pa.array([[{"key": label, "value": option} for label, option in pairs]]),
        "parallel": pa.array([{"text": ["ice", "2"], "label": ["A", "B"]}]),
        "answer": [0],
        "answer_idx": ["A"],
    })
    write("choices", table, compression="zstd")


def conversations():
    """Messages as TRL and the Hub's chat data have them."""
    asked = {"role": "user", "content": "2 + 3?"}
    told = {"role": "assistant", "content": "2 + 3 = 5. The answer is 5."}
    system = {"role": "system", "content": "Be brief."}
    table = pa.table({
        "messages": [[system, asked, told]],
        "prompt": [[system, asked]],
        "completion": [[told]],
        "answer": ["5"],
    })
    write("messages", table.select(["messages", "answer"]))
    write("prompt_completion", table.select(["prompt", "completion", "answer"]))


def compressions():
    table = pa.table({"question": ["1 + 1?", "2 + 2?"] * 20, "target": [2, 4] * 20})
    for compression in ["none", "snappy", "gzip", "lz4", "zstd"]:
        write(f"packed_{compression}", table, compression=compression, data_page_version="2.0")


def main():
    OUT.mkdir(exist_ok=True)
    targets()
    choices()
    conversations()
    compressions()


if __name__ == "__main__":
    main()
