"""Copy a file or a folder between stores. Blocking."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from longshore_agent.trees import inside
from longshore_protocol.redaction import redacted
from longshore_storage.causes import cause_of, known_cause
from longshore_storage.errors import StorageError
from longshore_storage.files import open_file
from longshore_storage.listing import list_files
from longshore_storage.store import local_path, open_store

_PART = 1 << 20  # bytes


def transfer(source: str, destination: str, *, check: Callable[[], None]) -> int:
    """Copy the file or folder `source` to `destination`; return the number of files.

    Files of the same names at the destination are replaced; others stay.

    Args:
        source: URI of a file or folder.
        destination: URI of the copy.
        check: Called before each file; an exception cancels the copy.

    Raises:
        FileNotFoundError: The source contains no files.
        ListingError: The source cannot be listed.
        ValueError: The source is a glob, or a file's name is not valid in a local folder.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    root = (local_path(source) or source).rstrip("/")
    found = list(list_files(source))
    if not found:
        raise FileNotFoundError(f'"{source}" has no files')
    if found == [root]:
        folder, _, name = destination.rstrip("/").rpartition("/")
        targets = [name]
    elif any(not each.startswith(root + "/") for each in found):
        raise ValueError(f'"{source}" is neither a file nor a folder; a transfer does not support globs')
    else:
        folder = destination
        targets = [each.removeprefix(root + "/") for each in found]
    store, local = open_store(folder), local_path(folder)
    if local is not None:
        for name in targets:
            inside(local, name)  # raises for names such as "a//b", which would become "a/b", and "../b"
    for path, name in zip(found, targets, strict=True):
        check()
        with open_file(path) as reading, store.writer(name) as writing:
            shutil.copyfileobj(reading, writing, _PART)
    return len(found)


def error_message(source: str, destination: str, error: Exception) -> str:
    """Return a sentence that states why a copy failed; `error` may come from any store's library."""
    if isinstance(error, (OSError, ValueError, StorageError)) and known_cause(source, error) is None:
        cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    else:
        cause = cause_of(source, error)
    return redacted(f'"{source}" cannot be copied to "{destination}": {cause}')
