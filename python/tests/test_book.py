"""The book's page on Python does what it says: its blocks are run one after another, in a folder of their own."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/book/src/python.md"


def test_the_blocks_of_the_page_run(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    blocks = [(text.count("\n", 0, found.start()) + 2, found[1]) for found in re.finditer(r"^```python\n(.*?)^```$", text, re.S | re.M)]
    assert len(blocks) > 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "book"}
    for line, block in blocks:
        # Line numbers in a traceback are those of the page.
        exec(compile("\n" * (line - 1) + block, str(PAGE), "exec"), names)
