"""Figures of a run, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entrace import metrics

if TYPE_CHECKING:
    from entrace._model import Curve
    from entrace._run import Run

#: Blue, green, red, grey: apart for most eyes, and in print.
COLOURS = {"all": "#0b63a5", "correct": "#1b7f5c", "wrong": "#b5452c", "control": "#6f6f6f"}


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install matplotlib, or pip install 'entrace[plot]'") from error
    return pyplot


def _numbers(values: list[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(figsize=(6, 3.6), layout="constrained")[1] if ax is None else ax


def _line(ax: Any, depths: list[float | None], curve: metrics.Curve, label: str, colour: str) -> None:
    if not any(value is not None for value in curve.value):
        return
    ax.plot(depths, _numbers(curve.value), color=colour, label=f"{label} (n = {curve.n_questions})")
    ax.fill_between(depths, _numbers(curve.low), _numbers(curve.high), color=colour, alpha=0.15, linewidth=0)


def _finished(ax: Any, title: str, unit: str) -> Any:
    ax.set(title=title, xlabel="relative depth of the trace", ylabel=unit, xlim=(0, 1))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax.figure


class Plots:
    """Figures of a run. Each takes the name of a task, which a run of one task does not need, and axes to draw into; each returns the figure."""

    def __init__(self, run: Run):
        self._run = run

    def entropy(self, task: str | None = None, ax: Any = None) -> Any:
        """Entropy of the answer along the trace in nats, over all, correct and wrong traces, with pointwise intervals."""
        numbers = self._run.task(task)
        return self._groups(numbers, numbers.entropy, "answer entropy H(s)", "swapped", "entropy", ax)

    def information(self, task: str | None = None, ax: Any = None) -> Any:
        """Usable information about the true answer along the trace in nats, with that of the swapped control."""
        numbers = self._run.task(task)
        return self._groups(numbers, numbers.usable_information, "usable information I(s)", "swapped", "usable_information", ax)

    def gain(self, task: str | None = None, ax: Any = None) -> Any:
        """Raw gain of the target's log-probability along the trace in nats, with that of the swapped control."""
        numbers = self._run.task(task)
        return self._groups(numbers, numbers.information_gain, "information gain G(s)", "swapped", "information_gain", ax)

    def separability(self, task: str | None = None, ax: Any = None) -> Any:
        """How well low entropy tells correct from wrong traces along the trace: area under the ROC curve, 0.5 by chance."""
        numbers, ax = self._run.task(task), _axes(ax)
        _line(ax, self._run.metrics.depths, numbers.separability, "AUROC of −H(s)", COLOURS["all"])
        ax.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
        return _finished(ax, f"{numbers.task}: separability", "AUROC")

    def _groups(self, numbers: metrics.TaskMetrics, groups: Any, title: str, control: str, field: str, ax: Any) -> Any:
        ax = _axes(ax)
        depths = self._run.metrics.depths
        for name in ("all", "correct", "wrong"):
            _line(ax, depths, getattr(groups, name), name, COLOURS[name])
        for found in numbers.controls:
            if found.control == control:
                _line(ax, depths, getattr(found, field), f"{control} control", COLOURS["control"])
        return _finished(ax, f"{numbers.task}: {title}", "nats")


def curve(belief: Curve, ax: Any = None) -> Any:
    """Entropy of one trace against depth, with its interval."""
    ax = _axes(ax)
    ax.plot(belief.depth, belief.entropy, color=COLOURS["all"], marker="o", markersize=3)
    ax.fill_between(belief.depth, belief.entropy_lower, belief.entropy_upper, color=COLOURS["all"], alpha=0.15, linewidth=0)
    ax.set(xlabel="relative depth of the trace", ylabel="answer entropy, nats", xlim=(0, 1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax
