"""What the command prints: foreign text in it is neither markup nor control of the terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from typing import TextIO

from longshore_protocol.text import printable

_LONGEST = 1 << 20  # characters that are printed at once


def show(text: str, *, stream: TextIO | None = None, warns: bool = False) -> None:
    """Print lines, made printable, to a stream (None: stdout). Raises BrokenPipeError.

    With `warns` the first line is yellow, on a terminal that may have colors.
    """
    stream = stream or sys.stdout
    text = printable(text, _LONGEST, lines=True)
    if warns and stream.isatty() and not os.environ.get("NO_COLOR"):
        first, newline, rest = text.partition("\n")
        text = f"\x1b[33m{first}\x1b[0m{newline}{rest}"
    print(text, file=stream, flush=True)


def complain(sentence: str) -> None:
    """Print a sentence about what is wrong, made printable, to stderr."""
    show(f"longshore: {sentence}", stream=sys.stderr)


class ErrorLog(logging.Handler):
    """Writes what Python's loggers report, tracebacks included, to a file and not to the terminal.

    The file is created with the first record.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.path = ""  # of the file, "" while there is none
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not self.path:
                descriptor, self.path = tempfile.mkstemp(prefix="longshore-", suffix=".log")
                os.close(descriptor)
            with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(self.format(record) + "\n")
        except OSError:
            self.path = self.path or "(no log: the folder for temporary files cannot be written)"
