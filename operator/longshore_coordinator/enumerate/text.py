"""Where delimited and JSON-lines files are cut.

By bytes, at plain lines, the size alone decides: the reader moves each cut to the next line, by the rule of
`longshore_protocol.records`. All other cuts are made between records, where that rule leaves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from longshore_coordinator.enumerate.slices import Piece
from longshore_protocol import records
from longshore_protocol.job import ROWS, MiniBatchSize, TabularFormat
from longshore_storage.files import file_size, open_file


def pieces(path: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of one file, with None as their items where the rows were not counted.

    Raises OSError, and LookupError for an unknown encoding.
    """
    whole = file_size(path)
    if not whole:
        return
    if not records.is_splittable(format.encoding):
        # Rows that nobody counts are taken for as many as fit: such a file is by itself.
        yield Piece(None, size.value if size.unit == ROWS else whole, {"path": path, "start": 0, "end": whole})
    elif size.unit == ROWS:
        with open_file(path) as file:
            for rows, start, end in _by_rows(file, format, size.value):
                yield Piece(rows, rows, {"path": path, "start": start, "end": end})
    elif format.format == "csv" and format.multi_line:
        with open_file(path) as file:
            start = _first_row(file, format)
            for end in records.record_starts(file, format, start=start, step=size.value):
                yield Piece(None, end - start, {"path": path, "start": start, "end": end})
                start = end
    else:
        for start in range(0, whole, size.value):
            end = min(start + size.value, whole)
            yield Piece(None, end - start, {"path": path, "start": start, "end": end})


def _by_rows(file: BinaryIO, format: TabularFormat, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield the rows, the start and the end of each run of `size` rows; the last one may be shorter."""
    start = end = _first_row(file, format)
    rows = 0
    for end, is_blank, _ in records.each_record(file, format, start=start):
        if is_blank:
            continue
        rows += 1
        if rows == size:
            yield rows, start, end
            rows, start = 0, end
    if rows:
        yield rows, start, end


def _first_row(file: BinaryIO, format: TabularFormat) -> int:
    return len(records.header_line(file, format)) if records.has_header(format) else 0
