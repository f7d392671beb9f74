"""The values of key columns, row by row, as runs of rows that have the same ones.

A run is (values of the columns, row group or -1, first, last + 1): rows within a row group of a Parquet file, or bytes
of whole records of a csv or jsonl file.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from longshore_protocol import records
from longshore_protocol.job import TabularFormat
from longshore_storage.files import open_file

Run = tuple[tuple[Any, ...], int, int, int]

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Text(str):
    """A value of a csv file, whose type all values of its column tell together."""

    __slots__ = ()


def of_text(path: str, format: TabularFormat, columns: tuple[str, ...]) -> Iterator[Run]:
    """Yield the runs of a csv or jsonl file. Raises OSError, ValueError for what has no such keys."""
    if not records.is_splittable(format):
        raise ValueError(
            f"rows in {format.encoding} cannot be told apart by partitionKeys: it must be UTF-8 or like ASCII"
        )
    with open_file(path) as file:
        header = records.header_line(file, format) if format.format == "csv" else b""
        start = len(header) if records.has_header(format) else 0
        read = _csv_reader(header, format, columns) if format.format == "csv" else _line_reader(format, columns)
        values: tuple[Any, ...] | None = None
        first = start
        for end, is_blank, record in records.each_record(file, format, start=start):
            if not is_blank:
                try:
                    found = read(record)
                except (ValueError, TypeError, csv.Error) as error:
                    raise ValueError(f"the record at byte {start} has no keys: {error}") from error
                if found != values:
                    if values is not None:
                        yield values, -1, first, start
                    values, first = found, start
            start = end
        if values is not None:
            yield values, -1, first, start


def of_parquet(path: str, _: TabularFormat, columns: tuple[str, ...]) -> Iterator[Run]:
    """Yield the runs of a Parquet file, of which key columns only are read. Raises OSError, and what pyarrow raises."""
    from pyarrow import parquet  # late: only this kind of input needs it

    with open_file(path, read_ahead=False) as opened:
        file = parquet.ParquetFile(opened)
        _check_columns(columns, file.schema_arrow.names)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(columns))
            rows = zip(*(_plain(table.column(name).to_pylist()) for name in columns), strict=True)
            values: tuple[Any, ...] | None = None
            first = number = 0
            for number, found in enumerate(rows):
                if found != values:
                    if values is not None:
                        yield values, group, first, number
                    values, first = found, number
            if values is not None:
                yield values, group, first, number + 1


def typed(values: Iterable[Any], kind: str | None) -> Callable[[Any], Any]:
    """Return what makes values of a csv column what they mean; other values stay as they are.

    `kind` is the column's type as pandas calls it; without one it is a whole number, or a number, where all values are.
    """
    texts = [value for value in values if isinstance(value, Text)]
    convert: Callable[[str], Any] = str
    if kind is not None:
        name = kind.lower()
        if name.startswith(("int", "uint")):
            convert = int
        elif name.startswith("float"):
            convert = float
        elif name.startswith("bool"):
            convert = _boolean
        elif name.startswith("datetime"):
            convert = datetime.fromisoformat
    elif texts and all(map(_INTEGER.fullmatch, texts)):
        convert = int
    elif texts and all(map(_FLOAT.fullmatch, texts)):
        convert = float
    return lambda value: convert(value) if isinstance(value, Text) else value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _csv_reader(
    first: bytes, format: TabularFormat, columns: tuple[str, ...]
) -> Callable[[bytes], tuple[Text | None, ...]]:
    """Return what finds the columns in a record; `first` is the file's first one."""

    def fields(record: bytes) -> list[str]:
        text = record.decode(format.encoding).rstrip("\r\n")
        if '"' not in text:
            return text.split(format.separator)
        return next(csv.reader([text], delimiter=format.separator))

    if not first:
        return lambda _: ()
    there = fields(records.without_mark(first).lstrip(b"\r\n"))
    names = there if format.header else [f"Column{number}" for number in range(1, len(there) + 1)]
    _check_columns(columns, names)
    places = [names.index(each) for each in columns]

    def read(record: bytes) -> tuple[Text | None, ...]:
        found = fields(record)
        return tuple(Text(found[place]) if place < len(found) and found[place] else None for place in places)

    return read


def _line_reader(format: TabularFormat, columns: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    def read(record: bytes) -> tuple[Any, ...]:
        row = json.loads(record.decode(format.encoding))
        if not isinstance(row, dict):
            raise TypeError("it is no JSON object")
        values = tuple(map(row.get, columns))
        for name, value in zip(columns, values, strict=True):
            if isinstance(value, dict | list):
                raise TypeError(f'"{name}" is no single value')
        return values

    return read


def _check_columns(columns: tuple[str, ...], there: list[str]) -> None:
    for name in columns:
        if name not in there:
            raise ValueError(f'it has no column "{name}", which is one of the partitionKeys; it has {", ".join(there)}')


def _plain(values: list[Any]) -> Iterator[Any]:
    """Yield values that equal themselves: nan does not."""
    return (value if value == value else None for value in values)  # noqa: PLR0124
