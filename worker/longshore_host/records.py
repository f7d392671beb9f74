"""Send records about a process (failures, warnings, what it prints) to its host, which writes the container's log.

A record is one line of JSON in a pipe of all processes of a host, short enough to be written at once. Nothing here
waits: a record that does not fit, and one above the rate, is left out and counted. Any thread may send records.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
import warnings
from contextvars import ContextVar
from typing import Any, Callable, List, Optional, Tuple

from longshore_protocol.text import printable

TEXT = 1000  # characters of a record: with the rest of the line less than the 4,096 bytes that a pipe takes at once
NONE, FAILURES, ALL = "none", "failures", "all"  # values of containerLog
STDOUT, STDERR = "STDOUT", "STDERR"  # levels of what the script prints
_BURST, _RATE = 200, 20.0  # records of a process at once, and per second afterwards
_OF_TASK: ContextVar[Optional[int]] = ContextVar("longshore_mini_batch", default=None)


class Records:
    """The records of one process. `descriptor` is the pipe's writing end, None to send nothing."""

    def __init__(self, descriptor: Optional[int], process: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor, self._process, self._clock = descriptor, process, clock
        self._left, self._filled = float(_BURST), clock()
        self._omitted = 0
        self.mini_batch: Optional[int] = None  # that the process runs, of a script that runs one after the other

    @staticmethod
    def of_task(mini_batch: int) -> None:
        """Name the mini-batch that the current task runs, of a script that runs several at once."""
        _OF_TASK.set(mini_batch)

    def add(self, level: str, text: str, mini_batch: Optional[int] = None) -> None:
        """Send a record; its mini-batch is the running one if not given. Never raises an OSError."""
        if self._descriptor is None or not self._may_send():
            return
        if mini_batch is None:
            running = _OF_TASK.get()
            mini_batch = self.mini_batch if running is None else running
        self._send(level, text, mini_batch)

    def end(self) -> None:
        """Send how many records were left out since the last one."""
        if self._descriptor is not None and self._omitted:
            self._send("WARNING", "the process ends", None)

    def _may_send(self) -> bool:
        now = self._clock()
        self._left = min(float(_BURST), self._left + (now - self._filled) * _RATE)
        self._filled = now
        if self._left < 1.0:
            self._omitted += 1
            return False
        self._left -= 1.0
        return True

    def _send(self, level: str, text: str, mini_batch: Optional[int]) -> None:
        assert self._descriptor is not None, "the callers have looked"
        record = [self._process, level, mini_batch, self._omitted, printable(text, TEXT)]
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            os.write(self._descriptor, line.encode("utf-8", "replace"))
        except OSError:  # the pipe is full, or the host is dead
            self._omitted += 1
        else:
            self._omitted = 0


def open_records(argument: str, process: int) -> Records:
    """Return the records of this process; `argument` is the descriptor that the host passed, "" for none.

    Programs that the script starts do not inherit it.
    """
    if not argument:
        return Records(None, process)
    os.set_inheritable(int(argument), False)
    return Records(int(argument), process)


def copy_output(records: Records) -> None:
    """Send all that Python code prints from now on as records, too."""
    sys.stdout = sys.__stdout__ = _Copied(sys.stdout, STDOUT, records)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _Copied(sys.stderr, STDERR, records)  # type: ignore[misc]


def watch_warnings(records: Records) -> None:
    """Send warnings of Python, and what loggers record as a warning or worse."""
    logging.getLogger().addHandler(_Handler(records))
    show: Any = warnings.showwarning

    def showwarning(  # noqa: PLR0917  (as the standard library calls it)
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Optional[str] = None
    ) -> None:
        show(message, category, filename, lineno, file, line)
        if file is None:
            where = "{}:{}".format(os.path.basename(filename), lineno)
            records.add("WARNING", "{}: {} ({})".format(category.__name__, message, where))

    warnings.showwarning = showwarning


class _Handler(logging.Handler):
    """Sends records of WARNING and above."""

    def __init__(self, records: Records) -> None:
        super().__init__(logging.WARNING)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += " ({}: {})".format(type(record.exc_info[1]).__name__, record.exc_info[1])
        except Exception:  # noqa: BLE001  (the handler of the log file reports a wrong format)
            return
        self._records.add(record.levelname, "{}: {}".format(record.name, text))


class _Copied(io.TextIOWrapper):
    """A standard stream whose lines are records as well."""

    def __init__(self, stream: Any, level: str, records: Records) -> None:
        encoding, errors = stream.encoding, stream.errors
        super().__init__(stream.detach(), encoding=encoding, errors=errors, line_buffering=True)
        self._level, self._records = level, records
        self._begun: List[str] = []  # parts of a line without its end
        self._characters = 0  # of them

    def write(self, text: str) -> int:
        written = super().write(text)
        begun, end, rest = text.rpartition("\n")
        if end:
            for line in ("".join(self._begun) + begun).split("\n"):
                if line.strip():
                    self._records.add(self._level, line)
            self._begun, self._characters = [], 0
        if rest and self._characters <= TEXT:
            self._begun.append(rest[: TEXT + 1])
            self._characters += len(rest)
        return written


def position(trace: str) -> str:
    """Return the position of the last frame of a traceback as the end of a sentence, "" without one."""
    frames = [line.strip() for line in trace.split("\n") if line.startswith('  File "')]
    found = _parsed(frames[-1]) if frames else None
    return "" if found is None else " in {}, line {}, in {}".format(*found)


def _parsed(frame: str) -> Optional[Tuple[str, str, str]]:
    file, _, rest = frame[len('File "') :].partition('", line ')
    number, _, function = rest.partition(", in ")
    return (os.path.basename(file), number, function) if function else None
