"""The notebook runs from top to bottom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples/sprout.ipynb"


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    if not os.environ.get("ENTRACE_PYTHON_NOTEBOOK"):
        pytest.skip("ENTRACE_PYTHON_NOTEBOOK is not set")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
