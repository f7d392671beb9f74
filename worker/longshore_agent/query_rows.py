"""Bringing the rows of one slice of a query to this machine: blocking, and without a second try.

The user's process has neither the credentials nor a driver, so it is given a file: pickles, one behind the other, first
the names of the columns, then lists of rows, of plain values that Python 3.7 and its standard library know.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from longshore_protocol.job import TabularFormat
from longshore_protocol.slices import decoded
from longshore_storage.databases import Database, open_database

_CONNECTIONS = 2  # per worker: a database has few, and many workers ask it
_PROTOCOL = 4  # that of Python 3.7
_WAIT = 0.5  # seconds between looks at whether a query is still wanted
_PLAIN = frozenset((type(None), bool, int, float, str, bytes, Decimal, date, time, timedelta, UUID))

_turns = threading.BoundedSemaphore(_CONNECTIONS)


def fetch(piece: dict[str, Any], format: TabularFormat, target: str, *, check: Callable[[], None]) -> dict[str, Any]:
    """Write the rows of a slice of a query to the file `target`; return the slice that the host reads it by.

    `check` is called now and then; what it raises ends the copy. Raises DatabaseError, OSError.
    """
    from longshore_storage import queries  # late: few runs ask a database

    assert format.query is not None, "the planner lets no other pass"
    keys = piece["keys"] and [decoded(each) for each in piece["keys"]]
    statement = queries.part(format.query, format.split_by, keys)
    with _turn(check), _database(piece["path"], format.database).session() as connection:
        result = connection.execute(statement)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            pickle.dump(list(result.keys()), file, _PROTOCOL)
            for rows in result.partitions():
                check()
                pickle.dump([tuple(map(plain, row)) for row in rows], file, _PROTOCOL)
    return {**piece, "path": target, "copy_of": piece}


def plain(value: Any) -> Any:
    """Return a value as one of a type that every Python can read; times with an offset are those of UTC."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, datetime):  # its time zone may be of a kind that only this Python knows
        return value if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(plain, value))
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return str(value)


@contextmanager
def _turn(check: Callable[[], None]) -> Iterator[None]:
    while not _turns.acquire(timeout=_WAIT):
        check()
    try:
        check()
        yield
    finally:
        _turns.release()


@cache
def _database(url: str, name: str) -> Database:
    return open_database(url, name=name, connections=_CONNECTIONS)
