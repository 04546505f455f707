"""The commands as functions: keyword arguments are the program's flags."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from entrace import _compare, _entrace
from entrace._compare import Comparison
from entrace._model import Model, named_model
from entrace._progress import Reporter
from entrace._run import Run


def _takes_flags_of(command: str) -> Callable[[Any], Any]:
    """Adds the flags of a command to the docstring of its function."""

    def add(function: Any) -> Any:
        lines = [function.__doc__.rstrip(), "", "    Keyword arguments, as `entrace " + command + " --help` has them:", ""]
        for flag in _entrace.flags(command):
            if flag["name"] in ("model", "traces", "tasks", "config"):
                continue
            default = f" (default: {flag['default']!r})" if flag["default"] else ""
            what = {"switch": "bool", "list": "list", "value": "value"}[flag["kind"]]
            lines.append(f"    - `{flag['name']}` ({what}): {flag['help']}{default}")
        function.__doc__ = "\n".join(lines) + "\n    "
        return function

    return add


@_takes_flags_of("run")
def run(model: Any = None, tasks: Any = None, **flags: Any) -> Run:
    """Lets a model reason on questions, and measures what it knows at each step.

    Args:
        model: a folder, a .gguf file, `org/name` on the Hub, an address, `sprout`, a list of addresses of replicas, an `entrace.Model`, or a backend
            (`entrace.Backend`). Without one, sprout.
        tasks: names of built-in tasks (`gsm8k`, `svamp`, …) and files of your own, one or a list. Rows may be given as a list of dictionaries or a
            data frame: `question`, and on request `target`, `choices`, `id`.
        **flags: the flags of `entrace run` under their names.

    Returns:
        The finished run. Its folder is `output_path`, by default `entrace-runs/MODEL_TASKS`; a run that is in the folder unfinished is resumed.

    Raises:
        entrace.Error: with `kind`, `item` and `hint`; the subclass says where it comes from.
        entrace.Interrupted: by Ctrl-C; the same call resumes the run.
        TypeError: for a keyword that is no flag.
    """
    names = [_file_of(task, "questions") for task in _several(tasks)]
    return _measured("run", model, {"tasks": names, **flags})


@_takes_flags_of("score")
def score(model: Any, traces: Any, **flags: Any) -> Run:
    """Measures traces that exist already.

    Args:
        model: as for `run`.
        traces: a file of traces (JSON Lines, JSON, CSV, Parquet, or what lm-eval, inspect, lighteval, TRL, verl, OpenAI and vLLM log), or rows as
            a list of dictionaries or a data frame: `question`, `trace` (or `steps`), and on request `target`, `choices`, `id`, `sample`.
        **flags: the flags of `entrace score` under their names.

    Returns:
        The finished run.

    Raises:
        entrace.Error: as for `run`.
    """
    return _measured("score", model, {"traces": _file_of(traces, "traces"), **flags})


def compare(runs: Sequence[Any], **flags: Any) -> Comparison:
    """Compares runs on the same questions: what changed from one to the next.

    Args:
        runs: run folders or `entrace.Run`s, in order, at least two. `sprout@init`, `sprout@mle`, `sprout@sft` and `sprout@rl` are measured
            first if they were not.
        **flags: `output_path`, a folder for compare.html, compare.json and the figure.

    Returns:
        What was compared, with intervals and p-values.
    """
    folders = [os.fspath(run.path if isinstance(run, Run) else run) for run in runs]
    argv = _entrace.command_line("compare", folders, flags)
    with Reporter() as reporter:
        return _compare.parse(json.loads(_entrace.compare(argv, reporter)))


def load(model: Any, **flags: Any) -> Model:
    """Opens a model, to be asked directly.

    Args:
        model: as for `run`.
        **flags: the flags of `entrace run` that say how a model is opened: `dtype`, `device`, `base`, `base_url`, `tokenizer`, `header`,
            `wait_for_server`.
    """
    return Model(model, **flags)


def _measured(command: str, model: Any, flags: dict[str, Any]) -> Run:
    names, engine = named_model(model)
    argv = _entrace.command_line(command, [], {"model": names, **flags})
    with Reporter(quiet=bool(flags.get("quiet"))) as reporter:
        return Run(_entrace.carry_out(argv, engine, reporter))


def _several(tasks: Any) -> list[Any]:
    if tasks is None:
        return []
    if isinstance(tasks, (str, os.PathLike)) or _is_rows(tasks):
        return [tasks]
    return list(tasks)


def _is_rows(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) > 0 and isinstance(value[0], dict)
    return is_list or hasattr(value, "to_dict") or hasattr(value, "to_dicts")


def _rows(value: Any) -> Iterable[dict[str, Any]]:
    if hasattr(value, "to_dicts"):
        return value.to_dicts()
    if hasattr(value, "to_dict"):
        return value.to_dict("records")
    return value


def _file_of(value: Any, name: str) -> str:
    """The path of a file, or of one that rows are written into. Equal rows have an equal path, so that a run of them can be resumed."""
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if not _is_rows(value):
        raise TypeError(f"{name}: expected a path, a list of dictionaries or a data frame, found {type(value).__name__}")
    text = "".join(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in _rows(value))
    folder = Path(tempfile.gettempdir()) / f"entrace-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jsonl"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _plain(value: Any) -> Any:
    """A value of NumPy as one of Python."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
