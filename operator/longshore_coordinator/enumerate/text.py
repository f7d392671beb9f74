"""Where delimited and JSON-lines files are cut.

By bytes, at plain lines, the size alone decides: the reader moves each cut to the next line, by the rule of
`longshore_protocol.records`. All other cuts are made between records, where that rule leaves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from longshore_protocol import records
from longshore_protocol.job import ROWS, MiniBatchSize, TabularFormat
from longshore_storage.files import file_size, open_file


def pieces(path: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Yield the slices of one file, each with its number of rows, or None where the rows were not counted.

    Raises OSError, and LookupError for an unknown encoding.
    """
    whole = file_size(path)
    if not whole:
        return
    if not records.is_splittable(format.encoding):
        yield None, {"path": path, "start": 0, "end": whole}
    elif size.unit == ROWS:
        with open_file(path) as file:
            for rows, start, end in _by_rows(file, format, size.value):
                yield rows, {"path": path, "start": start, "end": end}
    elif format.format == "csv" and format.multi_line:
        with open_file(path) as file:
            start = _first_row(file, format)
            for end in records.record_starts(file, format, start=start, step=size.value):
                yield None, {"path": path, "start": start, "end": end}
                start = end
    else:
        for start in range(0, whole, size.value):
            yield None, {"path": path, "start": start, "end": min(start + size.value, whole)}


def _by_rows(file: BinaryIO, format: TabularFormat, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield the rows, the start and the end of each run of `size` rows; the last one may be shorter."""
    start = end = _first_row(file, format)
    rows = 0
    for end, is_blank in records.record_ends(file, format, start=start):
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
