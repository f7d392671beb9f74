"""Temporary folders of a command; those of a killed command are removed by the next one."""

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
_LOCK = ".lock"  # held while the command that owns the folder runs
_MAX_SOCKET_PATH = 103  # bytes of the path of a Unix socket: macOS has room for 104 with the NUL, Linux for 108


@contextmanager
def scratch_folder(purpose: str, *, parent: str | None = None) -> Iterator[Path]:
    """Create a folder in `parent`, by default the system's temporary folder, for the body. Raises OSError."""
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
    """Yield a folder whose path is short enough for Unix sockets: `scratch`, or a new one if `scratch` is too long.

    `longest` is the longest name of a socket in it. Raises OSError if no other folder can be written.
    """
    if len(os.fsencode(scratch / longest)) <= _MAX_SOCKET_PATH:
        yield scratch
        return
    parents = (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (mkdtemp's are private)
    parent = next((each for each in parents if each and os.access(each, os.W_OK | os.X_OK)), None)
    if parent is None:
        raise OSError(f"the path {scratch} is too long for sockets; set TMPDIR to a folder with a shorter path")
    with scratch_folder("sockets", parent=parent) as folder:
        yield folder


def _remove_leftovers(parent: str) -> None:
    """Remove the folders of killed commands, whose locks are not held."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(_PREFIX) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    _remove_unless_held(entry.path)


def _remove_unless_held(folder: str) -> None:
    with open(os.path.join(folder, _LOCK), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises OSError while the command runs
        shutil.rmtree(folder, ignore_errors=True)
