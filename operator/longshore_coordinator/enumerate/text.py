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
from longshore_storage.files import file_version, open_file


def pieces(path: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of one file, with None as their items where the rows were not counted.

    Raises OSError, and LookupError for an unknown encoding.
    """
    all_of_it = whole(path)  # before it is read: a change while it is cut is a change, too
    if all_of_it is None:
        return
    place = {name: all_of_it.piece[name] for name in ("path", "stamp")}
    if not records.is_splittable(format):
        # Rows that nobody counts are taken for as many as fit: such a file is by itself.
        yield all_of_it._replace(size=size.value) if size.unit == ROWS else all_of_it
    elif size.unit == ROWS or (format.format == "csv" and format.multi_line):
        with open_file(path) as file:
            header = records.header_line(file, format) if format.format == "csv" else b""
            if records.find_fault(header, format, is_first=True) is not None:
                # Rows may be taken for a part of the header. Whoever reads the file says so.
                yield all_of_it._replace(size=size.value) if size.unit == ROWS else all_of_it
                return
            start = len(header) if records.has_header(format) else 0
            cut = _by_rows if size.unit == ROWS else _by_bytes
            for each in cut(file, format, start, size.value):
                yield each._replace(piece={**place, **each.piece})
    else:
        for start in range(0, all_of_it.size, size.value):
            end = min(start + size.value, all_of_it.size)
            yield Piece(None, end - start, {**place, "start": start, "end": end})


def whole(path: str) -> Piece | None:
    """Return all of a file as one piece, whose size is in bytes; None for an empty file. Raises OSError."""
    size, stamp = file_version(path)
    if size is None:
        raise OSError("its server does not give its size; download it before the run")
    return Piece(None, size, {"path": path, "stamp": stamp, "start": 0, "end": size}) if size else None


def _by_rows(file: BinaryIO, format: TabularFormat, start: int, size: int) -> Iterator[Piece]:
    """Yield each run of `size` rows from `start` on; the last one may be shorter."""
    end, rows = start, 0
    for end, is_blank, _ in records.each_record(file, format, start=start):
        if is_blank:
            continue
        rows += 1
        if rows == size:
            yield Piece(rows, rows, {"start": start, "end": end})
            rows, start = 0, end
    if rows:
        yield Piece(rows, rows, {"start": start, "end": end})


def _by_bytes(file: BinaryIO, format: TabularFormat, start: int, size: int) -> Iterator[Piece]:
    """Yield the records from `start` on in pieces of `size` bytes, up to the end of the record at that."""
    for end in records.record_starts(file, format, start=start, step=size):
        yield Piece(None, end - start, {"start": start, "end": end})
        start = end
