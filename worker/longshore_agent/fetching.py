"""Bringing one file, or the rows of one slice, to this machine: blocking, and without a second try."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from longshore_protocol import records
from longshore_protocol.job import TabularFormat
from longshore_storage.errors import ChangedFileError
from longshore_storage.files import check_version, compare_versions, fetch_file, open_version

Check = Callable[[], None]  # called between the parts of a copy; what it raises ends the copy

_PART = 4 << 20  # bytes of rows in memory at once


def base_name(url: str) -> str:
    """Return the name that a file is given here; over HTTP, the query is no part of it."""
    if url.startswith(("http://", "https://")):
        url = unquote(urlsplit(url).path)
    return url.rpartition("/")[2] or "file"


def whole(url: str, target: str, *, check: Check, planned: str | None = None) -> str:
    """Copy a file to `target`, a path in a folder that may not be there yet, and return that path.

    Raises OSError, what the store's library raises, and ChangedFileError for a file whose stamp is not `planned`.
    """
    check()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    fetch_file(url, target, check=check, planned=planned)
    return target


def rows(piece: dict[str, Any], format: TabularFormat, target: str, *, check: Check) -> dict[str, Any]:
    """Copy the rows of a piece of a csv or jsonl file, with the file's first record; return the piece of the copy.

    It gives the very rows of the original, and says in "copy_of" what that is, in "shift" how many bytes further on the
    original's rows are. Raises as `whole`.
    """
    check()
    copy = copied_piece(piece, target)
    source, version = open_version(piece["path"], read_ahead=False)
    with source:
        if "stamp" in piece:
            compare_versions(piece["stamp"], version.stamp)
        size = source.seek(0, os.SEEK_END)
        if "ranges" in piece:
            copied = _copied(source, _header(source, format), piece["ranges"], target, check=check)
            _check_again(piece)
            return {**copy, "ranges": copied}
        start, end = piece["start"], piece["end"]
        # What can be read only as a whole is never cut.
        if (start > 0 or end < size) and records.is_splittable(format):
            header = _header(source, format)
            start, end = records.aligned_range(source, start, end, size)
            if records.has_header(format):
                start, end = max(start, len(header)), max(end, len(header))
            place = (start, end if start else max(end, len(header)))
            [(begin, _)] = _copied(source, header, [place], target, check=check)
            if format.format == "csv":
                first_row = len(header) if records.has_header(format) else 0
                _check_begin(source, start, first_row, _head(target, begin), format)
            shift = start - begin
            _check_again(piece)
            return {**copy, "start": begin, "end": end - shift, "shift": shift}
    whole(piece["path"], target, check=check, planned=piece.get("stamp"))
    return copy


def copied_piece(piece: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the piece that is read from a copy of its file at `path`: the stamp was compared when it was copied."""
    return {**{name: value for name, value in piece.items() if name != "stamp"}, "path": path, "copy_of": piece}


def _head(copy: str, begin: int) -> bytes:
    """Return the first rows of a copy."""
    with open(copy, "rb") as file:
        file.seek(begin)
        return file.read(_PART)


def _check_begin(source: BinaryIO, start: int, first_row: int, rows: bytes, format: TabularFormat) -> None:
    """Raise ValueError if `rows`, which begin at `start`, begin with the rest of a record that was cut."""
    if records.may_begin_inside_quote(rows, format) and records.begins_inside_quote(source, start, first_row, format):
        raise ValueError(f"the record at byte {start} {records.BEGINS_INSIDE}")


def downloaded(piece: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the piece that is read from a copy that was made before the run was planned, or after.

    Raises ChangedFileError for a copy of another size than planned: nothing else of its version is known.
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


def _copied(
    source: BinaryIO, header: bytes, ranges: list[tuple[int, int]], target: str, *, check: Check
) -> list[tuple[int, int]]:
    """Copy ranges of bytes after a header, and return those of the copy."""
    # The first record tells the columns, also where it does not name them. Without one, rows from the middle of a file
    # follow a blank line: as the first bytes of a file they would lose what is a byte order mark.
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
