"""A folder in an object store, over fsspec.

What the libraries of the stores do differently is made equal here: their own exceptions become OSError, no listing is
remembered, an object that is being written is not seen before it is whole.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from longshore_storage.store import Store

if TYPE_CHECKING:
    import fsspec
    from _typeshed import ReadableBuffer, WriteableBuffer

# Stores that create an object only if it is absent, as one step: S3 and Azure by If-None-Match, Google by generation 0.
_EXCLUSIVE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
_PROBE = ".longshore"
_PROBE_TEXT = b"Longshore saw with this object that the store creates no object twice. It holds nothing else.\n"
_BLOCK = 4 << 20  # bytes asked for at once when an object is read bit by bit
_AT_ONCE = 16  # objects that are read side by side
_CONFLICTS = (0.1, 0.3, 1.0)  # seconds before a further try, when two creations met


class ObjectStore(Store):
    """A folder of any store that fsspec knows."""

    def __init__(self, uri: str, **options: Any) -> None:
        import fsspec  # late: a run on local files does without it

        self.uri = uri
        options = {"use_listings_cache": False, **options}  # what others write must show at once
        self._fs, self._root = cast("tuple[fsspec.AbstractFileSystem, str]", fsspec.core.url_to_fs(uri, **options))

    def make(self) -> None:
        """Do nothing: in an object store a folder is there when an object is."""

    def prove(self) -> None:
        protocol = self.uri.partition("://")[0]
        if protocol not in _EXCLUSIVE:
            known = "s3://, gs://, abfs:// or a folder of this machine"
            raise OSError(
                f"{self.uri} cannot hold a run: {protocol}:// stores give no exclusive right to a name; take {known}"
            )
        # The second one must fail. Stores that speak S3 and are not Amazon's may not know the condition, and ignore it.
        if self.create(_PROBE, _PROBE_TEXT) and self.create(_PROBE, _PROBE_TEXT):
            raise OSError(
                f"{self.uri} cannot hold a run: this store overwrites an object that was to be created only if absent"
            )

    def put(self, name: str, data: bytes) -> None:
        with _as_os_error(self.child(name)):
            self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        for pause in (*_CONFLICTS, None):
            try:
                with _as_os_error(self.child(name)):
                    self._fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                code = _s3_code(error)
                if code == "PreconditionFailed":  # not every store names the condition, which s3fs looks for
                    return False
                if code != "ConditionalRequestConflict" or pause is None:
                    raise
            else:
                return True
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def get(self, name: str) -> bytes:
        with _as_os_error(self.child(name)):
            return cast("bytes", self._fs.cat_file(self._path(name)))

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        rest = iter(names)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            while some := list(islice(rest, 4 * _AT_ONCE)):  # not all: they are many, and who asks may be slow
                yield from threads.map(self.get, some)

    def exists(self, name: str) -> bool:
        # Not fsspec's own: that takes any error for absence.
        return self._size(name) is not None

    def names(self, folder: str = "") -> list[str]:
        skip = len(self._root.rstrip("/")) + 1
        return sorted(path[skip:] for path in self._find(folder))

    def open(self, name: str) -> BinaryIO:
        size = self._size(name)
        if size is None:
            raise FileNotFoundError(f"there is no object {self.child(name)}")
        # Not fsspec's own files: their errors are each library's, and some read every piece twice.
        return io.BufferedReader(_Ranges(self._fs, self._path(name), url=self.child(name), size=size), _BLOCK)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        if self._fs.protocol == "memory":  # the one store that shows what is not closed yet
            buffer = io.BytesIO()
            yield buffer
            self.put(name, buffer.getvalue())
            return
        url = self.child(name)
        with _as_os_error(url):
            file = self._fs.open(self._path(name), "wb")
        try:
            yield cast("BinaryIO", _Sink(file, url=url))
        except BaseException:
            with contextlib.suppress(Exception):  # what is left of it is no object, and the store's to clear away
                file.discard()
            file.closed = True  # else the garbage collector would close, and so finish, the object
            raise
        with _as_os_error(url):
            file.close()

    def delete(self, folder: str) -> None:
        found = self._find(folder)
        if found:
            with _as_os_error(self.child(folder)), contextlib.suppress(FileNotFoundError):
                self._fs.rm(found)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _find(self, folder: str) -> list[str]:
        with _as_os_error(self.child(folder)):
            self._fs.invalidate_cache()
            try:
                return list(self._fs.find(self._path(folder)))
            except FileNotFoundError:
                return []

    def _size(self, name: str) -> int | None:
        """Return an object's size in bytes; None where there is none."""
        with _as_os_error(self.child(name)):
            self._fs.invalidate_cache()
            try:
                found = self._fs.info(self._path(name))
            except FileNotFoundError:
                return None
        return int(found["size"]) if found["type"] == "file" else None


class _Ranges(io.RawIOBase):
    """An object, read by ranges."""

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
        with _as_os_error(self._url):
            data = self._fs.cat_file(self._path, start=self._place, end=end)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


class _Sink(io.RawIOBase):
    """An object that is being written, part by part."""

    def __init__(self, file: Any, *, url: str) -> None:
        self._file = file
        self._url = url
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: ReadableBuffer) -> int:
        with _as_os_error(self._url):
            self._file.write(data)
        size = memoryview(data).nbytes
        self._written += size
        return size


@contextlib.contextmanager
def _as_os_error(url: str) -> Iterator[None]:
    """Raise what a store's library raises as OSError, which callers know."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise OSError(f"{url}: {type(error).__name__}{': ' if text else ''}{text}") from error


def _s3_code(error: OSError) -> str:
    """Return the code of the S3 error that was the cause, "" where there is none."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
