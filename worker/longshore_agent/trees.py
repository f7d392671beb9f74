"""Download a file or a whole folder of any store, for example a model or a script's source. Blocking."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from longshore_agent.fetching import Check, base_name
from longshore_agent.file_names import require_distinct
from longshore_storage.files import fetch_file
from longshore_storage.listing import list_files
from longshore_storage.retrying import with_retries
from longshore_storage.store import local_path

_AT_ONCE = 8  # parallel downloads


def fetch_file_to(uri: str, target: str, *, check: Check = lambda: None) -> None:
    """Copy one file of any store, or a local one, to the local path `target`, with retries.

    `check` is called between the parts of the copy; an exception cancels it.

    Raises:
        OSError: The file cannot be read or the copy cannot be written. Stores' libraries raise errors of their own.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with_retries(lambda: fetch_file(local_path(uri) or uri, target, check=check))


def fetch_tree(uri: str, folder: str) -> bool:
    """Copy a file, or all files below a folder, into the local `folder`; return whether `uri` is a folder.

    Files of the same names in `folder` are replaced; others stay.

    Raises:
        ListingError: `uri` does not exist or cannot be listed.
        ValueError: A file's name leads out of `folder`, or two names are one on its disk.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    root = (local_path(uri) or uri).rstrip("/")
    found = list(list_files(uri))
    if found == [root]:
        fetch_file_to(root, inside(folder, base_name(root)))
        return False
    if not found:
        raise FileNotFoundError(f'"{uri}" has no files')
    names = [each.removeprefix(root + "/") for each in found]
    require_distinct(folder, names)
    targets = [inside(folder, name) for name in names]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(fetch_file_to, found, targets):
            pass  # iterating raises the errors of the threads
    return True


def inside(folder: str, name: str) -> str:
    """Join a folder and a relative name; return the path. Raises ValueError for a name that leads out of the folder."""
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise ValueError(f"{name!r} is not a valid file name in a folder")
    return os.path.join(folder, *parts)
