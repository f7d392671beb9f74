"""Repeats what a script prints on the host's own stdout and stderr: `kubectl logs` shows what a container prints."""

from __future__ import annotations

import os
from typing import List

_PART = 1024 * 1024  # bytes of a file that are repeated at a time


class Echo:
    """Follows log files that somebody else appends to; call `copy` from time to time, and once at the end."""

    def __init__(self) -> None:
        self._followed: List[_Followed] = []

    def follow(self, path: str, *, start: int, to: int) -> None:
        """Repeat what a file gets behind byte `start` on the open file number `to`."""
        self._followed.append(_Followed(path, start, to))

    def copy(self) -> None:
        """Repeat what came since; never raises: that nobody may read it is no fault of the script's."""
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
            self._next = min(self._next, size)  # it may have been cut down: what is left was repeated before
            file.seek(self._next)
            while True:
                part = file.read(_PART)
                if not part:
                    return
                self._next += len(part)
                while part:
                    part = part[os.write(self._to, part) :]
