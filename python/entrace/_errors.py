"""What can go wrong: exceptions by where they come from.

Each has `kind` (`"set-up"`: ask for something else; `"failure"`: the same may work later; `"interrupted"`), `item` (the file, folder,
repository, address or argument that it is about, or None) and `hint` (what would help, or None).
"""

from __future__ import annotations


class Error(Exception):
    """A failure of entrace."""

    kind: str
    item: str | None
    hint: str | None

    def __init__(self, message: str, *, kind: str = "failure", item: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.kind, self.item, self.hint = kind, item, hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.hint}" if self.hint else message


class UsageError(Error, ValueError):
    """An argument has a value that cannot be used."""


class ModelError(Error):
    """A model cannot be opened, or fails."""


class DataError(Error):
    """Questions or traces cannot be read or measured."""


class RecordError(Error):
    """A run folder cannot be read or written."""


class HubError(Error):
    """Files cannot be fetched from the Hugging Face Hub."""


class ServerError(Error):
    """A server cannot be used."""


class Interrupted(KeyboardInterrupt):
    """Measuring was interrupted; the same call resumes it where it stopped."""

    kind = "interrupted"
    item: str | None
    hint: str | None

    def __init__(self, message: str = "", *, kind: str = "interrupted", item: str | None = None, hint: str | None = None):
        del message, kind
        super().__init__("interrupted; what was measured is kept, and the same call resumes it")
        self.item, self.hint = item, hint
