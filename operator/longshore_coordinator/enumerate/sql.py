"""Where the rows of a query are cut: between values of a column, so that no two mini-batches have the same."""

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
    """Yield the `pieces` of a query of the database at `url`, which is asked again while it gives none.

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
    """Yield the slices of one query, each with its number of rows; those whose key is NULL are the last one.

    A mini-batch has `size` rows; fewer or up to twice as many where several rows have one key, and more only where one
    key alone has. A query that is not split is one mini-batch, whose rows nobody has counted. None for no rows.
    Raises DatabaseError, TypeError for keys of a type that cannot be written down, ImportError.
    """
    from longshore_storage import queries  # late: only this kind of input needs SQLAlchemy

    assert format.query is not None, "the planner lets no other pass"
    with database.session() as connection:
        if format.split_by is None:
            if connection.execute(queries.part(format.query, None, None)).first() is not None:
                yield None, {"path": url, "keys": None}
            return
        rows, with_key = connection.execute(queries.counts(format.query, format.split_by)).one()
        begin: tuple[Any, int] | None = None  # of the part in hand: its least key, and the number of its first row
        for key, first in connection.execute(queries.boundaries(format.query, format.split_by, rows=size.value)):
            here = coded(key)
            if begin is None:
                begin = None, first  # no bound: what is inserted before it meanwhile is read, too
            elif first != begin[1]:
                yield first - begin[1], {"path": url, "keys": [begin[0], here]}
                begin = here, first
        if begin is not None:
            yield with_key + 1 - begin[1], {"path": url, "keys": [begin[0], None]}
        if rows > with_key:
            yield rows - with_key, {"path": url, "keys": []}
