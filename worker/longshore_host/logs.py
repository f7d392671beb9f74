"""Bounds the logs of processes that print without end."""

from __future__ import annotations

import os
import time
from typing import List

LIMIT = 16 * 1024 * 1024  # bytes a stream may grow to before its older part is dropped
KEPT = 4 * 1024 * 1024  # bytes of its end that stay


class CappedLogs:
    """Cuts log files that grew past LIMIT down to their last KEPT bytes.

    The writers hold the files open for appending, so they go on behind what is left. What is printed in the very
    moment of the cut may be lost or change places: a bounded disk is worth that.
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
        file.truncate(0)
    with open(path, "ab") as file:  # behind what a writer may have added meanwhile
        file.write(tail)
