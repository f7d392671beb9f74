"""Stores: one folder of objects each, local or remote.

A local folder behaves like an object store: an object is absent or complete, even if the writer is killed. Names are
relative to the folder; "/" separates their parts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO
from urllib.parse import unquote

from longshore_storage import beneath

UNFINISHED = ".unfinished-"  # a local file that is being written; never listed, never read
MARKER = ".longshore"  # marks its folder as part of a run, so that listings of inputs skip it
MARKER_TEXT = b"Longshore keeps a run in this folder, or its output. No run takes what is here for input by itself.\n"


def local_path(uri: str) -> str | None:
    """Return the absolute local path of a path or `file:` URI, or None for a URI of another store."""
    if uri.startswith("file:"):
        path = uri.removeprefix("file:")
        if path.startswith("//"):
            path = path[path.find("/", 2) :]  # drop the host; "?" and "#" are part of the path
        return os.path.abspath(unquote(path))
    return None if "://" in uri else os.path.abspath(uri)


def open_store(uri: str, **options: Any) -> Store:
    """Return the store for a local path or an fsspec URL; `options` are passed to the fsspec file system.

    Raises:
        ValueError: fsspec does not know the URL's scheme.
        ImportError: The package for the scheme is not installed.
    """
    path = local_path(uri)
    if path is not None:
        return LocalStore(path)
    from longshore_storage.objects import ObjectStore  # late: a run on local files does without it

    return ObjectStore(uri, **options)


class Store(ABC):
    """A folder of objects, which are written as a whole and never changed in part."""

    uri: str

    def child(self, name: str) -> str:
        """Return the URI of the object `name`."""
        return f"{self.uri.rstrip('/')}/{name}"

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write an object durably, replacing an earlier one. Raises OSError."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Create an object durably; return False, without a change, if it exists.

        In an object store, an existing object with equal bytes counts as created, because a retry after a lost response
        must succeed. Two writers of equal bytes may therefore both get True. Raises OSError.
        """

    @abstractmethod
    def get(self, name: str) -> bytes:
        """Return an object's bytes. Raises FileNotFoundError and OSError."""

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the bytes of many objects in the order of `names`. Raises FileNotFoundError and OSError."""
        return map(self.get, names)

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether the object exists. Raises OSError."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names of all objects below `folder`; [] if it does not exist. Raises OSError."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open an object for reading and seeking. Raises FileNotFoundError and OSError."""

    @abstractmethod
    def writer(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Return a context manager that writes a large object; it appears, durably, when the block succeeds."""

    @abstractmethod
    def delete(self, folder: str) -> None:
        """Delete an object, or all objects below a folder; ignore absent ones. Raises OSError."""

    @abstractmethod
    def make(self) -> None:
        """Create the folder, if the store has folders. Raises OSError."""

    def mark(self) -> None:
        """Mark the folder as part of a run, so that listings of inputs skip it. Raises OSError."""
        self.create(MARKER, MARKER_TEXT)

    @abstractmethod
    def prove(self) -> None:
        """Verify that `create` never overwrites an object, which the ledger relies on. Raises OSError if it does."""


class LocalStore(Store):
    """A folder on this machine, or on a mounted volume."""

    def __init__(self, path: str) -> None:
        self.uri = self._root = os.path.abspath(path)

    def make(self) -> None:
        with beneath.in_folder(self._root, make=True):
            pass

    def prove(self) -> None:
        """Do nothing: creating a hard link fails on every file system if the name exists."""

    def put(self, name: str, data: bytes) -> None:
        with self.writer(name) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> bool:
        with self._target(name, make=True) as target:
            unfinished = _write_unfinished(target, data)
            try:
                os.link(unfinished, target)  # fails atomically if the target exists
            except FileExistsError:
                return False
            finally:
                os.unlink(unfinished)
            beneath.sync_folder(os.path.dirname(target))
        return True

    def get(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def exists(self, name: str) -> bool:
        try:
            beneath.status(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, folder: str = "") -> list[str]:
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError), beneath.in_folder(self._path(folder)) as top:
            found += _names_below(top)
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        return sorted(prefix + name for name in found)

    def open(self, name: str) -> BinaryIO:
        return open(self._path(name), "rb", opener=beneath.open_file)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        with self._target(name, make=True) as target:
            unfinished = _write_unfinished(target, b"", sync=False)
            try:
                with open(unfinished, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(unfinished, target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(unfinished)
                raise
            beneath.sync_folder(os.path.dirname(target))

    def delete(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._target(folder) as target:
            if os.path.isdir(target) and not os.path.islink(target):
                shutil.rmtree(target)
            else:
                os.unlink(target)

    @contextlib.contextmanager
    def _target(self, name: str, *, make: bool = False) -> Iterator[str]:
        """Yield the path for writing or deleting an object; `make` creates its folder."""
        folder, last = os.path.split(self._path(name))
        with beneath.in_folder(folder, make=make) as path:
            yield os.path.join(path, last)

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name) if name else self._root


def _write_unfinished(target: str, data: bytes, *, sync: bool = True) -> str:
    """Write bytes to a temporary file next to a target, whose folder must exist; return its path."""
    path = os.path.join(os.path.dirname(target), UNFINISHED + secrets.token_hex(8))
    try:
        with open(path, "xb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise
    return path


def _names_below(top: str) -> Iterator[str]:
    for parent, _, files in os.walk(top, onerror=_raise_unless_absent):
        inside = os.path.relpath(parent, top)
        prefix = "" if inside == "." else inside + "/"
        yield from (prefix + file for file in files if not file.startswith(UNFINISHED))


def _raise_unless_absent(error: OSError) -> None:
    """Raise the error of an unreadable folder, which would otherwise look empty."""
    if not isinstance(error, FileNotFoundError):
        raise error
