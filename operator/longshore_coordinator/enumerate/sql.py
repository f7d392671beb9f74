"""Cutting of a query's rows between values of a column, so that no two mini-batches share a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from tenacity import Retrying, stop_after_attempt

from longshore_protocol.job import MiniBatchSize, TabularFormat
from longshore_protocol.slices import coded
from longshore_storage.databases import Database, open_database
from longshore_storage.errors import DatabaseError
from longshore_storage.retrying import policy

_TRIES = 4


def patient_pieces(url: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Yield the `pieces` of a query of the database at `url`, retrying until the first one.

    Raises DatabaseError, TypeError.
    """
    begun = False

    def is_retried(error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and not (begun or error.is_final)

    for attempt in Retrying(**policy(is_retried, stop=stop_after_attempt(_TRIES))):
        with attempt, closing(open_database(url, name=format.database)) as database:
            for each in pieces(database, url, format, size):
                begun = True
                yield each


def pieces(
    database: Database, url: str, format: TabularFormat, size: MiniBatchSize
) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Yield the number of rows and the slice of each mini-batch of one query; rows with a NULL key are the last one.

    A mini-batch has `size` rows. If several rows share a key, it may have fewer or up to twice as many, and more only
    if all its rows share one key. A query that is not split is one mini-batch with an unknown number of rows (None). A
    query without rows has none.

    Raises:
        DatabaseError: the database failed.
        TypeError: the type of the keys is not supported.
        ImportError: a package is missing.
    """
    from longshore_storage import queries  # imported late: only this kind of input needs SQLAlchemy

    assert format.query is not None, "the planner validates it"
    with database.session() as connection:
        if format.split_by is None:
            if connection.execute(queries.part(format.query, None, None)).first() is not None:
                yield None, {"path": url, "keys": None}
            return
        rows, with_key = connection.execute(queries.counts(format.query, format.split_by)).one()
        begin: tuple[Any, int] | None = None  # least key and first row number of the current part
        for key, first in connection.execute(queries.boundaries(format.query, format.split_by, rows=size.value)):
            here = coded(key)
            if begin is None:
                begin = None, first  # without a lower bound, so that rows inserted meanwhile are read too
            elif first != begin[1]:
                yield first - begin[1], {"path": url, "keys": [begin[0], here]}
                begin = here, first
        if begin is not None:
            yield with_key + 1 - begin[1], {"path": url, "keys": [begin[0], None]}
        if rows > with_key:
            yield rows - with_key, {"path": url, "keys": []}
