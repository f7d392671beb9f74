"""A script's source as it is now: copied, with a digest of each of its files. Blocking."""

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

LARGEST = 300 * 1024**2  # bytes of one source: what is larger has data in it
LARGE = 100 * 1024**2  # bytes from which on it probably has
DIGITS = 32  # of a digest, hexadecimal

_PART = 1 << 20  # bytes
_NAMED = 3  # of the largest entries
_MODULE = ".py"


class TooLargeError(ValueError):
    """The source has data in it; the message says what is to be done, and its subject is the source."""


@dataclass(frozen=True)
class SourceCopy:
    """What was copied."""

    files: dict[str, str]  # path below the folder -> digest
    sizes: Counter[str]  # bytes of each file and folder right below the source
    git: dict[str, Any] | None = None  # what git says of a source that is a folder of this machine


def largest_of(sizes: Counter[str]) -> str:
    """Return the largest files and folders of a source, as `data/ 120 MB, model.pkl 18 MB`."""
    return ", ".join(f"{name} {size / 1024**2:.0f} MB" for name, size in sizes.most_common(_NAMED))


def copy_source(uri: str, target: str, *, but: str = "", data: Collection[str] = ()) -> SourceCopy:
    """Copy the folder `uri`, or what is in the .zip `uri`, to a folder of any store, in the place of what is there.

    What ignore files name is left out, and what lies below the place `but`. Of local folders below `data`, which are
    read as data, only Python's modules are copied. Raises SourceError for what cannot be
    fetched, TooLargeError for what is more than code, ValueError, OSError, and what the store's library raises.
    """
    open_store(target).delete("")
    local, below = local_path(uri), _below(but, uri)
    if local is not None and not local.lower().endswith(".zip"):
        found = _Selected(local, below, data)
        return SourceCopy(_copied(found, target), found.sizes, git_state(local))
    with TemporaryDirectory(prefix="longshore-source-") as folder:
        fetch_source(uri, folder)
        found = _Selected(folder, below, ())
        return SourceCopy(_copied(found, target), found.sizes)


def _below(place: str, uri: str) -> str | None:
    """Return how the names begin of files of the folder `uri` that lie below a place; None where none do."""
    if not place:
        return None
    inner, root = (local_path(each) or each.rstrip("/") for each in (place, uri))
    return inner.removeprefix(f"{root}/") + "/" if inner.startswith(f"{root}/") else None


class _Selected:
    """The files of a local source folder that are copied. All are listed first: the target may be inside of it."""

    def __init__(self, folder: str, but: str | None, data: Collection[str]) -> None:
        below = tuple(found for each in data if (found := _below(each, folder)) is not None)
        self.folder = folder
        self.names = [
            name
            for name in source_files(folder)
            if not (but is not None and name.startswith(but)) and (name.endswith(_MODULE) or not name.startswith(below))
        ]
        self.sizes: Counter[str] = Counter()
        for name in self.names:
            first, slash, _ = name.partition("/")
            self.sizes[first + slash] += file_size(os.path.join(folder, name))
        if self.sizes.total() > LARGEST:
            text = f"holds more than {LARGEST >> 20} MB ({largest_of(self.sizes)})"
            raise TooLargeError(f"{text}: name what is no code in a file .amlignore there")


def _copied(source: _Selected, target: str) -> dict[str, str]:
    """Copy source files; return their digests."""
    folder = local_path(target)
    if folder is not None:
        return _copied_here(source, folder)
    # Not from where it is: that may change meanwhile, and the digests are of what runs.
    with TemporaryDirectory(prefix="longshore-source-") as copy:
        files = _copied_here(source, copy)
        ship_folder(copy, open_store(target))
        return files


def _copied_here(source: _Selected, folder: str) -> dict[str, str]:
    os.makedirs(folder, exist_ok=True)
    files = {}
    for name in source.names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        copy_local(os.path.join(source.folder, name), path)
        files[name] = _digest(path)  # of the copy: it is what runs
    return files


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            found.update(part)
    return found.hexdigest()[:DIGITS]
