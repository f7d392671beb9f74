"""Write the records of a host's processes to its stdout, which is the container's log.

    2026-03-01T12:00:00.123Z ERROR process003 mini-batch=17 UserError: ValueError: no digit in score.py, line 9, in run

Each is one line without control characters and without secrets of URLs. Writing never waits: what a full pipe does not
take is left out and counted.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from datetime import datetime, timezone
from typing import Callable, List, Optional, Tuple

from longshore_host.records import NONE, STDERR, STDOUT, TEXT
from longshore_protocol.redaction import redacted
from longshore_protocol.text import printable
from longshore_protocol.wire import process_name

_READ = 65536  # bytes read at a time, and the most that a line without an end may have
_LEVEL = 16  # characters
_LOGS = {STDOUT: "logs/user/stdout", STDERR: "logs/user/stderr"}


class ContainerLog:
    """The log of one host. It has no pipe, and ignores all records, if `what` is NONE."""

    def __init__(self, what: str, *, to: Optional[int] = None, clock: Callable[[], float] = time.time) -> None:
        self._to = sys.stdout.fileno() if to is None else to
        self._clock = clock
        self._received = b""
        self._lost = 0  # lines that stdout did not take since the last one that it took
        self._ends: Optional[Tuple[int, int]] = None
        if what != NONE:
            self._ends = os.pipe()
            for end in self._ends:
                os.set_blocking(end, False)

    def to_select(self) -> List[int]:
        """Return the descriptors that are readable while records have arrived: one, or none."""
        return [] if self._ends is None else [self._ends[0]]

    def to_pass(self) -> Tuple[int, ...]:
        """Return the descriptors that processes inherit, into which they write their records: one, or none."""
        return () if self._ends is None else (self._ends[1],)

    def take(self) -> None:
        """Write the records that have arrived."""
        if self._ends is None:
            return
        try:
            data = os.read(self._ends[0], _READ)
        except BlockingIOError:
            return
        *lines, self._received = (self._received + data).split(b"\n")
        if len(self._received) > _READ:
            self._received = b""
        for line in lines:
            self._write_record(line)

    def ended(self, process: int, message: str) -> None:
        """Write that a process ended badly, after the records that it sent."""
        if self._ends is not None:
            self.take()
            self._write("ERROR", process, None, message)

    def close(self) -> None:
        """Write the last records, and close the pipe."""
        if self._ends is not None:
            self.take()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def _write_record(self, line: bytes) -> None:
        """Write one record, unless it is malformed: a script can write into the pipe as well."""
        try:
            process, level, mini_batch, omitted, text = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, TypeError):
            return
        known = isinstance(process, int) and isinstance(omitted, int) and isinstance(text, str)
        if not known or not isinstance(level, str) or not isinstance(mini_batch, (int, type(None))):
            return
        if omitted:
            folder = _LOGS.get(level, "logs/user")
            note = "{} records were left out, because too many came at once; all are in {}"
            self._write("WARNING", process, None, note.format(omitted, folder))
        self._write(level, process, mini_batch, text)

    def _write(self, level: str, process: int, mini_batch: Optional[int], text: str) -> None:
        if self._lost:
            note = "{} lines were left out, because this log was not read".format(self._lost)
            if not self._put(self._line("WARNING", note)):
                self._lost += 1
                return
            self._lost = 0
        source = process_name(process) + ("" if mini_batch is None else " mini-batch={}".format(mini_batch))
        if not self._put(self._line(level, "{} {}".format(source, text))):
            self._lost += 1

    def _line(self, level: str, text: str) -> bytes:
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        moment = now.strftime("%Y-%m-%dT%H:%M:%S.") + "{:03d}Z".format(now.microsecond // 1000)
        shown = printable(redacted(text), TEXT)
        return "{} {} {}\n".format(moment, printable(level, _LEVEL), shown).encode("utf-8", "replace")

    def _put(self, line: bytes) -> bool:
        """Write a line if that does not wait. A pipe that is writable takes 4,096 bytes at once."""
        try:
            _, writable, _ = select.select([], [self._to], [], 0)
            return bool(writable) and os.write(self._to, line) > 0
        except OSError:  # closed
            return False
