"""Cutting of Parquet files between row groups, and within row groups that are larger than a mini-batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from longshore_coordinator.enumerate.slices import Piece
from longshore_protocol.job import ROWS, MiniBatchSize, TabularFormat
from longshore_storage.files import open_version


def pieces(path: str, _: TabularFormat, size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of one file, reading only its footer.

    Whole row groups are packed up to `size`, measured in rows or uncompressed bytes. The "rows" of a piece count from
    the first row of its row groups. Raises OSError, ImportError without pyarrow, and pyarrow's exceptions for a file
    that is not Parquet.
    """
    footer, stamp = _read_footer(path)
    location = {"path": path, "stamp": stamp}
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    first = packed = rows = 0  # first packed group; size and rows of the packed groups
    for number, group in enumerate(groups):
        weight = group.num_rows if size.unit == ROWS else group.total_byte_size
        if packed + weight > size.value:
            if rows:
                yield Piece(rows, packed, {**location, "row_groups": [first, number], "rows": None})
            first, packed, rows = number, 0, 0
        if weight > size.value and group.num_rows > 1:
            step = max(1, group.num_rows * size.value // weight)
            for start in range(0, group.num_rows, step):
                end = min(start + step, group.num_rows)
                piece = {**location, "row_groups": [number, number + 1], "rows": [start, end]}
                yield Piece(end - start, weight * (end - start) // group.num_rows, piece)
            first = number + 1
        else:
            packed, rows = packed + weight, rows + group.num_rows
    if rows:
        yield Piece(rows, packed, {**location, "row_groups": [first, len(groups)], "rows": None})


def whole(path: str) -> Piece:
    """Return all rows of a file as one piece. Raises the exceptions of `pieces`."""
    footer, stamp = _read_footer(path)
    piece = {"path": path, "stamp": stamp, "row_groups": [0, footer.num_row_groups], "rows": None}
    return Piece(footer.num_rows, footer.num_rows, piece)


def column_names(path: str) -> list[str]:
    """Return the names of a file's columns. Raises the exceptions of `pieces`."""
    return list(_read_footer(path)[0].schema.to_arrow_schema().names)


def _read_footer(path: str) -> tuple[Any, str]:
    """Return the footer of a file and the stamp of the version that was read."""
    from pyarrow import parquet  # imported late: only this kind of input needs it

    file, version = open_version(path)
    with file:
        return parquet.read_metadata(file), version.stamp
