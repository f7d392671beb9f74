"""Shared and exclusive locks on files, released when a process ends, even if it is killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.1  # seconds between two attempts to lock


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a file, which is created; `wait` is called between attempts and may raise. Raises OSError."""
    while (descriptor := _lock(path, shared=shared)) is None:
        wait()
        time.sleep(_POLL)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the exclusive lock of a file, and yield True; yield False if another holds it. Raises OSError."""
    descriptor = _lock(path, shared=False)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, *, shared: bool) -> int | None:
    """Return the descriptor of a locked file; None if another holds its lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed the file between the two calls


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
