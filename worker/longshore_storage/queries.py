"""SQL statements that split the rows of a query by one of its columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Executable, FromClause, Select


def counts(query: str, split_by: str) -> Select[int, int]:
    """Return a statement for the number of rows, and of rows with a non-NULL key."""
    count = sqlalchemy.func.count
    return sqlalchemy.select(count(), count(_key(split_by))).select_from(_rows(query))


def boundaries(query: str, split_by: str, *, rows: int) -> Select[Any]:
    """Return a statement for the key of every `rows`-th row, beginning with the first, in key order.

    Each row of the result also has the number of the first row with this key. Rows with a non-NULL key are numbered
    from 1 in key order.
    """
    key, rank = _key(split_by), sqlalchemy.func.rank
    number = sqlalchemy.func.row_number().over(order_by=key).label("longshore_number")
    columns = key.label("longshore_key"), rank().over(order_by=key).label("longshore_first"), number
    numbered = sqlalchemy.select(*columns).select_from(_rows(query)).where(key.is_not(None)).subquery("longshore_keys")
    found = numbered.c
    wanted = (found.longshore_number - 1) % rows == 0
    return sqlalchemy.select(found.longshore_key, found.longshore_first).where(wanted).order_by(found.longshore_number)


def part(query: str, split_by: str | None, keys: list[Any] | None) -> Executable:
    """Return a statement for the rows of one slice.

    Args:
        query: The user's SELECT statement.
        split_by: The split column; None for the whole query.
        keys: [low, high] selects low <= key < high in key order; None is no bound. [] selects rows whose key is NULL.
            None instead of a list selects all rows.
    """
    if keys is None or split_by is None:
        return _text(query)  # unchanged: not every statement is valid as a subquery
    key = _key(split_by)
    rows = sqlalchemy.select(sqlalchemy.text("*")).select_from(_rows(query))
    if not keys:
        return rows.where(key.is_(None))
    low, high = keys
    if low is not None:
        rows = rows.where(key >= _bound(low))
    if high is not None:
        rows = rows.where(key < _bound(high))
    return rows.where(key.is_not(None)).order_by(key)


def _key(split_by: str) -> ColumnElement[Any]:
    return sqlalchemy.column(split_by)


def _bound(key: Any) -> ColumnElement[Any]:
    return sqlalchemy.literal(key, sqlalchemy.types.NullType())  # without a cast, which could change the value


def _rows(query: str) -> FromClause:
    return _text(query).columns().subquery("longshore_rows")


def _text(query: str) -> sqlalchemy.TextClause:
    """Return the user's query with colons escaped, so that none is a parameter; it may end with a comment."""
    return sqlalchemy.text(query.strip().rstrip("; \t\r\n").replace(":", r"\:") + "\n")
