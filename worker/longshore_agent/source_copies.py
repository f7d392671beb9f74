"""A script's source as it is now: copied, with a digest of each of its files. Blocking."""

from __future__ import annotations

import hashlib
import os
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
DIGITS = 32  # of a digest, hexadecimal

_PART = 1 << 20  # bytes


class TooLargeError(ValueError):
    """The source has data in it; the message says what is to be done, and its subject is the source."""


@dataclass(frozen=True)
class SourceCopy:
    """What was copied."""

    files: dict[str, str]  # path below the folder -> digest
    git: dict[str, Any] | None = None  # what git says of a source that is a folder of this machine


def copy_source(uri: str, target: str, *, but: str = "") -> SourceCopy:
    """Copy the folder `uri`, or what is in the .zip `uri`, to a folder of any store, in the place of what is there.

    What ignore files name is left out, and what lies below the place `but`. Raises SourceError for what cannot be
    fetched, TooLargeError for what is more than code, ValueError, OSError, and what the store's library raises.
    """
    open_store(target).delete("")
    local, below = local_path(uri), _below(but, uri)
    if local is not None and not local.lower().endswith(".zip"):
        return SourceCopy(_copied(local, target, below), git_state(local))
    with TemporaryDirectory(prefix="longshore-source-") as folder:
        fetch_source(uri, folder)
        return SourceCopy(_copied(folder, target, below))


def _below(place: str, uri: str) -> str | None:
    """Return how the names begin of files of the folder `uri` that lie below a place; None where none do."""
    if not place:
        return None
    inner, root = (local_path(each) or each.rstrip("/") for each in (place, uri))
    return inner.removeprefix(f"{root}/") + "/" if inner.startswith(f"{root}/") else None


def _copied(source: str, target: str, but: str | None) -> dict[str, str]:
    """Copy the source files of a local folder; return their digests."""
    folder = local_path(target)
    if folder is not None:
        return _copied_here(source, folder, but)
    # Not from where it is: that may change meanwhile, and the digests are of what runs.
    with TemporaryDirectory(prefix="longshore-source-") as copy:
        files = _copied_here(source, copy, but)
        ship_folder(copy, open_store(target))
        return files


def _copied_here(source: str, folder: str, but: str | None) -> dict[str, str]:
    os.makedirs(folder, exist_ok=True)
    files, size = {}, 0
    for name in list(source_files(source)):  # all, before any is copied: the target may be inside of the source
        if but is not None and name.startswith(but):
            continue
        path = os.path.join(folder, name)
        size += file_size(os.path.join(source, name))
        if size > LARGEST:
            raise TooLargeError(f"holds more than {LARGEST >> 20} MB: name what is no code in a file .amlignore there")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        copy_local(os.path.join(source, name), path)
        files[name] = _digest(path)  # of the copy: it is what runs
    return files


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            found.update(part)
    return found.hexdigest()[:DIGITS]
