"""A folder in an object store, over fsspec.

This module hides the differences between the stores' libraries: their exceptions become OSError, listings are never
cached, and an object becomes visible only when it is complete.
"""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from longshore_protocol.redaction import redacted
from longshore_storage.causes import cause_of, known_cause, lacks_bucket
from longshore_storage.retrying import with_retries
from longshore_storage.store import MARKER, MARKER_TEXT, Store
from longshore_storage.systems import file_system

if TYPE_CHECKING:
    import fsspec
    from _typeshed import ReadableBuffer, WriteableBuffer

# Stores with an atomic create-if-absent: S3 and Azure through If-None-Match, Google through generation 0.
_EXCLUSIVE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
_BLOCK = 4 << 20  # bytes of one request when an object is read in parts
_HELD = 8 << 20  # the largest object in bytes that is buffered and written by one request
_AT_ONCE = 16  # objects that are read in parallel

T = TypeVar("T")


class ObjectStore(Store):
    """A folder in any fsspec file system."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.uri = uri
        # Listings are not cached, because writes of others must be visible immediately.
        self._fs, self._root = file_system(uri, **{"use_listings_cache": False, **options})

    def make(self) -> None:
        """Do nothing: object stores have no folders."""

    def prove(self) -> None:
        protocol = self.uri.partition("://")[0]
        if protocol not in _EXCLUSIVE:
            known = "s3://, gs://, abfs:// or a local folder"
            raise OSError(
                f"{self.uri} cannot hold a run: {protocol}:// stores cannot create objects only if absent; use {known}"
            )
        # The second creation must fail. Some S3-compatible stores ignore the condition.
        self.mark()
        if self.create(MARKER, MARKER_TEXT + secrets.token_hex(8).encode()):
            raise OSError(
                f"{self.uri} cannot hold a run: this store overwrites objects that must be created only if absent"
            )

    def put(self, name: str, data: bytes) -> None:
        try:
            _call(self.child(name), lambda: self._fs.pipe_file(self._path(name), data))
        except FileNotFoundError as error:  # the bucket does not exist
            raise OSError(f"{self.child(name)}: {cause_of(self.child(name), error)}") from error

    def create(self, name: str, data: bytes) -> bool:
        try:
            _call(self.child(name), lambda: self._create(name, data))
        except FileExistsError:
            # This call may have created it: a request is retried when its response is lost.
            with contextlib.suppress(FileNotFoundError):
                return self.get(name) == data
            return False
        except FileNotFoundError as error:
            raise OSError(f"{self.child(name)}: {cause_of(self.child(name), error)}") from error
        return True

    def _create(self, name: str, data: bytes) -> None:
        try:
            self._fs.pipe_file(self._path(name), data, mode="create")
        except OSError as error:
            # s3fs recognizes only some stores' errors. Concurrent creations are a temporary conflict.
            if _s3_code(error) == "PreconditionFailed":
                raise FileExistsError(name) from error
            if _s3_code(error) == "ConditionalRequestConflict":
                raise _ConflictError(str(error)) from None  # without the HTTP status, so that it is retried
            raise

    def get(self, name: str) -> bytes:
        return cast("bytes", _call(self.child(name), lambda: self._fs.cat_file(self._path(name))))

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        rest = iter(names)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            while some := list(islice(rest, 4 * _AT_ONCE)):  # bounded: the consumer may be slow
                yield from threads.map(self.get, some)

    def exists(self, name: str) -> bool:
        # Not fsspec's `exists`, which returns False for any error.
        return self._size(name) is not None

    def names(self, folder: str = "") -> list[str]:
        skip = len(self._root.rstrip("/")) + 1
        return sorted(path[skip:] for path in self._find(folder))

    def open(self, name: str) -> BinaryIO:
        size = self._size(name)
        if size is None:
            raise FileNotFoundError(f'object "{self.child(name)}" does not exist')
        # Not fsspec's files: their errors differ between libraries, and some read every block twice.
        return io.BufferedReader(Ranges(self._fs, self._path(name), url=self.child(name), size=size), _BLOCK)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        url = self.child(name)
        sink = _Sink(lambda: self._fs.open(self._path(name), "wb"), url=url, shows=self._fs.protocol == "memory")
        try:
            yield cast("BinaryIO", sink)
        except BaseException:
            sink.discard()
            raise
        held = sink.finish()
        if held is not None:
            self.put(name, held)

    def delete(self, folder: str) -> None:
        def remove() -> None:
            found = self._found(folder)
            if found:
                self._fs.rm(found)

        try:
            _call(self.child(folder), remove)
        except FileNotFoundError:  # one was deleted concurrently; others may be left
            _call(self.child(folder), remove)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _find(self, folder: str) -> list[str]:
        return _call(self.child(folder), lambda: self._found(folder))

    def _found(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return list(self._fs.find(self._path(folder)))
        except FileNotFoundError:
            return []

    def _size(self, name: str) -> int | None:
        """Return an object's size in bytes, or None if it does not exist."""

        def info() -> dict[str, Any]:
            self._fs.invalidate_cache()
            return cast("dict[str, Any]", self._fs.info(self._path(name)))

        try:
            found = _call(self.child(name), info)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None


class _ConflictError(OSError):
    """Two creations of one object conflicted; a retry shows which was first."""


class Ranges(io.RawIOBase):
    """A seekable reader of an object of `size` bytes. Raises OSError if the object has become shorter."""

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str, *, url: str, size: int) -> None:
        self._fs = fs
        self._path = path
        self._url = url
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._place + len(view), self._size)
        if end <= self._place:
            return 0
        data = _call(self._url, partial(self._part, self._place, end))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _part(self, start: int, end: int) -> bytes:
        data = cast("bytes", self._fs.cat_file(self._path, start=start, end=end))
        if len(data) != end - start:
            raise OSError(f"{self._url}: requested {end - start} bytes at offset {start}, but received {len(data)}")
        return data


class _Sink(io.RawIOBase):
    """A writer of one object. A small object is buffered, so that its single request can be retried.

    Args:
        open_: Opens the object for writing.
        url: The object's URL, for messages.
        shows: Buffer everything, because the store makes unfinished objects visible.
    """

    def __init__(self, open_: Callable[[], Any], *, url: str, shows: bool) -> None:
        self._open = open_
        self._url = url
        self._limit = None if shows else _HELD
        self._held = io.BytesIO()
        self._file: Any = None
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: ReadableBuffer) -> int:
        size = memoryview(data).nbytes
        if self._file is None and (self._limit is None or self._written + size <= self._limit):
            self._held.write(data)
        else:
            with _as_os_error(self._url):
                if self._file is None:
                    self._file = self._open()
                    self._file.write(self._held.getvalue())
                    self._held = io.BytesIO()
                self._file.write(data)
        self._written += size
        return size

    def finish(self) -> bytes | None:
        """Complete the object and return None, or return its contents if they were buffered."""
        if self._file is None:
            return self._held.getvalue()
        with _as_os_error(self._url):
            self._file.close()
        return None

    def discard(self) -> None:
        """Discard the object."""
        if self._file is not None:
            with contextlib.suppress(Exception):  # the store removes incomplete uploads
                self._file.discard()
            self._file.closed = True  # otherwise the garbage collector closes it, which completes the object


def _call(url: str, call: Callable[[], T]) -> T:
    with _as_os_error(url):
        return with_retries(call)


@contextlib.contextmanager
def _as_os_error(url: str) -> Iterator[None]:
    """Raise errors of a store's library as OSError."""
    try:
        yield
    except Exception as error:
        known = known_cause(url, error)
        if isinstance(error, FileExistsError) or (isinstance(error, FileNotFoundError) and not lacks_bucket(error)):
            raise
        if known is not None:
            raise OSError(f"{redacted(url)}: {known}") from error
        if isinstance(error, OSError):
            raise
        text = " ".join(str(error).split())
        raise OSError(redacted(f"{url}: {type(error).__name__}{': ' if text else ''}{text}")) from error


def _s3_code(error: OSError) -> str:
    """Return the code of the S3 error that caused an error, or ""."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
