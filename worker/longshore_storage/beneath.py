"""File access on volumes that scripts can write to, without following links out of the volume.

On a cluster, scripts can create any file on a volume, and Longshore's containers that read it have credentials or more
access than the script. Paths on a volume are therefore resolved name by name, each relative to the descriptor of its
parent folder. A link to another path on the volume is followed; a link out of it raises LeavesVolumeError, even if it
is created between two calls. Volumes are the folders in the environment variable LONGSHORE_VOLUMES, separated by
colons, and everything below MOUNTS. On other paths, links are followed as usual: a local run has its user's rights.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

MOUNTS = "/mnt/longshore"  # parent folder of the volumes in the pods of a run
VARIABLE = "LONGSHORE_VOLUMES"
# Kinds of entries.
FILE, FOLDER, DEAD, OUTSIDE = "file", "folder", "dead link", "link out of the volume"
SPECIAL = "pipe, socket or device"

_LINKS = 40  # links in one path, the limit of Linux
_O_PATH = getattr(os, "O_PATH", 0)  # Linux alone has it
_STEP = _O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class LeavesVolumeError(PermissionError):
    """A link leads out of its volume."""


def volume_of(path: str) -> str | None:
    """Return the volume that contains a path, or None."""
    found = (root for root in _volumes(os.environ.get(VARIABLE, "")) if path == root or path.startswith(root + "/"))
    return next(found, None)


def open_file(path: str, flags: int) -> int:
    """Open an existing file and return its descriptor; usable as the `opener` of `open`.

    Raises:
        LeavesVolumeError: On a volume, a link leads out of it.
        OSError: The file cannot be opened; on a volume, also if it is neither a file nor a folder.
    """
    volume = volume_of(path)
    if volume is None:
        return os.open(path, flags)
    with _resolved(path, volume) as found:
        mode = os.fstat(found).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a pipe could block forever
            raise PermissionError(errno.EACCES, "is neither a file nor a folder", path)
        return os.open(_own(found), flags | os.O_CLOEXEC)


def status(path: str) -> os.stat_result:
    """Return the `os.stat` result of a path. Raises the exceptions of `open_file`."""
    volume = volume_of(path)
    if volume is None:
        return os.stat(path)
    with _resolved(path, volume) as found:
        return os.fstat(found)


def is_folder(path: str) -> bool:
    """Return whether a path is a folder; False for a link out of its volume."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: str) -> bool:
    """Return whether a path is a regular file; False for a link out of its volume."""
    return stat.S_ISREG(_mode(path))


def entries(folder: str) -> list[tuple[str, str]]:
    """Return the name and the kind of each entry of a folder, in any order. Raises OSError."""
    with in_folder(folder) as path, os.scandir(path) as found:
        # Fast path for files, of which there may be millions: scandir returns their type.
        return [(each.name, FILE if each.is_file(follow_symlinks=False) else _kind(each, folder)) for each in found]


@contextlib.contextmanager
def in_folder(folder: str, *, make: bool = False) -> Iterator[str]:
    """Yield a path that refers to this folder even if its name or its parents change meanwhile.

    `make` creates missing folders. Raises the exceptions of `open_file`.
    """
    volume = volume_of(folder)
    if volume is None:
        if make:
            make_folder(folder)
        yield folder
        return
    with _resolved(folder, volume, make=make) as found:
        yield f"{_own(found)}/."  # the folder itself, not a link to it


def make_folder(path: str) -> None:
    """Create a folder and its parents durably. Raises OSError."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make new names in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(path: str) -> int:
    try:
        return status(path).st_mode
    except OSError:
        return 0


@lru_cache
def _volumes(listed: str) -> tuple[str, ...]:
    """Return the volumes, the innermost first."""
    return tuple(sorted({*filter(None, listed.split(":")), MOUNTS}, key=len, reverse=True))


def _own(descriptor: int) -> str:
    """Return a path that refers to an open descriptor of this process."""
    return f"/proc/self/fd/{descriptor}"


def _kind(entry: os.DirEntry[str], folder: str) -> str:
    """Return the kind of an entry of a folder."""
    if not entry.is_symlink():  # answered from what scandir read
        return FOLDER if entry.is_dir() else FILE if entry.is_file() else SPECIAL
    try:
        mode = status(f"{folder.rstrip('/')}/{entry.name}").st_mode
    except LeavesVolumeError:
        return OUTSIDE
    except OSError:
        return DEAD
    return FOLDER if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else SPECIAL


@contextlib.contextmanager
def _resolved(path: str, volume: str, *, make: bool = False) -> Iterator[int]:
    """Yield an O_PATH descriptor of a path on a volume. Raises OSError that names the path."""
    if not _O_PATH:
        raise OSError(errno.ENOTSUP, f"is on a volume ({VARIABLE}), which only Linux can keep links inside of", path)
    folders: list[int] = []
    try:
        try:
            _resolve(path.removeprefix(volume), volume, folders, make=make)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, path) from None
        yield folders[-1]
    finally:
        for descriptor in folders:
            os.close(descriptor)


def _resolve(name: str, volume: str, folders: list[int], *, make: bool) -> None:
    """Append a descriptor for each part of the path; the last one refers to the path itself."""
    folders.append(_open_volume(volume, make=make))
    names, links = deque(name.split("/")), 0
    while names:
        part = names.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            if len(folders) == 1:
                raise _leaves_volume()
            os.close(folders.pop())
            continue
        found = _step(part, folders[-1], make=make)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            folders.append(found)
            continue
        target = os.readlink("", dir_fd=found)
        os.close(found)
        if (links := links + 1) > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            if not f"{target}/".startswith(f"{volume}/"):
                raise _leaves_volume()
            target = target.removeprefix(volume)
            while len(folders) > 1:
                os.close(folders.pop())
        names.extendleft(reversed(target.split("/")))


def _open_volume(volume: str, *, make: bool) -> int:
    """Return a descriptor of a volume's folder, which may be on another volume."""
    outer = volume_of(os.path.dirname(volume))
    if outer is not None:
        with _resolved(volume, outer, make=make) as found:
            return os.dup(found)
    if make:
        make_folder(volume)
    return os.open(volume, _O_PATH | os.O_CLOEXEC)


def _step(name: str, folder: int, *, make: bool) -> int:
    try:
        return os.open(name, _STEP, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    sync_folder(_own(folder))
    return os.open(name, _STEP, dir_fd=folder)


def _leaves_volume() -> LeavesVolumeError:
    return LeavesVolumeError(errno.EACCES, "is a link, or is behind a link, that leads out of its volume")
