"""Printing to the terminal, with control characters in text from scripts and stores escaped."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from typing import TextIO

from longshore_protocol.text import printable

_MAX_CHARACTERS = 1 << 20  # printed at once


def show(text: str, *, stream: TextIO | None = None, warns: bool = False) -> None:
    """Print lines to `stream` (default: stdout), with control characters escaped. Raises BrokenPipeError.

    With `warns`, the first line is yellow on a terminal, unless NO_COLOR is set.
    """
    stream = stream or sys.stdout
    text = printable(text, _MAX_CHARACTERS, lines=True)
    if warns and stream.isatty() and not os.environ.get("NO_COLOR"):
        first, newline, rest = text.partition("\n")
        text = f"\x1b[33m{first}\x1b[0m{newline}{rest}"
    print(text, file=stream, flush=True)


def print_error(sentence: str) -> None:
    """Print a sentence to stderr after the name of the command, with control characters escaped."""
    show(f"longshore: {sentence}", stream=sys.stderr)


class ErrorLog(logging.Handler):
    """Logging handler that writes warnings and errors to a temporary file, which it creates with the first record."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.path = ""  # of the log file, "" before the first record
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not self.path:
                descriptor, self.path = tempfile.mkstemp(prefix="longshore-", suffix=".log")
                os.close(descriptor)
            with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(self.format(record) + "\n")
        except OSError:
            self.path = self.path or "(no file: the temporary folder cannot be written)"
