"""A run folder: tables for others, numbers with types, figures."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

import entrace
from entrace import metrics


def test_columns_are_arrays(run):
    prefixes = run.prefixes
    assert prefixes.schema["answer_entropy"] == "float64" and prefixes.schema["step"] == "uint32"
    entropy = prefixes["answer_entropy"]
    assert entropy.shape == (len(prefixes),) and entropy.dtype == np.float64
    assert (entropy >= 0).all()
    assert run.traces["correct"].dtype in (np.dtype(bool), np.dtype(object))
    assert prefixes["step"].dtype == np.uint32
    assert set(prefixes["control"]) == {"none", "swapped"}
    # What is undefined is NaN in numbers, None in text.
    first = (prefixes["step"] == 0) & (prefixes["control"] == "none")
    assert np.isnan(prefixes["entropy_drop"][first]).all()
    with pytest.raises(KeyError):
        prefixes["nothing"]
    assert len(run.signals) == 0 and run.interventions is None and run.decisions is None
    assert "rows of task: utf8" in repr(run.tokens)


def test_pandas_takes_tables(run):
    pandas = pytest.importorskip("pandas")
    frame = run.prefixes.to_pandas()
    assert list(frame.columns) == run.prefixes.columns
    assert len(frame) == len(run.prefixes)
    assert pandas.api.types.is_float_dtype(frame["answer_entropy"])


def test_pyarrow_takes_tables(run):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(run.answers)
    assert table.num_rows == len(run.answers)
    assert table.schema.field("prob").type == pyarrow.float64()
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("traces", "prefixes", "answers", "tokens"):
        assert pyarrow.table(getattr(run, name)).equals(parquet.read_table(run.path / f"{name}.parquet").replace_schema_metadata()), name


def test_polars_takes_tables(run):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(run.tokens)
    assert frame.height == len(run.tokens)
    assert frame["logprob"].to_numpy() == pytest.approx(run.tokens["logprob"], nan_ok=True)


def test_duckdb_takes_tables(run):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    prefixes = run.prefixes
    found = duckdb.sql("select count(*), min(answer_entropy) from prefixes").fetchall()[0]
    assert found == (len(prefixes), pytest.approx(prefixes["answer_entropy"].min()))


def test_numbers_have_types_and_are_those_of_the_file(run):
    task = run.task("arith")
    assert isinstance(task, metrics.TaskMetrics)
    assert isinstance(task.accuracy, metrics.Quantity) and isinstance(task.entropy.all, metrics.Curve)
    assert task.accuracy.n_questions == 24
    assert task.rollouts is None
    written = json.loads((run.path / "metrics.json").read_text())
    assert as_json(run.metrics) == without_nulls(written)


def as_json(value):
    """Dataclasses as JSON has them, without what is None."""
    return without_nulls(json.loads(json.dumps(dataclasses.asdict(value))))


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def test_a_task_that_is_not_there_is_named(run):
    with pytest.raises(entrace.UsageError, match="no task 'svamp'; it has arith"):
        run.verdict("svamp")


def test_a_notebook_shows_the_verdict_and_escapes_texts(run, tmp_path):
    shown = run._repr_html_()
    assert "informativeness" in shown and shown.count("<svg") == 2
    assert "<script" not in shown
    rows = [
        {"id": str(i), "question": f"<script>alert({i})</script> {i} + 1?", "target": str(i + 1), "trace": f"It is {i + 1}."}
        for i in range(12)
    ]
    scored = entrace.score(
        "sprout", rows, task="<img src=x onerror=alert(1)>", output_path=tmp_path / "<b>run", rollouts="0"
    )
    shown = scored._repr_html_()
    assert "<img" not in shown and "<script" not in shown and "<b>run" not in shown
    assert "&lt;img src=x" in shown


def test_figures_need_matplotlib_and_say_so(run):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    figure = run.plot.entropy()
    (axes,) = figure.axes
    assert axes.get_ylabel() == "nats"
    assert any("all (n = 24)" in label for label in axes.get_legend_handles_labels()[1])
    for name in ("information", "gain", "separability"):
        assert getattr(run.plot, name)("arith") is not None


def test_without_matplotlib_it_is_named(run, monkeypatch):
    import builtins

    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        run.plot.entropy()


def test_a_damaged_table_is_an_error_and_no_crash(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    opened = entrace.open(copy)
    (copy / "prefixes.parquet").write_bytes((copy / "prefixes.parquet").read_bytes()[:-40])
    with pytest.raises(ValueError, match="prefixes.parquet"):
        opened.prefixes["step"]
    with pytest.raises(entrace.RecordError):
        entrace.open(copy)


def test_depths_are_finite(run):
    assert all(math.isfinite(depth) for depth in run.metrics.depths)
