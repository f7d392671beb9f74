"""Read, copy and identify single files by the paths and URLs that `listing` yields."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from longshore_protocol import stamps
from longshore_storage import beneath
from longshore_storage.errors import ChangedFileError
from longshore_storage.objects import Ranges
from longshore_storage.retrying import with_retries
from longshore_storage.store import local_path
from longshore_storage.systems import digest_of, file_system, stamp_of

_BUFFER = 1 << 20  # bytes
_SMALL_BUFFER = 1 << 16
_PROCESSES = "/proc"  # state of a process is for that process alone
_AHEAD = 4 << 20
_LARGE = 1 << 20  # bytes; larger files are downloaded in several requests, between which they may change
_STRANGE_FILES = 1000


class CutOffError(OSError):
    """The downloaded bytes differ from the file in the store."""


class Version(NamedTuple):
    """The version of a file."""

    size: int | None  # bytes; None if the server generates the file on the fly
    stamp: str  # see `longshore_protocol.stamps`


def file_size(path: str, **options: Any) -> int:
    """Return a file's size in bytes without reading it; `options` are passed to its file system.

    Raises OSError, also if the server does not report a size.
    """
    size = file_version(path, **options).size
    if size is None:
        raise OSError("its server does not give its size; download it before the run")
    return size


def file_version(path: str, **options: Any) -> Version:
    """Return a file's size and stamp without reading it; `options` are passed to its file system. Raises OSError."""
    local = local_path(path)
    if local is not None:
        return _local_version(beneath.status(local))
    fs, inside = file_system(path, **options)
    return _version(with_retries(lambda: fs.info(inside)))


def file_stamp(path: str, **options: Any) -> str:
    """Return a text that changes with a file's content: its size and modification time, or the store's etag.

    `options` are passed to its file system. Raises OSError.
    """
    return stamps.lasting(file_version(path, **options).stamp)


def check_version(path: str, planned: str, **options: Any) -> None:
    """Check that a file still has the `planned` stamp; `options` are passed to its file system.

    Raises:
        ChangedFileError: The file changed.
        OSError: The file cannot be read.
    """
    if local_path(path) is None:
        file_system(path, **options)[0].invalidate_cache()
    compare_versions(planned, file_version(path, **options).stamp)


def compare_versions(planned: str, found: str) -> None:
    """Raise ChangedFileError if two stamps belong to different versions of a file."""
    if not stamps.is_same(planned, found):
        raise ChangedFileError(f"it changed since the run was planned: {stamps.difference(planned, found)}")


def open_file(path: str, *, read_ahead: bool = True, **options: Any) -> BinaryIO:
    """Open a file for reading and seeking; `options` are passed to its file system.

    Without `read_ahead`, requests to a store are little larger than the reads. Raises FileNotFoundError and OSError.
    """
    return open_version(path, read_ahead=read_ahead, **options)[0]


def open_version(path: str, *, read_ahead: bool = True, **options: Any) -> tuple[BinaryIO, Version]:
    """Open a file as `open_file` does; return it with its version. Raises FileNotFoundError and OSError."""
    local = local_path(path)
    if local is not None:
        file = open_local(local)
        return file, _local_version(os.fstat(file.fileno()))
    fs, inside = file_system(path, **options)
    version = _version(with_retries(lambda: fs.info(inside)))
    if version.size is None:  # the server generates the file on the fly
        return cast("BinaryIO", fs.open(inside, "rb")), version
    # Not fsspec's files: they read lines slowly, and treat a truncated response as the end of the file.
    ranges = Ranges(fs, inside, url=path, size=version.size)
    return cast("BinaryIO", io.BufferedReader(ranges, _AHEAD if read_ahead else _SMALL_BUFFER)), version


def _version(info: dict[str, Any]) -> Version:
    size = info["size"]
    return Version(None if size is None else int(size), stamp_of(info))


def _local_version(status: os.stat_result) -> Version:
    return Version(status.st_size, stamps.of_status(status))


def open_local(path: str) -> BinaryIO:
    """Open a local file for reading, following links except into /proc. Raises OSError.

    On a volume, links out of it are refused (see `beneath`). Elsewhere, a link may have been created by a script, and a
    link into /proc would expose the environment of this process.
    """
    return open(path, "rb", buffering=_BUFFER, opener=_open_outside_proc)


def _open_outside_proc(path: str, flags: int) -> int:
    opened = beneath.open_file(path, flags)
    if not path.startswith(f"{_PROCESSES}/") and os.fstat(opened).st_dev == _device_of_processes():
        os.close(opened)
        raise PermissionError(errno.EACCES, "is a link to a file in /proc", path)
    return opened


def _device_of_processes() -> int | None:
    try:
        return os.stat(_PROCESSES).st_dev
    except FileNotFoundError:  # macOS has none
        return None


def copy_local(path: str, target: str) -> None:
    """Copy a local file to another path with its mode. Raises the exceptions of `open_local`."""
    with open_local(path) as reading, open(target, "wb") as writing:
        shutil.copyfileobj(reading, writing, _BUFFER)
        os.chmod(target, os.fstat(reading.fileno()).st_mode & 0o777)


def fetch_file(
    path: str, target: str, *, check: Callable[[], None], planned: str | None = None, **options: Any
) -> None:
    """Copy a file to the local path `target` and verify it against the size and digest in its store.

    The verification detects truncated copies and mixtures of two versions. After an error, a partial copy may exist.

    Args:
        path: A local path or URL.
        target: The local path of the copy.
        check: Called after each part; an exception cancels the copy.
        planned: The expected stamp of a file in a store; None to accept any version.
        options: Options of the URL's file system.

    Raises:
        ChangedFileError: The file's stamp differs from `planned`.
        CutOffError: The copy differs from the file in the store.
        OSError: The file cannot be read or the copy cannot be written. Stores' libraries raise errors of their own.
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
        before = {}  # some servers support only GET; a missing file fails below
    if planned is not None and before:
        compare_versions(planned, stamp_of(before))
    fs.get_file(inside, target, callback=Callback(hooks={"check": lambda *_, **__: check()}))
    size, encoded = os.path.getsize(target), before.get("contentEncoding") or before.get("ContentEncoding")
    if before.get("size") is None or encoded:  # the client may decompress the response
        return
    if size != before["size"]:
        raise CutOffError(f"{size} bytes were downloaded, and it has {before['size']}")
    wanted = digest_of(before)
    if wanted is None:
        if (size >= _LARGE or planned is not None) and stamp_of(before) != _stamp_now(fs, inside):
            raise CutOffError("it changed while it was copied")
        return
    found = _md5(target)
    if found != wanted.md5 and (wanted.is_declared or not _had_digest_before(path, found)):
        raise CutOffError("the MD5 digest of the downloaded bytes differs from the store's")


def _stamp_now(fs: Any, inside: str) -> str:
    fs.invalidate_cache()
    return stamp_of(fs.info(inside))


# Digests of downloaded files whose ETag looks like an MD5 but is not, for example with customer-managed encryption.
_strange: OrderedDict[str, str] = OrderedDict()


def _had_digest_before(path: str, digest: str) -> bool:
    """Return whether the previous download had the same digest: then the ETag is not an MD5."""
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
