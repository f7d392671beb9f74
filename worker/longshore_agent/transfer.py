"""Copying a file, or a folder with all below, between stores. Blocking."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from longshore_agent.trees import inside
from longshore_storage.causes import cause_of, known_cause
from longshore_storage.errors import StorageError
from longshore_storage.files import open_file
from longshore_storage.listing import list_files
from longshore_storage.redaction import redacted
from longshore_storage.store import local_path, open_store

_PART = 1 << 20  # bytes


def transfer(source: str, destination: str, *, check: Callable[[], None]) -> int:
    """Copy what is at `source` to `destination`, and return the number of files.

    A file becomes the file `destination`, a folder the folder; what is there already under the same names is replaced.
    `check` is called before each file; what it raises ends the copy, and comes out. Raises FileNotFoundError,
    ListingError, OSError, ValueError for a glob and for a name that no folder of this machine can have, and what the
    stores' libraries raise.
    """
    root = (local_path(source) or source).rstrip("/")
    found = list(list_files(source))
    if not found:
        raise FileNotFoundError(f"there are no files in {source}")
    if found == [root]:
        folder, _, name = destination.rstrip("/").rpartition("/")
        targets = [name]
    elif any(not each.startswith(root + "/") for each in found):
        raise ValueError(f"{source} is neither a file nor a folder: a transfer takes no globs")
    else:
        folder = destination
        targets = [each.removeprefix(root + "/") for each in found]
    store, local = open_store(folder), local_path(folder)
    if local is not None:
        for name in targets:
            inside(local, name)  # else "a//b" would become "a/b", and "../b" a file elsewhere
    for path, name in zip(found, targets, strict=True):
        check()
        with open_file(path) as reading, store.writer(name) as writing:
            shutil.copyfileobj(reading, writing, _PART)
    return len(found)


def why_not(source: str, destination: str, error: Exception) -> str:
    """Return why a copy failed, in one sentence: each store's library raises its own."""
    if isinstance(error, (OSError, ValueError, StorageError)) and known_cause(source, error) is None:
        cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    else:
        cause = cause_of(source, error)
    return redacted(f"{source} cannot be copied to {destination}: {cause}")
