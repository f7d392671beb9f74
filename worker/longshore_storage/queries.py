"""The statements that cut the rows of a query by one of its columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Executable, FromClause, Select


def counts(query: str, split_by: str) -> Select[int, int]:
    """Ask how many rows there are, and how many of them have a key."""
    count = sqlalchemy.func.count
    return sqlalchemy.select(count(), count(_key(split_by))).select_from(_rows(query))


def boundaries(query: str, split_by: str, *, rows: int) -> Select[Any]:
    """Ask for the key of every `rows`-th row, the first included, in order, and for the first row that has this key.

    Rows are counted from 1, by their keys, those without one left out.
    """
    key, rank = _key(split_by), sqlalchemy.func.rank
    number = sqlalchemy.func.row_number().over(order_by=key).label("longshore_number")
    columns = key.label("longshore_key"), rank().over(order_by=key).label("longshore_first"), number
    numbered = sqlalchemy.select(*columns).select_from(_rows(query)).where(key.is_not(None)).subquery("longshore_keys")
    found = numbered.c
    wanted = (found.longshore_number - 1) % rows == 0
    return sqlalchemy.select(found.longshore_key, found.longshore_first).where(wanted).order_by(found.longshore_number)


def part(query: str, split_by: str | None, keys: list[Any] | None) -> Executable:
    """Ask for the rows whose keys are from the first of `keys` to below the second, in the order of their keys.

    None is no bound; rows without a key are those of an empty list, and None instead of a list is all rows.
    """
    if keys is None or split_by is None:
        return _text(query)  # as it stands: it may do what no query inside another one may
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
    return sqlalchemy.literal(key, sqlalchemy.types.NullType())  # as the driver sends it: a cast could change it


def _rows(query: str) -> FromClause:
    return _text(query).columns().subquery("longshore_rows")


def _text(query: str) -> sqlalchemy.TextClause:
    """Return a query in which nothing is a parameter, and that may end with a comment."""
    return sqlalchemy.text(query.strip().rstrip("; \t\r\n").replace(":", r"\:") + "\n")
