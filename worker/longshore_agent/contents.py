"""What inputs hold, without reading it: a digest that is another once a file is new, gone or changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from longshore_agent.source_copies import DIGITS
from longshore_storage.errors import AbsentError, StorageError
from longshore_storage.files import file_stamp
from longshore_storage.listing import Selection, list_files

_ABSENT: tuple[type[Exception], ...] = (AbsentError, FileNotFoundError)
_UNREADABLE: tuple[type[Exception], ...] = (OSError, StorageError, ValueError, ImportError)


def content_digest(places: Iterable[str], *, strict: bool) -> str:
    """Return a digest of all files that places mean: their names, with sizes and times or what their stores have.

    Run folders below a place do not count, as for a run that reads it. A place where nothing is counts by its name: its
    data may come later, or the step says what is wrong. So does one that cannot be read, unless it is `strict`: then it
    raises StorageError, OSError, and what the store's library does.
    """
    found, passed_over = hashlib.sha256(), _ABSENT if strict else _UNREADABLE
    for place in places:
        try:
            for path in list_files(place, Selection(runs=False)):
                found.update(_line(path, file_stamp(path)))
        except passed_over:
            found.update(_line(place, ""))
    return found.hexdigest()[:DIGITS]


def _line(path: str, stamp: str) -> bytes:
    return f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape")
