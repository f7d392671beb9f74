"""The statements that cut the rows of a query by one of its columns, and the keys between the parts, as JSON.

A part is what "keys" of its slice says: null for all rows, [] for those whose key is NULL, or [low, high] for those
with low <= key < high, null being no bound. So each row is in one part, whatever was written since the parts were cut,
and however exactly a driver gives a key back: parts that meet are cut by one and the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy
from sqlalchemy import ColumnElement, Executable, FromClause, Select

WHOLE: Final = None
NULLS: Final[list[Any]] = []

_WRITTEN: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    float: ("float", float.hex),
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    UUID: ("uuid", str),
    bytes: ("bytes", bytes.hex),
}
_READ: Mapping[str, Callable[[str], Any]] = {
    "float": float.fromhex,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
}


def encode_key(key: Any) -> Any:
    """Return a key as a JSON value that `decode_key` reads back exactly. Raises TypeError for a type that has none."""
    if isinstance(key, str | int):  # a bool among them
        return key
    if isinstance(key, memoryview | bytearray):
        key = bytes(key)
    if type(key) not in _WRITTEN:
        raise TypeError(f"its values are of type {type(key).__name__}, by which rows cannot be cut")
    kind, written = _WRITTEN[type(key)]
    return {kind: written(key)}


def decode_key(value: Any) -> Any:
    """Return the key that `encode_key` wrote. Raises ValueError, KeyError for anything else."""
    if isinstance(value, dict):
        ((kind, text),) = value.items()
        return _READ[kind](text)
    return value


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
    """Ask for the rows of one part, in the order of their keys."""
    if keys is None or split_by is None:
        return _text(query)  # as it stands: it may do what no query inside another one may
    key = _key(split_by)
    rows = sqlalchemy.select(sqlalchemy.text("*")).select_from(_rows(query))
    if not keys:
        return rows.where(key.is_(None))
    low, high = (None if each is None else _bound(decode_key(each)) for each in keys)
    if low is not None:
        rows = rows.where(key >= low)
    if high is not None:
        rows = rows.where(key < high)
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
