"""Where delimited and JSON-lines files are cut.

By bytes, at plain lines, the size alone decides: the reader moves each cut to the next line, by the rule of
`longshore_protocol.records`. All other cuts are made between records, where that rule leaves them.
"""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from longshore_coordinator.enumerate.slices import Piece
from longshore_protocol import compression, records
from longshore_protocol.job import ROWS, MiniBatchSize, TabularFormat
from longshore_storage.files import file_version, open_file

_BEGINNING = 1 << 20  # bytes in which the first record is looked for, of a file that cannot be read in part


def pieces(path: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of one file, with None as their items where the rows were not counted.

    Raises OSError, and LookupError for an unknown encoding.
    """
    all_of_it = whole(path)  # before it is read: a change while it is cut is a change, too
    if all_of_it is None:
        return
    by_rows = size.unit == ROWS
    between_records = by_rows or (format.format == "csv" and format.multi_line)
    # Rows that nobody counts are taken for as many as fit: such a file is by itself.
    one_piece = all_of_it._replace(size=size.value) if by_rows else all_of_it
    if not records.is_splittable(format) or (not between_records and all_of_it.size <= size.value):
        yield one_piece
        return
    place = {name: all_of_it.piece[name] for name in ("path", "stamp")}
    with open_file(path, read_ahead=between_records) as file:
        if compression.method_of(file.read(compression.HEAD)):
            yield one_piece
        elif between_records:
            header = records.header_line(file, format) if format.format == "csv" else b""
            if records.find_fault(header, format, is_first=True) is not None:
                # Rows may be taken for a part of the header. Whoever reads the file says so.
                yield one_piece
                return
            start = len(header) if records.has_header(format) else 0
            for each in (_by_rows if by_rows else _by_bytes)(file, format, start, size.value):
                yield each._replace(piece={**place, **each.piece})
        else:
            for start in range(0, all_of_it.size, size.value):
                end = min(start + size.value, all_of_it.size)
                yield Piece(None, end - start, {**place, "start": start, "end": end})


def column_names(path: str, format: TabularFormat) -> list[str]:
    """Return the columns of a csv file as a DataFrame has them; nothing for one without records.

    Raises OSError, ValueError for a file whose first record cannot be read.
    """
    plain = format if records.is_splittable(format) else replace(format, encoding="utf-8")
    with open_file(path, read_ahead=False) as file:
        header = records.header_line(_beginning(file, format), plain)
    fault = records.find_fault(header, plain, is_first=True)
    if fault is not None:
        raise ValueError(f"the record at byte {fault[0]} {fault[1]}")
    lines = [record for _, is_blank, record in records.each_record(io.BytesIO(header), plain) if not is_blank]
    found = records.split_record(lines[0].decode(plain.encoding).rstrip("\r\n"), plain) if lines else []
    if not format.header:
        return format.names or [f"Column{number}" for number in range(1, len(found) + 1)]
    times: Counter[str] = Counter()
    names = []
    for number, name in enumerate(found):
        name = name or f"Unnamed: {number}"
        names.append(f"{name}.{times[name]}" if times[name] else name)
        times[name] += 1
    return names


def _beginning(file: BinaryIO, format: TabularFormat) -> BinaryIO:
    """Return what begins with the records of a file, in an encoding that can be split."""
    method = compression.method_of(file.read(compression.HEAD))
    file.seek(0)
    if not method and records.is_splittable(format):
        return file
    if method:
        with compression.opened(file, method) as source:
            beginning = source.read(_BEGINNING)
    else:
        beginning = file.read(_BEGINNING)
    if not records.is_splittable(format):
        beginning = codecs.getincrementaldecoder(format.encoding)().decode(beginning).encode()
    if b"\n" not in beginning and len(beginning) >= _BEGINNING:
        raise ValueError(f"its first record has more than {_BEGINNING} bytes")
    return io.BytesIO(beginning)


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
