"""Single files of an input, by the names that `listing` gives them."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from longshore_storage import beneath
from longshore_storage.objects import Ranges
from longshore_storage.retrying import patiently
from longshore_storage.store import local_path
from longshore_storage.systems import digest_of, file_system, stamp_of

_BUFFER = 1 << 20  # bytes
_SMALL_BUFFER = 1 << 16
_PROCESSES = "/proc"  # what of it belongs to a process is for that process alone
_AHEAD = 4 << 20
_LARGE = 1 << 20  # from here on a file may come in several answers, between which it may change
_STRANGE_FILES = 1000


class CutOffError(OSError):
    """What came of a file is not the file."""


def file_size(path: str, **options: Any) -> int:
    """Return a file's size in bytes without reading it; `options` go to its file system. Raises OSError."""
    local = local_path(path)
    if local is not None:
        return beneath.status(local).st_size
    fs, inside = file_system(path, **options)
    return int(patiently(lambda: fs.info(inside))["size"])


def file_stamp(path: str, **options: Any) -> str:
    """Return a text that is another once a file's content is: its size and time, or what its store has for that.

    `options` go to its file system. Raises OSError.
    """
    local = local_path(path)
    if local is not None:
        status = beneath.status(local)
        return f"{status.st_size} {status.st_mtime_ns}"
    fs, inside = file_system(path, **options)
    return stamp_of(patiently(lambda: fs.info(inside)))


def open_file(path: str, *, read_ahead: bool = True, **options: Any) -> BinaryIO:
    """Open a file for seeking and reading; `options` go to its file system.

    Without `read_ahead`, little more is asked of a store than what is read. Raises FileNotFoundError, OSError.
    """
    local = local_path(path)
    if local is not None:
        return open_local(local)
    fs, inside = file_system(path, **options)
    size = patiently(lambda: fs.info(inside))["size"]
    if size is None:  # as a server may do that makes what it sends
        return cast("BinaryIO", fs.open(inside, "rb"))
    # Not fsspec's own files: those read line by line far too slowly, and take a part that was cut off for the end.
    ranges = Ranges(fs, inside, url=path, size=int(size))
    return cast("BinaryIO", io.BufferedReader(ranges, _AHEAD if read_ahead else _SMALL_BUFFER))


def open_local(path: str) -> BinaryIO:
    """Open a file of this machine, or one that a link leads to, unless that is in /proc. Raises OSError.

    On a volume no link leads out of it (see `beneath`). Elsewhere one may still be a script's, and in /proc is the
    environment of the process that follows it.
    """
    return open(path, "rb", buffering=_BUFFER, opener=_open_outside_proc)


def _open_outside_proc(path: str, flags: int) -> int:
    opened = beneath.open_file(path, flags)
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

    What came is compared with the size and the digest that the store has, so that neither a copy that was cut off nor
    one of two versions passes for the file. `check` is called after each part; what it raises ends the copy, and comes
    out. Raises FileNotFoundError, OSError, and what the store's library raises; a part of the file may be there then.
    """
    local = local_path(path)
    if local is not None:
        with open_local(local) as reading, open(target, "wb") as writing:
            while part := reading.read(_BUFFER):
                writing.write(part)
                check()
        return
    from fsspec.callbacks import Callback

    fs, inside = file_system(path, **options)
    fs.invalidate_cache()
    try:
        before = fs.info(inside)
    except FileNotFoundError:
        before = {}  # there are servers that answer GET alone; a file that is not there will not come either
    fs.get_file(inside, target, callback=Callback(hooks={"check": lambda *_, **__: check()}))
    size, encoded = os.path.getsize(target), before.get("contentEncoding") or before.get("ContentEncoding")
    if before.get("size") is None or encoded:  # what comes may be unpacked on its way
        return
    if size != before["size"]:
        raise CutOffError(f"{size} bytes of it came, and it has {before['size']}")
    wanted = digest_of(before)
    if wanted is None:
        if size >= _LARGE and stamp_of(before) != stamp_of(fs.info(inside)):
            raise CutOffError("it changed while it was copied")
        return
    found = _md5(target)
    if found != wanted.md5 and (wanted.is_declared or not _came_so_before(path, found)):
        raise CutOffError("what came is not what the store has: their MD5 digests differ")


# Of files whose ETag looks like a digest and is none, as where a store encrypts with keys of its users: what came.
_strange: OrderedDict[str, str] = OrderedDict()


def _came_so_before(path: str, digest: str) -> bool:
    """Tell whether a file came with this digest the last time too: then what differs is no digest."""
    earlier = _strange.pop(path, None)
    _strange[path] = digest
    while len(_strange) > _STRANGE_FILES:
        _strange.popitem(last=False)
    return earlier == digest


def _md5(path: str) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while part := file.read(_BUFFER):
            found.update(part)
    return found.hexdigest()
