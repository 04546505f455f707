"""What tests share: a run of sprout, measured once."""

from __future__ import annotations

import pytest

import entrace


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Twenty-four problems of arith, by sprout."""
    folder = tmp_path_factory.mktemp("runs") / "sprout"
    return entrace.run("sprout", tasks="arith", limit=24, output_path=folder, rollouts="0")


@pytest.fixture(scope="session")
def sprout():
    return entrace.load("sprout")
