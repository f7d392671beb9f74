"""Files on volumes that scripts write to: no link leads out of a volume.

On a cluster, scripts leave what they like on a volume, and containers of ours that read it hold credentials, or see
more than the script may. Whatever lies below a volume's folder is therefore resolved name by name, each relative to the
descriptor of the folder before it: a link may lead to another place below the folder, and one that leads elsewhere is
refused, also where it is swapped in between two calls. Volumes are the folders that the environment variable
LONGSHORE_VOLUMES lists, separated by colons, and all of MOUNTS. On any other path links are followed as ever: a local
run works with the files and the rights of its user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

MOUNTS = "/mnt/longshore"  # where the pods of a run have their volumes
VARIABLE = "LONGSHORE_VOLUMES"
# Kinds of entries.
FILE, FOLDER, DEAD, OUTSIDE = "file", "folder", "dead link", "link out of the volume"
SPECIAL = "pipe, socket or device"

_LINKS = 40  # in one name, as many as Linux follows
_O_PATH = getattr(os, "O_PATH", 0)  # Linux alone has it
_STEP = _O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class LeavesVolumeError(PermissionError):
    """A link leads out of its volume."""


def volume_of(path: str) -> str | None:
    """Return the folder that nothing may lead out of for a path; None for a path that is on no volume."""
    found = (root for root in _volumes(os.environ.get(VARIABLE, "")) if path == root or path.startswith(root + "/"))
    return next(found, None)


def open_file(path: str, flags: int) -> int:
    """Open an existing file as `os.open` does, and as an `opener` of `open`.

    Raises OSError; on a volume also for a link that leads out of it, and for what is neither a file nor a folder.
    """
    volume = volume_of(path)
    if volume is None:
        return os.open(path, flags)
    with _resolved(path, volume) as found:
        mode = os.fstat(found).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe would never answer
            raise PermissionError(errno.EACCES, "is neither a file nor a folder", path)
        return os.open(_own(found), flags | os.O_CLOEXEC)


def status(path: str) -> os.stat_result:
    """Return what `os.stat` does. Raises OSError as `open_file`."""
    volume = volume_of(path)
    if volume is None:
        return os.stat(path)
    with _resolved(path, volume) as found:
        return os.fstat(found)


def is_folder(path: str) -> bool:
    """Tell whether a folder is there; False for a link that leads out of its volume."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: str) -> bool:
    """Tell whether a file is there; False for a link that leads out of its volume."""
    return stat.S_ISREG(_mode(path))


def entries(folder: str) -> list[tuple[str, str]]:
    """Return the name and the kind of each entry of a folder, in any order. Raises OSError."""
    with in_folder(folder) as path, os.scandir(path) as found:
        # Most are files, which scandir says of itself, and there may be millions.
        return [(each.name, FILE if each.is_file(follow_symlinks=False) else _kind(each, folder)) for each in found]


@contextlib.contextmanager
def in_folder(folder: str, *, make: bool = False) -> Iterator[str]:
    """Have a path inside the `with` that means this very folder, whatever becomes of the names that led to it.

    `make` makes those that are not there. Raises OSError as `open_file`.
    """
    volume = volume_of(folder)
    if volume is None:
        if make:
            make_folder(folder)
        yield folder
        return
    with _resolved(folder, volume, make=make) as found:
        yield f"{_own(found)}/."  # a folder, and no link to one


def make_folder(path: str) -> None:
    """Make a folder and those above it so that they survive a power cut, as what is written there does."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make a new name in a folder survive a power cut."""
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
    """Return a path of what a descriptor of this process has open."""
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
    """Have a descriptor (O_PATH) of what a path means below its volume. Raises OSError that names the path."""
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
    """Add a descriptor for each name on the way from the volume, so that the last one is what the name means."""
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
    """Return a descriptor of a volume's folder, which may lie on another volume."""
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
    return LeavesVolumeError(errno.EACCES, "is, or lies behind, a link that leads out of its volume")
