"""Read one slice of a tabular file into the DataFrame that `run()` receives.

pandas and pyarrow are part of the user's environment, and imported only when a slice is read.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Iterator, List, Optional, Tuple

from longshore_host import columns, csv_frames, parquet_frames, query_rows
from longshore_protocol import compression, errors, records, slices, stamps

if TYPE_CHECKING:
    import pandas

    from longshore_protocol.job import TabularFormat


_KEEP_FILES = "Leave input files unchanged while a run reads them, and start a new run for new data."


class SliceError(Exception):
    """A slice could not be read; the message is one sentence. In category System, a later attempt may succeed."""

    def __init__(self, text: str, category: str = errors.DATA_ERROR) -> None:
        super().__init__(text)
        self.category = category


class _BadRecord(ValueError):
    """A record that cannot be parsed; `at` is its offset among the rows that were read, in bytes."""

    def __init__(self, text: str, at: int) -> None:
        super().__init__(text)
        self.at = at


def load(slice: Dict[str, Any], format: TabularFormat) -> Any:
    """Return the rows of a slice of local files, in the order of its pieces and their files.

    That is a DataFrame, indexed 0 to n - 1, or a list of dicts if the format requests it; dicts have the fields of
    their line, and need no package. A csv file without header has the columns Column1, Column2, and so on. Columns from
    the path of the file come last.

    Args:
        slice: The slice (see `longshore_protocol.slices`). "copy_of" in a piece is the original of a downloaded copy,
            which messages name.
        format: The format of the files.

    Raises:
        SliceError: The rows cannot be read, or the environment lacks the package that reads them.
        MemoryError: The rows do not fit into memory.
    """
    pieces = slices.pieces_of(slice)
    frames = [_load(piece, slices.format_of(piece, format)) for piece in pieces]
    if format.format == "csv":
        for frame in frames:
            _set_keys(frame, slices.values(slice.get("partition", {})), format)
    if len(frames) == 1:
        return frames[0]
    if format.as_dicts:
        return [row for rows in frames for row in rows]
    if format.format != "jsonl":  # whose rows may have different fields
        _check_columns([(piece, frame) for piece, frame in zip(pieces, frames) if len(frame)])
    return _joined(frames, format)


def _set_keys(frame: pandas.DataFrame, keys: Dict[str, Any], format: TabularFormat) -> None:
    """Replace the cells of key columns by the keys, whose type was inferred from all rows, not from one mini-batch."""
    import pandas

    for name, value in keys.items():
        if value is not None and name in frame and name not in format.column_types:
            frame[name] = pandas.Series([value] * len(frame), index=frame.index)


def _load(piece: Dict[str, Any], format: TabularFormat) -> Any:
    try:
        rows = _read(piece, format)
        return _with_fields(rows, piece) if format.as_dicts else _with_columns(rows, piece, format)
    except (MemoryError, SliceError):  # not an error of the data, or complete already
        raise
    except ImportError as error:
        package = "pyarrow" if "pyarrow" in str(error) else "pandas"
        message = 'A {} input needs the Python package "{}" in the environment: {}.'
        raise SliceError(message.format(format.format, package, _cause(error))) from error
    except _BadRecord as error:
        message = 'The file "{}" could not be read as {}: the record at byte {} {}.'
        raise SliceError(message.format(_known(piece)["path"], format.format, error.at, error)) from error
    except columns.BadValue as error:
        message = 'The file "{}" could not be read as {}: row {}, counted from {}, {}.'
        known = _known(piece)
        raise SliceError(message.format(known["path"], format.format, error.row, _place(known), error)) from error
    except Exception as error:  # any error of a parser: the data is unreadable
        message = 'The file "{}" could not be read as {} from {} on: {}.'
        known = _known(piece)
        text = message.format(known["path"], format.format, _place(known), _cause(error))
        raise SliceError(text, errors.SYSTEM if errors.is_transient(error) else errors.DATA_ERROR) from error


def _read(piece: Dict[str, Any], format: TabularFormat) -> Any:
    if "unreadable" in piece:
        message = 'The file "{}" could not be read as {}: {}.'
        raise SliceError(message.format(piece["path"], format.format, piece["unreadable"]))
    if format.format == "parquet":
        return _read_parquet(piece, format)
    if format.format == "sql":
        return columns.typed(query_rows.read(piece["path"], format.column_types), format)
    with _planned_file(piece) as file:
        return _read_text(file, piece, format)


@contextmanager
def _planned_file(piece: Dict[str, Any]) -> Iterator[BinaryIO]:
    """Open the file of a piece; raise SliceError if it is not the version that was planned, before or after reading."""
    planned = piece.get("stamp")
    with _open(piece["path"], planned) as file:
        _check_stamp(file, piece["path"], planned)
        try:
            yield file
        finally:  # a change while it is read may be why that fails
            _check_stamp(file, piece["path"], planned)


def _open(path: str, planned: Optional[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        if planned is None:
            raise
        message = 'The file "{}" no longer exists: it was deleted or renamed since the run was planned. {}'
        raise SliceError(message.format(path, _KEEP_FILES)) from None


def _check_stamp(file: BinaryIO, path: str, planned: Optional[str]) -> None:
    if planned is None:
        return
    found = stamps.of_status(os.fstat(file.fileno()))
    if not stamps.is_same(planned, found):
        message = 'The file "{}" changed since the run was planned: {}. {}'
        raise SliceError(message.format(path, stamps.difference(planned, found), _KEEP_FILES))


def _check_columns(read: List[Tuple[Dict[str, Any], pandas.DataFrame]]) -> None:
    """Raise SliceError where the tables of one mini-batch, which all have rows, differ in their columns."""
    for piece, frame in read[1:]:
        first, first_frame = read[0]
        odd = set(frame.columns) ^ set(first_frame.columns)
        if odd:
            message = 'The files "{}" and "{}" of one mini-batch have different columns: {} is in one of them only.'
            names = ", ".join(sorted(map(str, odd)))
            raise SliceError(message.format(_known(first)["path"], _known(piece)["path"], names))


def _joined(frames: List[pandas.DataFrame], format: TabularFormat) -> pandas.DataFrame:
    """Return the rows of all frames as one, whose columns have their types as if they were of one file."""
    try:
        return columns.typed(columns.joined(frames), format)
    except columns.BadValue as error:
        message = "The files of one mini-batch could not be read as one table: row {} of all {}."
        raise SliceError(message.format(error.row, error)) from error


def _with_fields(rows: List[Dict[str, Any]], piece: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Add the columns from the path of the file to the rows; return them."""
    from_path = slices.values(piece.get("columns", {}))
    for row in rows if from_path else ():
        _check_names(from_path, row)
        row.update(from_path)
    return rows


def _with_columns(frame: pandas.DataFrame, piece: Dict[str, Any], format: TabularFormat) -> pandas.DataFrame:
    """Add the columns from the path of the file to the frame; return it."""
    from_path = slices.values(piece.get("columns", {}))
    _check_names(from_path, frame)
    for name, value in from_path.items():
        frame[name] = value
    return columns.typed(frame, format, only=from_path)


def _check_names(from_path: Dict[str, Any], names: Any) -> None:
    for name in from_path:
        if name in names:
            raise ValueError('the column "{}" is in the file, and in partitionFormat or pathColumn too'.format(name))


def _read_text(file: BinaryIO, piece: Dict[str, Any], format: TabularFormat) -> Any:
    method = compression.method_of(file.read(compression.HEAD))
    if not method and records.is_splittable(format):
        return _read_rows(file, piece, format)
    # The piece is the whole file, and the bytes that are parsed are no places in it.
    if piece.get("start") != 0:
        raise ValueError("it is compressed with {}, so it cannot be cut: start a new run".format(method))
    if method:
        file = compression.expand(file, method)
    file.seek(0)
    if not records.is_splittable(format):
        file = io.BytesIO(file.read().decode(format.encoding).encode())
    whole = {"start": 0, "end": file.seek(0, io.SEEK_END)}
    try:
        return _read_rows(file, whole, format if records.is_splittable(format) else replace(format, encoding="utf-8"))
    except _BadRecord as error:
        if isinstance(error.__cause__, columns.BadValue):
            raise error.__cause__ from error
        raise ValueError("a record {}".format(error)) from error


def _read_rows(file: BinaryIO, piece: Dict[str, Any], format: TabularFormat) -> Any:
    header = records.header_line(file, format) if format.format == "csv" else b""
    _check_header(header, format)
    parts = [_part(file, start, end) for start, end in _ranges(file, piece, format, header)]
    rows = b"".join([rows for _, rows in parts])
    try:
        if format.format == "csv":
            _check_begin(file, parts, len(header), format)
            return csv_frames.parse(header, rows, format, check=lambda count: _check_count(count, rows, format))
        found = _parse_lines(rows, format.encoding)
        return found if format.as_dicts else _typed_lines(found, format)
    except Exception as error:
        bad = _bad_record(error, rows, header, format)
        if bad is None:
            raise
        raise _BadRecord(str(bad), _place_in_file(bad.at, parts, piece)) from error


def _check_header(header: bytes, format: TabularFormat) -> None:
    """Raise _BadRecord for a first record that other rules end elsewhere: rows would be taken for a part of it."""
    fault = records.find_fault(header, format, is_first=True) if header else None
    if fault is not None:
        raise _BadRecord(fault[1], fault[0])


def _check_begin(file: BinaryIO, parts: List[Tuple[int, bytes]], first_row: int, format: TabularFormat) -> None:
    """Raise _BadRecord if the rows begin with the rest of a record whose quoted field was cut at a line end."""
    start, rows = parts[0]
    if not records.may_begin_inside_quote(rows, format):
        return
    if records.begins_inside_quote(file, start, first_row if records.has_header(format) else 0, format):
        raise _BadRecord(records.BEGINS_INSIDE, 0)


def _check_count(count: int, rows: bytes, format: TabularFormat) -> None:
    """Raise _BadRecord if a parser made more or fewer rows than the records that the plan was made of."""
    is_plain = b"\r" not in rows or csv_frames.are_returns_of_line_ends(rows)
    is_escaped = format.escape is not None and "{}\n".format(format.escape).encode() in rows
    if is_plain and not is_escaped and (format.multi_line or count == csv_frames.count_lines(rows)):
        return
    fault = records.find_fault(rows, format) if b'"' in rows or is_escaped or not is_plain else None
    if fault is not None:
        raise _BadRecord(fault[1], fault[0])
    wanted = records.count_records(rows, format)
    if count != wanted:
        raise ValueError("{} records were parsed as {} rows".format(wanted, count))


def _ranges(file: BinaryIO, piece: Dict[str, Any], format: TabularFormat, header: bytes) -> List[Tuple[int, int]]:
    """Return the bytes of a piece's rows."""
    if "ranges" in piece:
        return [(start, end) for start, end in piece["ranges"]]
    start, end = records.aligned_range(file, piece["start"], piece["end"], file.seek(0, io.SEEK_END))
    if records.has_header(format):
        start, end = max(start, len(header)), max(end, len(header))
    return [(start, end)]


def _part(file: BinaryIO, start: int, end: int) -> Tuple[int, bytes]:
    """Return whole rows, and where in the file they begin."""
    file.seek(start)
    rows = file.read(end - start)
    if start == 0:
        bare = records.without_mark(rows)
        start, rows = len(rows) - len(bare), bare
    # The last line of a file may lack its end, and rows of another part may follow.
    return start, rows if rows.endswith(b"\n") or not rows else rows + b"\n"


def _bad_record(error: Exception, rows: bytes, header: bytes, format: TabularFormat) -> Optional[_BadRecord]:
    """Return the record that caused an error of a parser, None if that is unknown."""
    if isinstance(error, _BadRecord):
        return error
    if isinstance(error, columns.BadValue):
        return _BadRecord(str(error), _start_of(error.row, rows, format))
    try:
        rows.decode(format.encoding)
    except UnicodeDecodeError as wrong:
        start = rows.rfind(b"\n", 0, wrong.start) + 1
        text = "is not {}: byte {} of it is 0x{:02X}"
        return _BadRecord(text.format(format.encoding, wrong.start - start + 1, rows[wrong.start]), start)
    if format.format != "csv":
        return None
    fault = records.find_fault(rows, format)
    return _long_record(rows, header, format) if fault is None else _BadRecord(fault[1], fault[0])


def _long_record(rows: bytes, header: bytes, format: TabularFormat) -> Optional[_BadRecord]:
    """Return the first record with more fields than the first one of its file."""
    wanted = len(csv_frames.names(header, format))
    start = 0
    for end, is_blank, record in records.each_record(io.BytesIO(rows), format):
        if not is_blank:
            fields = records.split_record(record.decode(format.encoding).rstrip("\r\n"), format)
            if len(fields) > wanted:
                text = "has {} fields, and {} has {}"
                first = "the header" if records.has_header(format) else "the first record"
                return _BadRecord(text.format(len(fields), first, wanted), start)
        start = end
    return None


def _start_of(row: int, rows: bytes, format: TabularFormat) -> int:
    """Return where a record begins; blank lines are no records."""
    start = 0
    for end, is_blank, _ in records.each_record(io.BytesIO(rows), format):
        if not is_blank:
            if not row:
                break
            row -= 1
        start = end
    return start


def _place_in_file(at: int, parts: List[Tuple[int, bytes]], piece: Dict[str, Any]) -> int:
    """Return the offset of a byte of the rows in the original file."""
    for number, (start, rows) in enumerate(parts):
        if at < len(rows):
            shift = piece.get("shift", 0)
            if "ranges" in piece:
                shift = _known(piece)["ranges"][number][0] - piece["ranges"][number][0]
            return start + at + int(shift)
        at -= len(rows)
    return at


def _typed_lines(found: List[Dict[str, Any]], format: TabularFormat) -> pandas.DataFrame:
    import pandas

    frame = pandas.DataFrame(found, dtype=object)
    for name in frame.columns:
        if name not in format.column_types:
            frame[name] = columns.inferred(frame[name])
    return columns.typed(frame, format)


def _parse_lines(rows: bytes, encoding: str) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = []
    start = 0
    for line in rows.split(b"\n"):
        if line.strip():
            try:
                row = json.loads(line.decode(encoding))
            except UnicodeDecodeError:
                raise  # its message is more precise
            except ValueError as error:
                raise _BadRecord("is not JSON: {}".format(error), start) from error
            if not isinstance(row, dict):
                raise _BadRecord("is not a JSON object", start)
            found.append(row)
        start += len(line) + 1
    return found


def _read_parquet(slice: Dict[str, Any], format: TabularFormat) -> pandas.DataFrame:
    with _planned_file(slice) as file:
        frame = parquet_frames.read(file, slice, format)
    return columns.typed(frame, format)


def _known(piece: Dict[str, Any]) -> Dict[str, Any]:
    """Return the piece of the original file, if this is one of a copy."""
    known: Dict[str, Any] = piece.get("copy_of", piece)
    return known


def _place(slice: Dict[str, Any]) -> str:
    """Return the position of a slice's begin in its file as text."""
    if "keys" in slice:
        return "its first row"
    if "row_groups" not in slice:
        return "byte {}".format(slice["ranges"][0][0] if "ranges" in slice else slice["start"])
    rows = slice["ranges"][0] if "ranges" in slice else slice["rows"]
    row = "" if rows is None else "row {} of ".format(rows[0])
    return "{}row group {}".format(row, slice["row_groups"][0])


def _cause(error: BaseException) -> str:
    """Return type and text of an exception in one line, without a full stop, as part of a sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return "{}: {}".format(type(error).__name__, text) if text else type(error).__name__
