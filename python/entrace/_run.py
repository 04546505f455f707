"""A run folder: its tables, numbers, verdicts and figures."""

from __future__ import annotations

import html
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from entrace import _entrace, metrics
from entrace._errors import UsageError
from entrace._plot import Plots
from entrace._table import Table


def open(path: str | os.PathLike[str]) -> Run:
    """Opens a run folder, finished or not: what `entrace run`, `entrace score` or this package wrote.

    Raises:
        entrace.RecordError: where it holds no run, or one that is damaged.
    """
    return Run(path)


class Run:
    """A run folder.

    Tables are read when they are asked for, and handed to pandas, polars, duckdb or pyarrow as Arrow streams; docs/file-format.md in the
    repository says what their columns mean.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._folder = _entrace.RunFolder(Path(path))

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self._folder.path)

    @property
    def is_complete(self) -> bool:
        """Whether the run was finished; else its tables hold what was measured so far."""
        return self._folder.is_complete

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Model, tokenizer and data hashes, and every setting that results depend on."""
        return json.loads(self._folder.manifest)

    @cached_property
    def metrics(self) -> metrics.Metrics:
        """All numbers with their intervals, made from the tables: the fields of `metrics.json`, None where one is undefined."""
        return metrics.parse(json.loads(self._folder.metrics))

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return [task.task for task in self.metrics.tasks]

    def task(self, name: str | None = None) -> metrics.TaskMetrics:
        """The numbers of a task; of the only one without a name."""
        tasks = self.metrics.tasks
        found = [task for task in tasks if name is None or task.task == name]
        if len(found) != 1:
            known = ", ".join(task.task for task in tasks)
            problem = "the run has several tasks" if name is None else f"the run has no task {name!r}"
            raise UsageError(f"{problem}; it has {known}", kind="set-up", item=name)
        return found[0]

    def verdict(self, task: str | None = None) -> metrics.VerdictMetrics:
        """Whether the traces of a task inform about the answer: `finding` is `supported`, `not_supported` or `inconclusive`, `reasons` say why."""
        return self.task(task).verdict

    def sentence(self, task: str | None = None) -> str:
        """The verdict of a task in a sentence, with the numbers that it rests on."""
        return dict(self._folder.sentences())[self.task(task).task]

    @property
    def traces(self) -> Table:
        """One row per trace: question, prompt, completion, answer, whether it is correct, how it ended."""
        return self._table("traces")

    @property
    def prefixes(self) -> Table:
        """One row per step, control and estimator: answer entropy with its interval, log-probability of the target, leading answer."""
        return self._table("prefixes")

    @property
    def answers(self) -> Table:
        """One row per answer, step and estimator: its probability."""
        return self._table("answers")

    @property
    def tokens(self) -> Table:
        """One row per token of a trace: its log-probability, entropy, and how sharp its distribution was."""
        return self._table("tokens")

    @property
    def signals(self) -> Table:
        """One row per trace and signal that `signals` asked for."""
        return self._table("signals")

    @property
    def decisions(self) -> Table | None:
        """One row per step at which a rule decided whether to stop a trace; None without a rule."""
        return self._optional_table("decisions")

    @property
    def interventions(self) -> Table | None:
        """One row per change in a trace and what it did; None where `entrace intervene` was not run."""
        return self._optional_table("interventions")

    @property
    def plot(self) -> Plots:
        """Figures of the run, drawn with matplotlib: `run.plot.entropy()`, `run.plot.information()`, …"""
        return Plots(self)

    @property
    def report(self) -> Path:
        """The page of the report."""
        return self.path / "report.html"

    def figures(self, task: str | None = None) -> dict[str, str]:
        """The figures of the report for a task as SVG, by name."""
        return dict(self._folder.figures(self.task(task).task))

    def __repr__(self) -> str:
        state = "" if self.is_complete else ", unfinished"
        return f"<entrace.Run {self.path}: {self.manifest['settings']['model']['name']} on {', '.join(self.tasks)}{state}>"

    def _repr_html_(self) -> str:
        """Verdict and curves, for a notebook. Texts of the run are escaped."""
        parts = []
        for task, sentence in self._folder.sentences():
            curves = dict(self._folder.figures(task))
            shown = [curves[name] for name in ("entropy", "usable_information") if name in curves]
            figures = "".join(f'<div style="flex:1 1 22em;max-width:36em">{svg}</div>' for svg in shown)
            parts.append(
                f"<h4>{html.escape(task)}</h4><p>{html.escape(sentence)}</p>"
                f'<div style="display:flex;flex-wrap:wrap;gap:1em;background:#fff;color:#000">{figures}</div>'
            )
        return f"<div>{''.join(parts)}<p><code>{html.escape(str(self.path))}</code></p></div>"

    def _table(self, name: str) -> Table:
        found = self._optional_table(name)
        if found is None:
            raise FileNotFoundError(f"{self.path} has no table {name} yet")
        return found

    def _optional_table(self, name: str) -> Table | None:
        found = self._folder.table(name)
        return None if found is None else Table(found)
