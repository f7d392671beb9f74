"""Find the byte boundaries of records in delimited and JSON-lines files.

Cutting and reading share one rule: the slice [start, end) of a file contains the records whose first byte is in it, and
the header belongs to no slice. So any cut assigns each record to exactly one slice, and a cut between two records stays
where it is. A line ends with the byte 0x0A, optionally preceded by carriage returns.

csv parsers follow other rules: most end a record at any carriage return, and accept line ends inside any quotes. A
record for which this matters is a fault (`find_fault`) and is rejected, so cutting and reading see the same rows. The
functions seek and read a given binary file and open none.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from functools import lru_cache
from typing import BinaryIO, Iterable, Iterator, List, Optional, Tuple

from longshore_protocol.cells import NULL
from longshore_protocol.job import TabularFormat

BEGINS_INSIDE = "begins inside a quoted field: set supportMultiLine if fields hold line ends"

_STATEFUL = ("hz", "iso2022", "utf-7")  # characters contain the bytes of ASCII quotes between shift sequences
_ASCII_TRAILS = (
    "shift_jis",
    "cp932",
    "big5",
    "cp950",
    "gb",
    "cp949",
    "johab",
)  # characters may end with a byte in _TRAILS
_TRAILS = range(0x40, 0x7F)
_CLOSED, _QUOTED, _ESCAPED = range(
    3
)  # states at the end of a line: no quote open, a quote open, or the line end escaped
_STRAY_RETURN = re.compile(rb"\r(?![\r\n]|\Z)")
_WHITESPACE = " \t\r\n"
_LONG = 1 << 12  # bytes from which on checking all quotes at once is faster
_LONGEST_HEADER = 16 << 20  # bytes
_LOOK_BACK = 1 << 16  # bytes
_STAND_INS = (
    b"\x1f",
    b"\x1e",
    b"\x1d",
    b"\x1c",
    b"\x01",
    b"\x02",
    b"\x03",
    b"\x04",
)  # replacements for longer separators
_BLOCK = 1 << 17  # bytes searched at once, which fit into the CPU cache


def is_splittable(format: TabularFormat) -> bool:
    r"""Return whether a file in this format can be cut: bytes of newlines, quotes and separators are unambiguous.

    They are in UTF-8 and in single-byte extensions of ASCII, but not in UTF-16 and UTF-32, whose files are read as a
    whole. Raises LookupError for an encoding that Python does not support.
    """
    name = codecs.lookup(format.encoding).name
    if name == "utf-8-sig":
        return True
    if format.format == "csv" and name.startswith(_ASCII_TRAILS):
        marks = (format.separator if format.multi_line else "") + (format.escape or "")
        if any(ord(mark) in _TRAILS for mark in marks):
            return False
    return not name.startswith(_STATEFUL) and '\n"'.encode(name) == b'\n"'


def has_header(format: TabularFormat) -> bool:
    """Return whether the first record of each file is a header."""
    return format.format == "csv" and format.header


def without_mark(first: bytes) -> bytes:
    """Return the first bytes of a file without the UTF-8 byte order mark."""
    return first[len(codecs.BOM_UTF8) :] if first.startswith(codecs.BOM_UTF8) else first


def aligned_range(file: BinaryIO, start: int, end: int, size: int) -> Tuple[int, int]:
    """Return the byte range of the records that begin in [start, end) of a file of `size` bytes, one record per line.

    A bound inside a line moves to the end of that line. The range is empty if no record begins in it.
    """
    return _line_start(file, start, size), _line_start(file, end, size)


def header_line(file: BinaryIO, format: TabularFormat) -> bytes:
    """Return the bytes up to and including the first non-blank record; rows begin behind them.

    They include a byte order mark and blank lines before the record, which parsers skip. Empty for a file without
    records. At most 16 MiB of a record are read; a longer one is a fault.
    """
    file.seek(0)
    end = next((end for end, blank, _ in _records(_first_lines(file), format, 0) if not blank), 0)
    file.seek(0)
    return file.read(end)


def _first_lines(file: BinaryIO) -> Iterator[bytes]:
    left = _LONGEST_HEADER
    while left > 0:
        line = file.readline(left)
        if not line:
            return
        left -= len(line) if line.strip() else 0
        yield line


def each_record(file: BinaryIO, format: TabularFormat, *, start: int = 0) -> Iterator[Tuple[int, bool, bytes]]:
    """Return an iterator over the records from byte `start`, which must be the start of a record.

    Yields (end, is_blank, record): the byte offset of the record's end, whether it is a blank line, which is no row,
    and its bytes with the newline but without a byte order mark. Newlines inside quotes belong to the record only with
    `multi_line`.
    """
    file.seek(start)
    return _records(file, format, start)


def _records(lines: Iterable[bytes], format: TabularFormat, start: int) -> Iterator[Tuple[int, bool, bytes]]:
    blanks = _blank_bytes(format)
    quotes = _quotes(format) if _spans_lines(format) else None
    position, is_open = start, _CLOSED
    earlier: List[bytes] = []  # earlier lines of an unfinished record
    for line in lines:
        position += len(line)
        if not start and position == len(line):
            line = without_mark(line)
        is_blank = not is_open and not line.strip(blanks)
        if quotes is not None:
            is_open = quotes.open_after(line, is_open)
        if is_open:
            earlier.append(line)
        elif earlier:
            yield position, is_blank, b"".join([*earlier, line])
            earlier = []
        else:
            yield position, is_blank, line
    if is_open:
        # An unclosed quote: parsers treat the rest of the file as one record.
        yield position, False, b"".join(earlier)


def count_records(lines: bytes, format: TabularFormat) -> int:
    """Return the number of records in complete csv lines, without blank lines."""
    if _spans_lines(format):
        return sum(not is_blank for _, is_blank, _ in each_record(io.BytesIO(lines), format))
    blanks = _blank_bytes(format)
    return sum(1 for line in lines.split(b"\n") if line.strip(blanks))


def split_record(text: str, format: TabularFormat) -> List[str]:
    """Return the fields of a csv record without its line end; fields may have any length."""
    if '"' not in text and not (format.escape and format.escape in text):
        return text.split(format.separator)
    separator = format.separator
    if len(separator) > 1:
        lines, separator = _with_stand_in(text, format)
        text = lines.decode()
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(max(limit, len(text)))
        return next(csv.reader([text], delimiter=separator, escapechar=format.escape))
    finally:
        csv.field_size_limit(limit)  # the setting is process-wide and belongs to the user


def with_short_separator(lines: bytes, format: TabularFormat) -> Tuple[bytes, str, str]:
    """Return complete csv records with a separator of one byte, that separator, and their encoding.

    The pandas parser for longer separators treats quotes as part of fields and rounds floats.

    Raises:
        ValueError: The records contain all replacement characters.
    """
    if len(format.separator.encode()) == 1:
        return lines, format.separator, format.encoding
    plain = codecs.lookup(format.encoding).name
    return (*_with_stand_in(lines.decode("utf-8" if plain == "utf-8-sig" else plain), format), "utf-8")


def _with_stand_in(text: str, format: TabularFormat) -> Tuple[bytes, str]:
    lines = text.encode()
    for each in _STAND_INS:
        if each not in lines:
            separator, escape = format.separator.encode(), (format.escape or "").encode()
            return _made_quotes(separator, escape).with_separator(lines, each), each.decode()
    raise ValueError(
        "it contains all control characters that could replace its separator; use a separator of one character"
    )


def mark_nulls(lines: bytes, format: TabularFormat) -> bytes:
    r"""Return complete csv records with `cells.NULL` for each unquoted field \N (escape character and N).

    Databases write missing values this way; parsers would read the letter N.
    """
    if not format.escape or "{}N".format(format.escape).encode() not in lines:
        return lines
    return _quotes(format).with_nulls(lines, NULL.encode())


def find_fault(lines: bytes, format: TabularFormat, *, is_first: bool = False) -> Optional[Tuple[int, str]]:
    """Find the first record in complete csv lines that parsers would read differently.

    Args:
        lines: The lines.
        format: Their format.
        is_first: The lines are the start of a file, up to its first record.

    Returns:
        Byte offset and fault of the record, or None. The fault is the predicate of a sentence about the record.
    """
    start = 0
    for end, _, record in each_record(io.BytesIO(lines), format):
        if is_first and b"\0" in record:
            text = "has a zero byte, which text in {} never has: set encoding, for example to utf-16"
            return start, text.format(format.encoding)
        fault = _fault(record, format)
        if fault is not None:
            return start, fault
        if is_first and len(record) >= _LONGEST_HEADER:
            return start, "has more than {} bytes and is the first record of its file".format(_LONGEST_HEADER)
        start = end
    return None


def may_begin_inside_quote(rows: bytes, format: TabularFormat) -> bool:
    """Return whether complete csv lines may begin inside a field that an earlier line opened."""
    if not rows or _spans_lines(format):
        return False
    return b'"' not in rows or _quotes(format).closes_field(rows)


def begins_inside_quote(file: BinaryIO, start: int, first_row: int, format: TabularFormat) -> bool:
    """Return whether a line before `start` opens a quote that is not closed. Searches at most 64 KiB.

    Args:
        file: The csv file.
        start: Byte offset of the start of a line.
        first_row: Byte offset of the first row.
        format: The format of the file.
    """
    from_ = max(first_row, start - _LOOK_BACK)
    file.seek(from_)
    before = file.read(start - from_)
    if b'"' not in before:
        return False
    lines = io.BytesIO(before).readlines()
    for line in reversed(lines if from_ == first_row else lines[1:]):
        if b'"' in line:
            return _quotes(format).open_after(line, _CLOSED) == _QUOTED
    return False


def record_starts(file: BinaryIO, format: TabularFormat, *, start: int, step: int) -> Iterator[int]:
    """Yield the offset of the first record at or after each multiple of `step` bytes behind `start`, then the end.

    `start` must be the start of a record. Each offset is yielded once. The file is read once from `start`.
    """
    quotes = _quotes(format) if _spans_lines(format) else None
    file.seek(start)
    position, is_open, lines = start, _CLOSED, b"\n"
    while lines:
        target = (position // step + 1) * step
        while lines and (position < target or is_open):
            # Read complete lines up to the line that contains the target.
            wanted = min(_BLOCK, target - position - 1)
            lines = (file.read(wanted) if wanted > 0 else b"") + file.readline()
            if quotes is not None:
                is_open = quotes.open_after(lines if position else without_mark(lines), is_open)
            position += len(lines)
        if position > start:
            yield position
            start = position


def _line_start(file: BinaryIO, position: int, size: int) -> int:
    """Return the offset of the first line start at or after `position`."""
    if position <= 0 or position >= size:
        return max(0, min(position, size))
    file.seek(position - 1)  # a newline right before the position means that a line begins there
    return position - 1 + len(file.readline())


def _blank_bytes(format: TabularFormat) -> bytes:
    """Return the bytes that may make up a blank line; tabs are excluded if they are the separator."""
    return _WHITESPACE.replace(format.separator, "").encode() if format.format == "csv" else _WHITESPACE.encode()


def _spans_lines(format: TabularFormat) -> bool:
    """Return whether a record may span several lines."""
    return format.format == "csv" and format.multi_line


def _fault(record: bytes, format: TabularFormat) -> Optional[str]:
    """Return the fault of one record, as in `find_fault`."""
    if b'"' not in record and b"\r" not in record and not format.escape:
        return None
    quotes = _quotes(format)
    position, is_open = 0, _CLOSED
    for found in _STRAY_RETURN.finditer(record):
        is_open = quotes.open_after(record[position : found.end()], is_open)
        position = found.end()
        if not is_open:
            text = "has a carriage return, as its byte {}, that no line feed follows: let lines end with LF or CRLF"
            return text.format(position)
    is_open = quotes.open_after(record[position:], is_open)
    if not is_open:
        return None
    what = "ends inside a quoted field" if is_open == _QUOTED else "ends with a line end that is escaped"
    if format.multi_line:
        return what + ": a quote is never closed" if is_open == _QUOTED else what
    return what + ": set supportMultiLine if fields hold line ends"


def _quotes(format: TabularFormat) -> _Quotes:
    encoding = "utf-8" if format.encoding.lower().startswith("utf") else format.encoding
    return _made_quotes(format.separator.encode(encoding), (format.escape or "").encode(encoding))


@lru_cache(maxsize=16)
def _made_quotes(separator: bytes, escape: bytes) -> _Quotes:
    return _Quotes(separator, escape)


class _Quotes:
    """Tracks open quotes over complete lines of a csv file.

    A quote opens a field only at its start and is an ordinary character elsewhere (3.5" pipe). Inside a quoted field,
    two quotes represent one. Merely counting quotes would be wrong after the first such inch mark. The character after
    an escape character is ordinary; so is an escape character behind a closing quote.
    """

    def __init__(self, separator: bytes, escape: bytes) -> None:
        mark = re.escape(escape)
        pair = rb"|" + mark + rb"(?s:.)" if escape else b""
        dangling = (mark + rb"?") if escape else b""
        # Up to the closing quote, or to the end: then the first group is set.
        inside = rb'[^"%(m)s]*(?:(?:""%(p)s)[^"%(m)s]*)*(?:"%(d)s|%(d)s(\Z))' % {
            b"m": mark, b"p": pair, b"d": dangling,
        }  # fmt: skip
        start = rb"(?:\A|(?<=[\r\n])|(?<=" + re.escape(separator) + rb"))"
        # The second group is set by a line end that is escaped, and is the last one. A quote behind what is escaped
        # is inside a field.
        outside = rb"|" + mark + rb'(?:[\r\n](\Z)|(?s:.)|\Z)"*' if escape else rb"|(?!)(\Z)"
        self._edges = (separator, b"\r", b"\n")
        self._escape = escape
        self._rest = re.compile(inside)
        # Each alternative begins where the others cannot go on, so the match never tries twice.
        self._fields = re.compile(rb'(?:[^"' + mark + rb"]+|" + start + rb'"' + inside + rb'|"' + outside + rb")*")
        # The rest of a field that went on behind an escaped line end: in it, quotes are ordinary.
        self._field = re.compile(rb"(?:(?!" + re.escape(separator) + rb")[^" + mark + rb"\r\n]" + outside + rb")*")

        end = rb"(?=[\r\n]|\Z|" + re.escape(separator) + rb")"
        ordinary = rb"(?:" + mark + rb'(?s:.))+"*'  # behind a separator that is escaped, no field begins
        between = start + rb'"' + inside + (rb"|" + mark + rb"(?s:.)" if escape else rb"")
        self._separator = re.compile(between + rb"|(?P<separator>" + re.escape(separator) + rb")")
        self._null = re.compile(start + rb"(?:(" + mark + rb"N" + end + rb')|"' + inside + rb")|" + ordinary)

    def with_nulls(self, lines: bytes, null: bytes) -> bytes:
        """Return complete records in which `null` replaces each field that is the escape character and N."""
        return self._null.sub(lambda found: null if found.group(1) else found.group(), lines)

    def with_separator(self, lines: bytes, other: bytes) -> bytes:
        """Return complete records in which `other` replaces each separator outside of quoted fields."""
        return self._separator.sub(lambda found: other if found.group("separator") else found.group(), lines)

    def open_after(self, lines: bytes, is_open: int) -> int:
        """Return the state after `lines`, given the state `is_open` before them."""
        has_escape = bool(self._escape) and self._escape in lines
        if b'"' not in lines and not has_escape:
            return _QUOTED if is_open == _QUOTED else _CLOSED
        if len(lines) > _LONG and not has_escape and is_open != _ESCAPED:
            parts = lines.split(b'"')
            ends_open = bool(is_open) is (len(parts) % 2 == 1)
            if _are_at_field_edges(parts, self._edges, is_open=bool(is_open), ends_open=ends_open):
                return _QUOTED if ends_open else _CLOSED
        position = 0
        if is_open == _QUOTED:
            end = self._rest.match(lines)
            if end is None or end.group(1) is not None:
                return _QUOTED
            position = end.end()
        elif is_open == _ESCAPED:
            field = self._field.match(lines)
            if field is not None:
                if field.group(1) is not None:
                    return _ESCAPED
                position = field.end()
        match = self._fields.match(lines, position)
        if match is None:
            return _CLOSED
        return _QUOTED if match.group(1) is not None else _ESCAPED if match.group(2) is not None else _CLOSED

    def closes_field(self, lines: bytes) -> bool:
        """Return whether, assuming an open quote, the first closing quote is at the end of a field."""
        end = self._rest.match(lines)
        if end is None or end.group(1) is not None:
            return False
        return lines.startswith(self._edges, end.end()) or end.end() == len(lines)


def _are_at_field_edges(parts: List[bytes], edges: Tuple[bytes, ...], *, is_open: bool, ends_open: bool) -> bool:
    """Return whether all quotes in complete lines open or close fields, so that their parity gives the state.

    This holds if the text between each closing and opening quote begins and ends at field edges, or is empty (a doubled
    quote). Few distinct texts occur there, so checking each one once is fast.
    """
    outside = set(parts[2 - is_open : -1 : 2])
    if not is_open:
        outside.add(b"\n" + parts[0])
    if not ends_open:
        outside.add(parts[-1] + b"\n")
    return all(not part or (part.startswith(edges) and part.endswith(edges)) for part in outside)
