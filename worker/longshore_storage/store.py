"""One folder of objects.

A local folder behaves like an object store here: an object is absent or whole, whatever is killed meanwhile.
Names are relative to the folder, with "/" between their parts.
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
MARKER = ".longshore"  # an object that marks the folder that it is in as a run's: no run takes it for input
MARKER_TEXT = b"Longshore keeps a run in this folder, or its output. No run takes what is here for input by itself.\n"


def local_path(uri: str) -> str | None:
    """Return the path that a URI means on this machine (absolute), or None when the URI names another store."""
    if uri.startswith("file:"):
        path = uri.removeprefix("file:")
        if path.startswith("//"):
            path = path[path.find("/", 2) :]  # without the host's name; a "?" or "#" is part of the path
        return os.path.abspath(unquote(path))
    return None if "://" in uri else os.path.abspath(uri)


def open_store(uri: str, **options: Any) -> Store:
    """Return the store for a local path or an fsspec URL; `options` go to the fsspec file system.

    Raises ValueError for a scheme that fsspec does not know, ImportError when the scheme's package is not installed.
    """
    path = local_path(uri)
    if path is not None:
        return LocalStore(path)
    from longshore_storage.objects import ObjectStore  # late: a run on local files does without it

    return ObjectStore(uri, **options)


class Store(ABC):
    """A folder of objects that are written whole and never changed in part."""

    uri: str

    def child(self, name: str) -> str:
        """Return the URI of the object called `name`."""
        return f"{self.uri.rstrip('/')}/{name}"

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write a whole object, durably, in the place of an earlier one. Raises OSError."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a whole object, durably, unless one is there already: then change nothing and return False.

        In an object store one with the very same bytes counts as written now, for answers get lost: bytes that two may
        write do not tell who was the first.
        """

    @abstractmethod
    def get(self, name: str) -> bytes:
        """Return an object's bytes. Raises FileNotFoundError, OSError."""

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the bytes of many objects, in the order of the names. Raises FileNotFoundError, OSError."""
        return map(self.get, names)

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether the object is there."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Return the names of all objects below `folder`, sorted; an absent folder holds none."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open an object for seeking and reading. Raises FileNotFoundError, OSError."""

    @abstractmethod
    def writer(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Write a large object in a `with`: it appears, durably, when the block ends, and not at all if it raises."""

    @abstractmethod
    def delete(self, folder: str) -> None:
        """Delete an object, or all objects below a folder; absent ones are no error."""

    @abstractmethod
    def make(self) -> None:
        """Make the folder where the store has folders. Raises OSError."""

    def mark(self) -> None:
        """Mark the folder as a run's, so that no listing of a folder around it takes it for input. Raises OSError."""
        self.create(MARKER, MARKER_TEXT)

    @abstractmethod
    def prove(self) -> None:
        """See that `create` really leaves alone what is there, which a ledger rests on. Raises OSError if not."""


class LocalStore(Store):
    """A folder on this machine, or on a mounted volume."""

    def __init__(self, path: str) -> None:
        self.uri = self._root = os.path.abspath(path)

    def make(self) -> None:
        with beneath.in_folder(self._root, make=True):
            pass

    def prove(self) -> None:
        """Do nothing: a link is made once, on every file system that has links."""

    def put(self, name: str, data: bytes) -> None:
        with self.writer(name) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> bool:
        with self._target(name, make=True) as target:
            unfinished = _write_unfinished(target, data)
            try:
                os.link(unfinished, target)  # the one call that fails when the target is there
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
        """Have the path of an object to be written or deleted, in a folder that `make` makes if need be."""
        folder, last = os.path.split(self._path(name))
        with beneath.in_folder(folder, make=make) as path:
            yield os.path.join(path, last)

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name) if name else self._root


def _write_unfinished(target: str, data: bytes, *, sync: bool = True) -> str:
    """Write bytes beside a target, whose folder is there; return the path of the file."""
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
    """Keep an unreadable folder from passing for an empty one."""
    if not isinstance(error, FileNotFoundError):
        raise error
