"""Values of key columns, as runs of consecutive rows with equal values.

A run is (values of the columns, row group or -1, first, last + 1). The bounds are rows within a row group of a Parquet
file, or bytes of whole records of a csv or jsonl file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from longshore_coordinator.enumerate.key_types import Boolean, Text
from longshore_protocol import cells, compression, records
from longshore_protocol.job import TabularFormat
from longshore_storage.files import open_file

_PLAIN = frozenset((str, int, type(None)))  # types of most values, which are keys without conversion

Run = tuple[tuple[Any, ...], int, int, int]


def of_text(path: str, format: TabularFormat, columns: tuple[str, ...]) -> Iterator[Run]:
    """Yield the runs of a csv or jsonl file. Raises OSError, ValueError for a file without such keys."""
    if not records.is_splittable(format):
        raise ValueError(
            f"partitionKeys are not supported for rows in {format.encoding}; use UTF-8 or another superset of ASCII"
        )
    with open_file(path) as file:
        method = compression.method_of(file.read(compression.HEAD))
        if method:
            raise ValueError(f"partitionKeys are not supported for files compressed with {method}; decompress it")
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
    """Yield the runs of a Parquet file, reading only key columns. Raises OSError, and pyarrow's exceptions."""
    from pyarrow import parquet  # imported late: only this kind of input needs it

    with open_file(path, read_ahead=False) as opened:
        file = parquet.ParquetFile(opened)
        _check_columns(columns, file.schema_arrow.names)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(columns))
            rows = zip(*(_keys(name, table.column(name).to_pylist()) for name in columns), strict=True)
            values: tuple[Any, ...] | None = None
            first = number = 0
            for number, found in enumerate(rows):
                if found != values:
                    if values is not None:
                        yield values, group, first, number
                    values, first = found, number
            if values is not None:
                yield values, group, first, number + 1


def _csv_reader(
    first: bytes, format: TabularFormat, columns: tuple[str, ...]
) -> Callable[[bytes], tuple[Text | None, ...]]:
    """Return a function that extracts the columns of a record; `first` is the file's first record."""
    is_missing = cells.missing(format)

    def fields(record: bytes) -> list[str]:
        if b'"' in record or b"\r" in record or format.escape:
            fault = records.find_fault(record, format)
            if fault is not None:
                raise ValueError(f"it {fault[1]}")
        return records.split_record(records.mark_nulls(record, format).decode(format.encoding).rstrip("\r\n"), format)

    if not first:
        return lambda _: ()
    lines = records.each_record(io.BytesIO(first), format)
    there = fields(next(record for _, is_blank, record in lines if not is_blank))
    names = there if format.header else format.names or [f"Column{number}" for number in range(1, len(there) + 1)]
    _check_columns(columns, names)
    places = [names.index(each) for each in columns]

    def read(record: bytes) -> tuple[Text | None, ...]:
        found = fields(record)
        texts = [found[place] if place < len(found) else "" for place in places]
        return tuple(None if is_missing(text) else Text(text) for text in texts)

    return read


def _line_reader(format: TabularFormat, columns: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    def read(record: bytes) -> tuple[Any, ...]:
        row = json.loads(record.decode(format.encoding))
        if not isinstance(row, dict):
            raise TypeError("it is not a JSON object")
        return tuple(_key(name, row.get(name)) for name in columns)

    return read


def _check_columns(columns: tuple[str, ...], there: list[str]) -> None:
    for name in columns:
        if name not in there:
            raise ValueError(f'it has no column "{name}" of the partitionKeys; its columns are {", ".join(there)}')


def _keys(name: str, values: list[Any]) -> Iterator[Any]:
    """Yield the values of a column as keys. Raises TypeError, ValueError."""
    return (value if type(value) in _PLAIN else _key(name, value) for value in values)


def _key(name: str, value: Any) -> Any:
    """Return a value as a key, which equals only equal values. Raises TypeError, ValueError for unsupported values."""
    if isinstance(value, dict | list):
        raise TypeError(f'"{name}" is a list or an object; a key must be a single value')
    if isinstance(value, bool):
        return Boolean(value)
    if getattr(value, "nanosecond", 0):
        raise ValueError(f'"{name}" is {value}; times with nanoseconds are not supported as keys')
    return value if value == value else None  # noqa: PLR0124  (nan differs from itself)
