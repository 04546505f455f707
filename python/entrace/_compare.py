"""Runs side by side: the fields of `compare.json`, with types."""

# Written by python/generate.py from crates/report.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from entrace._typed import build
from entrace.metrics import MetricOptions, Quantity


@dataclass(frozen=True)
class StageRecord:
    """Identity of a run."""

    name: str
    """Its name in this comparison."""
    model: str
    """The model."""
    revision: str | None
    """Its revision."""
    model_hash: str | None
    """Hash of configuration and weights."""
    started_at: str
    """When the run began."""
    finished_at: str | None
    """When it was completed; null while it is not."""


@dataclass(frozen=True)
class Change:
    """A change between two stages."""

    from_: int
    """Position of the earlier stage."""
    to: int
    """Position of the later one."""
    difference: Quantity
    """Later − earlier."""
    p_value: float | None
    """Two-sided p-value of no change."""
    holm_p: float | None
    """The same after Holm's adjustment over the task."""
    untested: str | None
    """Why a change that has a value has no p-value."""


@dataclass(frozen=True)
class QuantityComparison:
    """One quantity at all stages."""

    quantity: str
    """Its name, as in files."""
    label: str
    """Its name for people, with the unit in which they are shown it; accuracies in files are shares."""
    stages: list[Quantity]
    """Its value at each stage."""
    changes: list[Change]
    """Changes: consecutive stages in order, then first to last where there are more than two stages."""


@dataclass(frozen=True)
class TaskComparison:
    """One task at all stages."""

    task: str
    """Its name."""
    estimator: str
    """The estimator."""
    n_questions: int
    """Questions, the same at all stages."""
    replicates: int
    """Bootstrap replicates of each change."""
    quantities: list[QuantityComparison]
    """What was compared."""
    summary: str
    """What changed from the first stage to the last and how sure that is."""


@dataclass(frozen=True)
class Comparison:
    """What was compared and what changed."""

    comparison_version: str
    """Version of these fields."""
    unit: str
    """Unit of entropies and gains: `nats`."""
    options: MetricOptions
    """How intervals were made; replicates are stated per task."""
    stages: list[StageRecord]
    """The runs, in order."""
    tasks: list[TaskComparison]
    """The tasks that all runs have."""
    tasks_left_out: list[str]
    """Tasks that some run lacks."""
    notes: list[str]
    """Settings that differ and were let pass, as sentences."""


def parse(found: dict[str, Any]) -> Comparison:
    """What a `compare.json` says that was read as JSON. Fields that a later version added are left out."""
    return build(Comparison, found)
