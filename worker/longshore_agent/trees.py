"""Bringing a file or a whole folder of any store to this machine: a model, the source of a script. Blocking."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from longshore_agent.fetching import base_name
from longshore_storage.files import fetch_file
from longshore_storage.listing import list_files
from longshore_storage.retrying import patiently
from longshore_storage.store import local_path

_AT_ONCE = 8  # files that come side by side


def fetch_file_to(uri: str, target: str) -> None:
    """Copy one file of any store, or of this machine, to the local path `target`; with patience.

    Raises OSError, and what the store's library raises.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    patiently(lambda: fetch_file(local_path(uri) or uri, target, check=lambda: None))


def fetch_tree(uri: str, folder: str) -> bool:
    """Copy the file `uri` into a folder, or all that is below the folder `uri`; tell whether it was a folder.

    What is in the folder already stays, or is replaced. Raises ListingError for what is not there, ValueError for a
    name that would lie outside the folder, OSError, and what the store's library raises.
    """
    root = (local_path(uri) or uri).rstrip("/")
    found = list(list_files(uri))
    if found == [root]:
        fetch_file_to(root, inside(folder, base_name(root)))
        return False
    if not found:
        raise FileNotFoundError(f"there are no files in {uri}")
    targets = [inside(folder, each.removeprefix(root + "/")) for each in found]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(fetch_file_to, found, targets):
            pass  # what went wrong is raised here
    return True


def inside(folder: str, name: str) -> str:
    """Return the path of a relative name in a folder. Raises ValueError for a name that leads out of it."""
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise ValueError(f"{name!r} is no name of a file below a folder")
    return os.path.join(folder, *parts)
