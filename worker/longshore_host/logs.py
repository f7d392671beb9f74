"""Bounds the logs of processes that print without end."""

from __future__ import annotations

import os
import time
from typing import List

LIMIT = 16 * 1024 * 1024  # bytes a stream may grow to before its older part is put aside
KEPT = 4 * 1024 * 1024  # bytes of the older part that are kept, in a file ending in .1


class CappedLogs:
    """Cuts log files that grew past LIMIT, keeping the last KEPT bytes beside them.

    The writers hold the files open for appending, so a file cut to nothing goes on from its start. What is printed
    in the very moment of the cut may be lost: a bounded disk is worth that.
    """

    def __init__(self) -> None:
        self._paths: List[str] = []
        self._next = 0.0

    def watch(self, path: str) -> None:
        """Bound this file from now on."""
        if path not in self._paths:
            self._paths.append(path)

    def cap(self) -> None:
        """Cut what has grown too long; looks at most once a second."""
        if time.monotonic() >= self._next:
            self.cap_now()

    def cap_now(self) -> None:
        """Cut what has grown too long, whenever the last look was: for when nobody writes any more."""
        self._next = time.monotonic() + 1.0
        for path in self._paths:
            try:
                if os.path.getsize(path) > LIMIT:
                    _cut(path)
            except OSError:
                continue  # removed meanwhile, or the disk is full: the next look may do better


def _cut(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(-KEPT, os.SEEK_END)
        tail = file.read(KEPT)
        with open(path + ".1", "wb") as older:
            older.write(tail)
        file.truncate(0)
