"""The inputs of a script step, as one path each that the script can open. Blocking."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from longshore_agent.fetching import base_name
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol.job import MOUNT, ScriptInput
from longshore_storage.listing import list_files
from longshore_storage.store import local_path

_AT_ONCE = 8  # files that come side by side
_MAGIC = re.compile(r"[*?[]")


def bring_input(given: ScriptInput, folder: str) -> str:
    """Return the local path of an input, whose files are brought into a folder where they are not in place.

    One file is that file, one folder that folder. Several URIs, and globs, are `folder`, with the names that the files
    have below what the URIs have in common; a mounted file that is on this machine is a link there.
    Raises ListingError, OSError, ValueError for a name that means two files, and what the store's library raises.
    """
    if len(given.uris) == 1 and given.mode == MOUNT:
        local = local_path(given.uris[0])
        if local is not None and os.path.exists(local):
            return local
    found = []
    for uri in given.uris:
        files = list(list_files(uri))
        if not files:
            raise FileNotFoundError(f"there are no files in {uri}")
        root = (local_path(uri) or uri).rstrip("/")
        if len(given.uris) == 1 and files == [root]:
            target = inside(folder, base_name(root))
            fetch_file_to(root, target)
            return target
        found.append((uri, files))
    targets = names_below(found)
    link = given.mode == MOUNT
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(lambda name: _bring(targets[name], inside(folder, name), link=link), targets):
            pass  # what went wrong is raised here
    return folder


def names_below(found: list[tuple[str, list[str]]]) -> dict[str, str]:
    """Return the files of several URIs by the names that they have below what the URIs have in common.

    Raises ValueError for a name that means two files.
    """
    bases = [_base((local_path(uri) or uri).rstrip("/"), files) for uri, files in found]
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*bases, strict=False)))
    targets: dict[str, str] = {}
    for file in (file for _, files in found for file in files):
        name = "/".join(_parts(file)[shared:])
        if targets.setdefault(name, file) != file:
            raise ValueError(f"{targets[name]} and {file} would have the same name {name}")
    return targets


def _bring(file: str, target: str, *, link: bool) -> None:
    local = local_path(file)
    if local is None or not link:
        fetch_file_to(file, target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(local, target)


def _base(root: str, files: list[str]) -> list[str]:
    """Return the parts of the folder that the files of one URI are named from."""
    if files == [root]:
        return _parts(root)[:-1]
    if all(file.startswith(root + "/") for file in files):
        return _parts(root)
    parts = _parts(root)  # a glob: up to its first part that is none of a path
    return parts[: next(number for number, part in enumerate(parts) if _MAGIC.search(part))]


def _parts(path: str) -> list[str]:
    """Return the parts of a path or URL, without the scheme and, over HTTP, the query."""
    scheme, _, rest = path.rpartition("://")
    if scheme in ("http", "https"):
        rest = f"{rest.rpartition('/')[0]}/{base_name(path)}"
    return [part for part in rest.split("/") if part]
