"""Copy the output of a script to the host's own stdout and stderr, which `kubectl logs` shows.

Copying never waits: what a full pipe does not take is copied later, or not at all if the script ends first.
"""

from __future__ import annotations

import os
import select
from typing import List

_PART = 4096  # bytes copied at a time: a pipe that is writable takes them without waiting


class Echo:
    """Follows log files that the script appends to; call `copy` periodically, and once at the end."""

    def __init__(self) -> None:
        self._followed: List[_Followed] = []

    def follow(self, path: str, *, start: int, to: int) -> None:
        """Copy what is appended to a file after byte `start` to the descriptor `to`."""
        self._followed.append(_Followed(path, start, to))

    def copy(self) -> None:
        """Copy what was appended since the last call. Never raises: a closed stdout must not fail the script."""
        for each in self._followed:
            try:
                each.copy()
            except OSError:
                continue


class _Followed:
    def __init__(self, path: str, start: int, to: int) -> None:
        self._path, self._next, self._to = path, start, to

    def copy(self) -> None:
        with open(self._path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            self._next = min(self._next, size)  # it may have been truncated: what is left was copied before
            file.seek(self._next)
            while select.select([], [self._to], [], 0)[1]:
                part = file.read(_PART)
                if not part:
                    return
                self._next += os.write(self._to, part)
                file.seek(self._next)
