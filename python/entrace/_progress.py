"""Progress of a command: a bar of tqdm in a notebook or terminal where tqdm is installed, lines of the logger `entrace` else."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from typing import Any

logger = logging.getLogger("entrace")

#: Seconds between two lines of progress.
BETWEEN_LINES = 30.0


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _bars() -> Any:
    """The bar of tqdm, or None where there is none to show."""
    if not (_in_notebook() or (sys.stderr is not None and sys.stderr.isatty())):
        return None
    try:
        with warnings.catch_warnings():
            # Without ipywidgets its bar is text, and it says so.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


class Reporter:
    """Shows notes and progress; with `quiet` nothing."""

    def __init__(self, quiet: bool = False):
        self._tqdm = None if quiet else _bars()
        self._quiet = quiet
        self._bar: Any = None
        self._name: str | None = None
        self._last_line = time.monotonic()

    def note(self, text: str) -> None:
        if not self._quiet:
            logger.info("%s", text)

    def progress(self, name: str, done: int, total: int, doing: str) -> None:
        if self._quiet:
            return
        if self._tqdm is not None:
            self._show(name, done, total, doing)
        elif time.monotonic() - self._last_line >= BETWEEN_LINES:
            self._last_line = time.monotonic()
            logger.info("%s: %d of %d%s", name, done, total, f", {doing}" if doing else "")

    def _show(self, name: str, done: int, total: int, doing: str) -> None:
        if name != self._name:
            self.close()
            is_bytes = doing == "bytes"
            self._bar = self._tqdm(total=total, desc=name, unit="B" if is_bytes else " traces", unit_scale=is_bytes, leave=False)
            self._name = name
        self._bar.n = done
        if doing != "bytes":
            self._bar.set_postfix_str(doing, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = self._name = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
