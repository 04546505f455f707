"""The program `entrace`, as a Python installation has it."""

from __future__ import annotations

import signal
import sys

from entrace import _entrace


def main() -> None:
    # The program listens for Ctrl-C itself, and a reader that closes the pipe is no failure to it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_entrace.program(sys.argv))


if __name__ == "__main__":
    main()
