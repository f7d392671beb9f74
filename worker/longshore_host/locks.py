"""Locks that are released when a process ends, even if it is killed."""

from __future__ import annotations

import fcntl
import os
from typing import BinaryIO


def hold(path: str) -> BinaryIO:
    """Create a locked file; the lock lasts until the file is closed, at the latest when this process ends.

    The file appears at `path` only once it is locked. Raises OSError.
    """
    lock = open(path + ".unfinished", "wb")  # noqa: SIM115  (it stays open)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.replace(path + ".unfinished", path)  # a lock is the file's, whatever its name
    return lock
