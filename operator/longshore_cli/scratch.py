"""Temporary folders of a command: removed when it ends, or by the next command where it was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from longshore_host.locks import hold

_PREFIX = "longshore-"
_LOCK = ".lock"  # held by the command whose folder it is
_LONGEST_SOCKET = 103  # bytes of the path of a Unix socket: macOS has room for 104 with the NUL, Linux for 108


@contextmanager
def scratch_folder(purpose: str, *, parent: str | None = None) -> Iterator[Path]:
    """Provide a folder below the system's temporary folder, or another `parent`. Raises OSError."""
    parent = parent or tempfile.gettempdir()
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-", dir=parent))
    with hold(str(folder / _LOCK)):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def socket_folder(scratch: Path, *, longest: str) -> Iterator[Path]:
    """Provide a folder whose sockets have paths that the kernel takes: `scratch`, unless its own path is too long.

    `longest` is the longest name of a socket. Raises OSError when no other folder can be written to.
    """
    if len(os.fsencode(scratch / longest)) <= _LONGEST_SOCKET:
        yield scratch
        return
    parents = (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (mkdtemp's are private)
    parent = next((each for each in parents if each and os.access(each, os.W_OK | os.X_OK)), None)
    if parent is None:
        raise OSError(f"the path of {scratch} is too long for sockets; set TMPDIR to a shorter one")
    with scratch_folder("sockets", parent=parent) as folder:
        yield folder


def _remove_leftovers(parent: str) -> None:
    """Remove the folders of commands that were killed: nobody holds their locks."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(_PREFIX) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    _remove_unless_held(entry.path)


def _remove_unless_held(folder: str) -> None:
    with open(os.path.join(folder, _LOCK), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the command is alive
        shutil.rmtree(folder, ignore_errors=True)
