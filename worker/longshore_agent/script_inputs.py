"""Stage the inputs of a script step: each becomes one local path. Blocking."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from longshore_agent.fetching import base_name
from longshore_agent.file_names import require_distinct
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol.job import MOUNT, ScriptInput
from longshore_storage.listing import list_files
from longshore_storage.store import local_path

_AT_ONCE = 8  # parallel downloads
_MAGIC = re.compile(r"[*?[]")


def stage_input(given: ScriptInput, folder: str) -> str:
    """Stage an input and return its local path; files that are not local are downloaded into `folder`.

    A URI of one local file or folder is returned as it is, unless the mode is download. Several URIs and globs become
    `folder`, in which each file has its path relative to the URIs' common parent. Mounted local files are symbolic
    links there.

    Raises:
        ListingError: A URI does not exist or cannot be listed.
        ValueError: Two files would have the same path.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    if len(given.uris) == 1 and given.mode == MOUNT:
        local = local_path(given.uris[0])
        if local is not None and os.path.exists(local):
            return local
    found = []
    for uri in given.uris:
        files = list(list_files(uri))
        if not files:
            raise FileNotFoundError(f'"{uri}" has no files')
        root = (local_path(uri) or uri).rstrip("/")
        if len(given.uris) == 1 and files == [root]:
            target = inside(folder, base_name(root))
            fetch_file_to(root, target)
            return target
        found.append((uri, files))
    targets = names_below(found)
    require_distinct(folder, targets)
    link = given.mode == MOUNT
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(lambda name: _stage_file(targets[name], inside(folder, name), link=link), targets):
            pass  # iterating raises the errors of the threads
    return folder


def names_below(found: list[tuple[str, list[str]]]) -> dict[str, str]:
    """Return the files of several URIs by their paths relative to the URIs' common parent.

    Args:
        found: The URIs, each with its files.

    Raises:
        ValueError: Two files would have the same path.
    """
    bases = [_base((local_path(uri) or uri).rstrip("/"), files) for uri, files in found]
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*bases, strict=False)))
    targets: dict[str, str] = {}
    for file in (file for _, files in found for file in files):
        name = "/".join(_parts(file)[shared:])
        if targets.setdefault(name, file) != file:
            raise ValueError(f'"{targets[name]}" and "{file}" would have the same name "{name}"')
    return targets


def _stage_file(file: str, target: str, *, link: bool) -> None:
    local = local_path(file)
    if local is None or not link:
        fetch_file_to(file, target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(local, target)


def _base(root: str, files: list[str]) -> list[str]:
    """Return the parts of the folder that the files of one URI are relative to."""
    if files == [root]:
        return _parts(root)[:-1]
    if all(file.startswith(root + "/") for file in files):
        return _parts(root)
    parts = _parts(root)  # a glob: its parts before the first one with a wildcard
    return parts[: next(number for number, part in enumerate(parts) if _MAGIC.search(part))]


def _parts(path: str) -> list[str]:
    """Return the parts of a path or URL without the scheme, for HTTP also without the query."""
    scheme, _, rest = path.rpartition("://")
    if scheme in ("http", "https"):
        rest = f"{rest.rpartition('/')[0]}/{base_name(path)}"
    return [part for part in rest.split("/") if part]
