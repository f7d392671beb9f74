"""Copy a script's source and compute a digest of each file. Blocking."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from longshore_agent.fetch_source import fetch_source
from longshore_agent.git_state import git_state
from longshore_agent.shipping import ship_folder
from longshore_storage.files import copy_local, file_size
from longshore_storage.source_files import source_files
from longshore_storage.store import local_path, open_store

LARGEST = 300 * 1024**2  # bytes of one source: a larger one contains data
LARGE = 100 * 1024**2  # bytes from which on a source probably contains data
DIGITS = 32  # of a digest, hexadecimal

_PART = 1 << 20  # bytes
_NAMED = 3  # the number of largest entries in messages
_MODULE = ".py"


class TooLargeError(ValueError):
    """The source contains data. The message is a predicate for the subject "source" and states the remedy."""


@dataclass(frozen=True)
class SourceCopy:
    """The files of a copied source."""

    files: dict[str, str]  # path below the folder -> digest
    sizes: Counter[str]  # bytes of each file and folder right below the source
    git: dict[str, Any] | None = None  # git state of a source that is a local folder


def largest_of(sizes: Counter[str]) -> str:
    """Return the largest files and folders of a source, as `data/ 120 MB, model.pkl 18 MB`."""
    return ", ".join(f"{name} {size / 1024**2:.0f} MB" for name, size in sizes.most_common(_NAMED))


def copy_source(uri: str, target: str, *, without: str = "", data: Collection[str] = ()) -> SourceCopy:
    """Copy a source folder or the contents of a .zip file to a folder of any store, replacing it; return its files.

    Files that ignore files exclude are left out.

    Args:
        uri: The source folder or .zip file.
        target: The folder of the copy.
        without: A location whose files are left out.
        data: Local folders that are read as data: only Python modules in them are copied.

    Raises:
        SourceError: The source cannot be fetched.
        TooLargeError: The source is too large to be code only.
        ValueError: An ignore file is not UTF-8 text.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    open_store(target).delete("")
    local, below = local_path(uri), _below(without, uri)
    if local is not None and not local.lower().endswith(".zip"):
        found = _Selected(local, below, data)
        return SourceCopy(_copy(found, target), found.sizes, git_state(local))
    with TemporaryDirectory(prefix="longshore-source-") as folder:
        fetch_source(uri, folder)
        found = _Selected(folder, below, ())
        return SourceCopy(_copy(found, target), found.sizes)


def _below(location: str, uri: str) -> str | None:
    """Return the name prefix of files of folder `uri` that are below `location`; None if it is not in the folder."""
    if not location:
        return None
    inner, root = (local_path(each) or each.rstrip("/") for each in (location, uri))
    return inner.removeprefix(f"{root}/") + "/" if inner.startswith(f"{root}/") else None


class _Selected:
    """The files of a local source folder to copy. All are listed first, because the target may be inside the folder."""

    def __init__(self, folder: str, without: str | None, data: Collection[str]) -> None:
        below = tuple(found for each in data if (found := _below(each, folder)) is not None)
        self.folder = folder
        self.names = [
            name
            for name in source_files(folder)
            if not (without is not None and name.startswith(without))
            and (name.endswith(_MODULE) or not name.startswith(below))
        ]
        self.sizes: Counter[str] = Counter()
        for name in self.names:
            first, slash, _ = name.partition("/")
            self.sizes[first + slash] += file_size(os.path.join(folder, name))
        if self.sizes.total() > LARGEST:
            text = f"is larger than {LARGEST >> 20} MB ({largest_of(self.sizes)})"
            raise TooLargeError(f"{text}; exclude data with a .amlignore file in it")


def _copy(source: _Selected, target: str) -> dict[str, str]:
    """Copy source files; return their digests."""
    folder = local_path(target)
    if folder is not None:
        return _copy_locally(source, folder)
    # Through a local copy: the source may change meanwhile, and the digests must match the uploaded files.
    with TemporaryDirectory(prefix="longshore-source-") as copy:
        files = _copy_locally(source, copy)
        ship_folder(copy, open_store(target))
        return files


def _copy_locally(source: _Selected, folder: str) -> dict[str, str]:
    os.makedirs(folder, exist_ok=True)
    files = {}
    for name in source.names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        copy_local(os.path.join(source.folder, name), path)
        files[name] = _digest(path)  # of the copy, because the copy runs
    return files


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            found.update(part)
    return found.hexdigest()[:DIGITS]
