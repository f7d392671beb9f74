"""Download one file, or the rows of one slice. Blocking, without retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from longshore_protocol import records
from longshore_protocol.job import TabularFormat
from longshore_storage.errors import ChangedFileError
from longshore_storage.files import check_version, compare_versions, fetch_file, open_version

Check = Callable[[], None]  # called between the parts of a copy; an exception cancels the copy

_PART = 4 << 20  # bytes that are read at once


def base_name(url: str) -> str:
    """Return the local name of a file: the last part of its URL, for HTTP without the query."""
    if url.startswith(("http://", "https://")):
        url = unquote(urlsplit(url).path)
    return url.rpartition("/")[2] or "file"


def whole(url: str, target: str, *, check: Check, planned: str | None = None) -> str:
    """Copy a file to the local path `target`, creating its folder; return `target`.

    Args:
        url: A URL or local path.
        target: The path of the copy.
        check: Called between the parts of the copy; an exception cancels it.
        planned: The expected stamp of the file; None to accept any version.

    Raises:
        ChangedFileError: The file's stamp differs from `planned`.
        OSError: The file cannot be read or the copy cannot be written. Stores' libraries raise errors of their own.
    """
    check()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    fetch_file(url, target, check=check, planned=planned)
    return target


def rows(piece: dict[str, Any], format: TabularFormat, target: str, *, check: Check) -> dict[str, Any]:
    """Copy the rows of a piece of a csv or jsonl file together with the file's first record; return the copy's piece.

    The copy's piece has the same rows as the original. Its "copy_of" is the original piece; "shift" is the number of
    bytes to add to an offset in the copy to get the offset in the original. Raises the exceptions of `whole`.
    """
    check()
    copy = copied_piece(piece, target)
    source, version = open_version(piece["path"], read_ahead=False)
    with source:
        if "stamp" in piece:
            compare_versions(piece["stamp"], version.stamp)
        size = source.seek(0, os.SEEK_END)
        if "ranges" in piece:
            copied = _copy_ranges(source, _header(source, format), piece["ranges"], target, check=check)
            _check_again(piece)
            return {**copy, "ranges": copied}
        start, end = piece["start"], piece["end"]
        # Formats that can only be read as a whole are never cut.
        if (start > 0 or end < size) and records.is_splittable(format):
            header = _header(source, format)
            start, end = records.aligned_range(source, start, end, size)
            if records.has_header(format):
                start, end = max(start, len(header)), max(end, len(header))
            bounds = (start, end if start else max(end, len(header)))
            [(begin, _)] = _copy_ranges(source, header, [bounds], target, check=check)
            if format.format == "csv":
                first_row = len(header) if records.has_header(format) else 0
                _check_begin(source, start, first_row, _head(target, begin), format)
            shift = start - begin
            _check_again(piece)
            return {**copy, "start": begin, "end": end - shift, "shift": shift}
    whole(piece["path"], target, check=check, planned=piece.get("stamp"))
    return copy


def copied_piece(piece: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a piece that reads from the copy at `path`, without the stamp, which was checked during the copy."""
    return {**{name: value for name, value in piece.items() if name != "stamp"}, "path": path, "copy_of": piece}


def _head(copy: str, begin: int) -> bytes:
    """Return the first bytes of the rows of a copy."""
    with open(copy, "rb") as file:
        file.seek(begin)
        return file.read(_PART)


def _check_begin(source: BinaryIO, start: int, first_row: int, rows: bytes, format: TabularFormat) -> None:
    """Raise ValueError if `rows`, which begin at byte `start`, begin in the middle of a quoted field."""
    if records.may_begin_inside_quote(rows, format) and records.begins_inside_quote(source, start, first_row, format):
        raise ValueError(f"the record at byte {start} {records.BEGINS_INSIDE}")


def downloaded(piece: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a piece that reads from a downloaded copy of its file.

    Only the size of the copy can be compared with the planned version: the copy may be older than the plan.

    Raises:
        ChangedFileError: The copy has a different size than planned.
    """
    size = piece.get("stamp", "None").partition(" ")[0]
    if size not in ("None", str(os.path.getsize(path))):
        raise ChangedFileError(
            f"its copy on this worker has {os.path.getsize(path)} bytes, and it had {size} when the run was planned"
        )
    return copied_piece(piece, path)


def _check_again(piece: dict[str, Any]) -> None:
    """Raise ChangedFileError if the file of a piece changed while ranges of it were copied."""
    if "stamp" in piece:
        check_version(piece["path"], piece["stamp"])


def _header(source: BinaryIO, format: TabularFormat) -> bytes:
    return records.header_line(source, format) if format.format == "csv" else b""


def _copy_ranges(
    source: BinaryIO, header: bytes, ranges: list[tuple[int, int]], target: str, *, check: Check
) -> list[tuple[int, int]]:
    """Write a header and byte ranges of `source` to `target`; return the ranges in the copy."""
    # Parsers derive the columns from the first record even if it is no header. Rows from the middle of a file without
    # one follow a blank line: at the start of a file, parsers would strip bytes that look like a byte order mark.
    before = b"" if ranges[0][0] == 0 else header if header.endswith(b"\n") else header + b"\n"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    copied = []
    with open(target, "wb") as copy:
        copy.write(before)
        for start, end in ranges:
            begin = copy.tell()
            _copy(source, copy, start=start, end=end, check=check)
            copied.append((begin, copy.tell()))
    return copied


def _copy(source: BinaryIO, copy: BinaryIO, *, start: int, end: int, check: Check) -> None:
    source.seek(start)
    while start < end:
        check()
        part = source.read(min(_PART, end - start))
        if not part:
            raise OSError(f"the file ends at byte {start}, before byte {end}")
        copy.write(part)
        start += len(part)
