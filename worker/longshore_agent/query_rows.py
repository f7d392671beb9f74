"""Download the rows of one slice of a query to a local file. Blocking, without retries.

The user's process has neither credentials nor a database driver, so the agent writes the rows to a file: consecutive
pickles, first the column names, then lists of rows. Values have types of the standard library of Python 3.7.
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

_CONNECTIONS = 2  # per worker: databases allow few connections, and many workers share them
_PROTOCOL = 4  # the newest pickle protocol of Python 3.7
_WAIT = 0.5  # seconds between two checks whether a waiting query was cancelled
_PLAIN = frozenset((type(None), bool, int, float, str, bytes, Decimal, date, time, timedelta, UUID))

_turns = threading.BoundedSemaphore(_CONNECTIONS)


def fetch(piece: dict[str, Any], format: TabularFormat, target: str, *, check: Callable[[], None]) -> dict[str, Any]:
    """Write the rows of a slice of a query to the file `target`; return the slice that reads it.

    Args:
        piece: The slice: "path" is the database's URL, "keys" the range of the split column.
        format: The format of the input, with its query.
        target: The path of the file; its folder is created.
        check: Called between batches of rows; an exception cancels the query.

    Raises:
        DatabaseError: The database cannot be reached or rejects the query.
        OSError: The file cannot be written.
    """
    from longshore_storage import queries  # late: few runs read from a database

    assert format.query is not None, "the planner requires a query"
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
    """Return a value as a type that every Python can unpickle; times with an offset are converted to UTC."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, datetime):  # its time zone class may be missing in the script's Python
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
