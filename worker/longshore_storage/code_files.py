"""Digests of the code that a run uses in place, to detect changes when the run is resumed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from longshore_storage.source_files import IGNORE_FILES, source_files
from longshore_storage.store import local_path

ALL_FILES = "./"  # the key for the combined digest of more than MOST_FILES files
MOST_FILES = 1000
DIGITS = 32  # of a digest, hexadecimal

_MOST_SEEN = 20_000  # files of a folder: a source with more of them has data in it
_LARGE = 8 << 20  # bytes from which on a file counts by size and time: so large, it is data
_MOST_READ = 256 << 20  # bytes: files behind these count by size and time, too
_GLOB = re.compile(r"[*?[]")


def code_digests(
    folder: str,
    entry: str,
    *,
    data: Iterable[str],
    left_out: Collection[str] = (),
    open_files: Collection[tuple[int, int]] = (),
) -> dict[str, str]:
    """Return the digest of each code file of a source folder, by its relative path. Blocking.

    If the folder itself is a location of data, only Python files and the script `entry` are code.

    Args:
        folder: The source folder.
        entry: The relative path of the entry script.
        data: Locations of the run's inputs, models and outputs, whose files are not code.
        left_out: Absolute paths of further files that are not code.
        open_files: Device and inode of files that the caller writes, which are not code.

    Raises:
        OSError: A file cannot be read.
    """
    below, is_mixed = _data_below(os.path.abspath(folder), data)
    found, left = {}, _MOST_READ
    for name in _names(folder, entry):
        path = os.path.join(os.path.abspath(folder), name)
        is_script = name == entry or name.endswith(".py")
        if path in left_out or (not is_script and (is_mixed or any(path.startswith(each) for each in below))):
            continue
        if open_files and _identity(path) in open_files:
            continue
        found[name], read = file_digest(path, most=min(left, _LARGE))
        left -= read
    return bounded(found, entry)


def bounded(files: Mapping[str, str], entry: str) -> dict[str, str]:
    """Return the digests; for more than MOST_FILES, that of `entry` and a combined one for all files."""
    if len(files) <= MOST_FILES:
        return dict(files)
    return {
        **{name: digest for name, digest in files.items() if name == entry},
        ALL_FILES: combined_digest(files)[:DIGITS],
    }


def combined_digest(files: Mapping[str, str]) -> str:
    """Return one SHA-256 digest for the digests of files by name; "" for none."""
    text = "\n".join(f"{name}\0{digest}" for name, digest in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() if files else ""


def file_digest(path: str, *, most: int = _LARGE) -> tuple[str, int]:
    """Return the digest of a file and the number of bytes read. Raises OSError.

    For a file of `most` bytes or more, size and modification time replace the digest.
    """
    status = os.stat(path)
    if status.st_size >= most:
        return f"{status.st_size} {status.st_mtime_ns}", 0
    with open(path, "rb") as file:
        content = file.read()
    return hashlib.sha256(content).hexdigest()[:DIGITS], len(content)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _names(folder: str, entry: str) -> Iterator[str]:
    yield entry
    try:
        for name in islice(source_files(folder), _MOST_SEEN):
            if name != entry and name not in IGNORE_FILES:
                yield name
    except ValueError:  # an ignore file that is not text
        return


def _data_below(folder: str, locations: Iterable[str]) -> tuple[list[str], bool]:
    """Return the data locations inside a folder, and whether the folder or one of its parents is such a location."""
    below, is_mixed = [], False
    for location in locations:
        local = local_path(location)
        if local is None:
            continue
        magic = None if os.path.exists(local) else _GLOB.search(local)
        root = local.rstrip("/") if magic is None else local[: magic.start()].rpartition("/")[0]
        if f"{folder}/".startswith(f"{root}/"):
            is_mixed = True
        elif root.startswith(f"{folder}/"):
            below.append(root if os.path.isfile(root) else f"{root}/")
    return below, is_mixed
