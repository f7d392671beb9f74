"""Single files of an input, by the names that `listing` gives them."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from longshore_storage.store import local_path

if TYPE_CHECKING:
    import fsspec

_BUFFER = 1 << 20  # bytes
_SMALL_BUFFER = 1 << 16
_PROCESSES = "/proc"  # what of it belongs to a process is for that process alone
# What the stores' libraries call it, the strongest first; a store that has none of them tells by size alone.
_STAMPS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "mtime")


def file_size(path: str, **options: Any) -> int:
    """Return a file's size in bytes without reading it; `options` go to its file system. Raises OSError."""
    local = local_path(path)
    if local is not None:
        return os.path.getsize(local)
    fs, inside = _file_system(path, options)
    return int(fs.info(inside)["size"])


def file_stamp(path: str, **options: Any) -> str:
    """Return a text that is another once a file's content is: its size and time, or what its store has for that.

    `options` go to its file system. Raises OSError.
    """
    local = local_path(path)
    if local is not None:
        status = os.stat(local)
        return f"{status.st_size} {status.st_mtime_ns}"
    fs, inside = _file_system(path, options)
    info = fs.info(inside)
    found = next((info[key] for key in _STAMPS if info.get(key)), None)
    return f"{info.get('size')} {found}"


def open_file(path: str, *, read_ahead: bool = True, **options: Any) -> BinaryIO:
    """Open a file for seeking and reading; `options` go to its file system.

    Without `read_ahead`, little more is asked of a store than what is read. Raises FileNotFoundError, OSError.
    """
    local = local_path(path)
    if local is not None:
        return open_local(local)
    fs, inside = _file_system(path, options)
    # fsspec's own files read line by line far too slowly.
    if read_ahead:
        return cast("BinaryIO", io.BufferedReader(fs.open(inside, "rb"), _BUFFER))
    return cast("BinaryIO", io.BufferedReader(fs.open(inside, "rb", cache_type="none"), _SMALL_BUFFER))


def open_local(path: str) -> BinaryIO:
    """Open a file of this machine, or one that a link leads to, unless that is in /proc. Raises OSError.

    On a volume links may be a script's, and in /proc is the environment of who follows them: credentials of stores.
    """
    return open(path, "rb", buffering=_BUFFER, opener=_open_outside_proc)


def _open_outside_proc(path: str, flags: int) -> int:
    opened = os.open(path, flags)
    if not path.startswith(f"{_PROCESSES}/") and os.fstat(opened).st_dev == os.stat(_PROCESSES).st_dev:
        os.close(opened)
        raise PermissionError(errno.EACCES, "is a link to what is no data", path)
    return opened


def copy_local(path: str, target: str) -> None:
    """Copy a file of this machine to another path, with its mode. Raises OSError as `open_local` does."""
    with open_local(path) as reading, open(target, "wb") as writing:
        shutil.copyfileobj(reading, writing, _BUFFER)
        os.chmod(target, os.fstat(reading.fileno()).st_mode & 0o777)


def fetch_file(path: str, target: str, *, check: Callable[[], None], **options: Any) -> None:
    """Copy a file to the local path `target`; `options` go to its file system.

    `check` is called after each part; what it raises ends the copy, and comes out. Raises FileNotFoundError, OSError,
    and what the store's library raises; a part of the file may be there then.
    """
    local = local_path(path)
    if local is not None:
        with open_local(local) as reading, open(target, "wb") as writing:
            while part := reading.read(_BUFFER):
                writing.write(part)
                check()
        return
    from fsspec.callbacks import Callback

    fs, inside = _file_system(path, options)
    fs.get_file(inside, target, callback=Callback(hooks={"check": lambda *_, **__: check()}))


def _file_system(path: str, options: dict[str, Any]) -> tuple[fsspec.AbstractFileSystem, str]:
    import fsspec  # late: a run on local files does without it

    return cast("tuple[fsspec.AbstractFileSystem, str]", fsspec.core.url_to_fs(path, **options))
