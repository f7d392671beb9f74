"""Digests of the files at some locations, which change when a file is added, removed or changed.

By default, digests are computed from stamps (size and modification time, or etag), which listings contain. Files are
read only if digests of their contents are requested and their store keeps none.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from longshore_storage.causes import cause_of
from longshore_storage.errors import AbsentError, StorageError
from longshore_storage.files import open_file
from longshore_storage.folders import Stamp
from longshore_storage.listing import Selection, list_stamped
from longshore_storage.redaction import unsigned
from longshore_storage.store import local_path

STAMPS, DIGESTS = "stamps", "digests"

MOST_FILES = 1_000_000  # of one input: listing more would delay the start of the run
MOST_NAMED = 1000  # the most files with digests of their own, which name the changed file

_DIGITS, _DIGITS_OF_FILE = 32, 8  # hexadecimal
_PART = 1 << 20  # bytes
_GLOB = re.compile(r"[*?[]")
_UNREADABLE = (OSError, StorageError, ValueError, ImportError)


@dataclass(frozen=True)
class Contents:
    """The contents of some locations at one time."""

    digest: str  # of all files; random if `unknown` is set
    count: int = 0  # files
    files: dict[str, str] = field(default_factory=dict)  # name -> short digest; {} for more than MOST_NAMED
    unknown: str = ""  # why the contents cannot be compared


def contents_of(locations: Iterable[str], *, by: str = STAMPS, most: int = MOST_FILES) -> Contents:
    """Return the contents of all files at the locations. Blocking; never raises errors of storage.

    Run folders are skipped, as by a run that reads the location. A location that does not exist is part of the digest.
    The contents are unknown if a location cannot be read, if its store reports only sizes, or if there are too many
    files.

    Args:
        locations: Files, folders, globs or URLs.
        by: STAMPS or DIGESTS.
        most: The most files to list.
    """
    locations = list(locations)
    total, count, files = hashlib.sha256(), 0, dict[str, str]()
    try:
        for location in locations:
            root = _root(location) if len(locations) == 1 else ""
            for path, stamp in _stamped(location):
                count += 1
                if count > most:
                    return _unknown(f"there are more than {most:,}, the most that can be compared")
                line = _line(path, stamp, by)
                total.update(line)
                if count <= MOST_NAMED:
                    files[_name(path, root)] = hashlib.sha256(line).hexdigest()[:_DIGITS_OF_FILE]
    except _UNREADABLE as error:
        return _unknown(" ".join(str(error).split()).rstrip("."))
    return Contents(total.hexdigest()[:_DIGITS], count, files if count <= MOST_NAMED else {})


def _unknown(why: str) -> Contents:
    return Contents(secrets.token_hex(_DIGITS // 2), unknown=why)


def _name(path: str, root: str) -> str:
    """Return the name of a file relative to its location, without the query of a URL, which may contain secrets."""
    name = path.removeprefix(root) if path.startswith(root) else path.rpartition("/")[2]
    return name.partition("?")[0] if path.startswith(("http://", "https://")) else name


class _NoStampError(StorageError):
    """A store reports nothing of a file but its size."""


def _stamped(location: str) -> Iterator[tuple[str, Stamp | None]]:
    try:
        yield from list_stamped(location, Selection(runs=False))
    except AbsentError:
        yield location, None  # the data may arrive later; otherwise the step reports the error


def _line(path: str, stamp: Stamp | None, by: str) -> bytes:
    text: str | None = "" if stamp is None else stamp.text
    if by == DIGESTS and stamp is not None:
        text = f"md5 {stamp.digest.md5}" if stamp.digest is not None else _digest(path)
    if text is None:
        raise _NoStampError(f'the store has neither an etag nor a modification time of "{path}"')
    return f"{unsigned(path)}\0{text}\n".encode("utf-8", "surrogateescape")


def _digest(path: str) -> str:
    found = hashlib.sha256()
    try:
        with open_file(path) as file:
            while part := file.read(_PART):
                found.update(part)
    except OSError:
        raise
    except Exception as error:  # each store's library raises its own
        raise StorageError(f'The file "{path}" cannot be read: {cause_of(path, error)}.') from error
    return found.hexdigest()


def _root(location: str) -> str:
    """Return the folder prefix that the paths of all files of a location have in common."""
    path = local_path(location) or location
    magic = _GLOB.search(path)
    return path[: magic.start()].rpartition("/")[0] + "/" if magic else path.rstrip("/") + "/"
