"""Limit the size of logs of processes that print without end."""

from __future__ import annotations

import os
import time
from typing import List

LIMIT = 16 * 1024 * 1024  # bytes of a log before its older part is dropped
KEPT = 4 * 1024 * 1024  # bytes at its end that are kept


class CappedLogs:
    """Truncates log files longer than LIMIT to their last KEPT bytes.

    The writers have the files open for appending, so they continue after the rest. Lines that are printed during the
    truncation may be lost or out of order.
    """

    def __init__(self) -> None:
        self._paths: List[str] = []
        self._next = 0.0

    def watch(self, path: str) -> None:
        """Limit this file from now on."""
        if path not in self._paths:
            self._paths.append(path)

    def cap(self) -> None:
        """Truncate files that are too long; check at most once a second."""
        if time.monotonic() >= self._next:
            self.cap_now()

    def cap_now(self) -> None:
        """Truncate files that are too long, whenever the last check was; for after the last write."""
        self._next = time.monotonic() + 1.0
        for path in self._paths:
            try:
                if os.path.getsize(path) > LIMIT:
                    _cut(path)
            except OSError:
                continue  # removed meanwhile, or the disk is full: try again at the next check


def _cut(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(-KEPT, os.SEEK_END)
        tail = file.read(KEPT)
        file.truncate(0)
    with open(path, "ab") as file:  # after what a writer may have appended meanwhile
        file.write(tail)
