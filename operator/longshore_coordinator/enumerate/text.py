"""Cutting of delimited and JSON-lines files.

Files with plain lines are cut by bytes at multiples of the size; the reader moves each cut to the next line by the rule
of `longshore_protocol.records`. All other cuts are made between records, so that the rule does not move them.
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

_BEGINNING = 1 << 20  # bytes that must contain the first record, for files that must be read from the start


def pieces(path: str, format: TabularFormat, size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of one file, with None as items if the rows are not counted.

    Raises OSError, and LookupError for an unknown encoding.
    """
    entire = whole(path)  # stamped before the file is read, so that later changes are detected
    if entire is None:
        return
    by_rows = size.unit == ROWS
    between_records = by_rows or (format.format == "csv" and format.multi_line)
    # A file whose rows are not counted is a mini-batch of its own, so it gets the size of one.
    one_piece = entire._replace(size=size.value) if by_rows else entire
    if not records.is_splittable(format) or (not between_records and entire.size <= size.value):
        yield one_piece
        return
    location = {name: entire.piece[name] for name in ("path", "stamp")}
    with open_file(path, read_ahead=between_records) as file:
        if compression.method_of(file.read(compression.HEAD)):
            yield one_piece
        elif between_records:
            header = records.header_line(file, format) if format.format == "csv" else b""
            if records.find_fault(header, format, is_first=True) is not None:
                # The end of the header is unknown. The reader of the file reports the fault.
                yield one_piece
                return
            start = len(header) if records.has_header(format) else 0
            for each in (_by_rows if by_rows else _by_bytes)(file, format, start, size.value):
                yield each._replace(piece={**location, **each.piece})
        else:
            for start in range(0, entire.size, size.value):
                end = min(start + size.value, entire.size)
                yield Piece(None, end - start, {**location, "start": start, "end": end})


def column_names(path: str, format: TabularFormat) -> list[str]:
    """Return the columns of a csv file by their names in a DataFrame, or [] for a file without records.

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
    """Return a stream that starts with the records of a file, decompressed and in an encoding that can be split."""
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
    """Return a whole file as one piece with its size in bytes, or None for an empty file. Raises OSError."""
    size, stamp = file_version(path)
    if size is None:
        raise OSError("its server does not report its size; download it before the run")
    return Piece(None, size, {"path": path, "stamp": stamp, "start": 0, "end": size}) if size else None


def _by_rows(file: BinaryIO, format: TabularFormat, start: int, size: int) -> Iterator[Piece]:
    """Yield pieces of `size` rows from byte `start` on; the last one may have fewer."""
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
    """Yield pieces of `size` bytes from byte `start` on, each extended to the end of its last record."""
    for end in records.record_starts(file, format, start=start, step=size):
        yield Piece(None, end - start, {"start": start, "end": end})
        start = end
