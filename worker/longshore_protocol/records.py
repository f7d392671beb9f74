"""Where the records of delimited and JSON-lines files begin and end, in bytes.

One rule for cutter and reader: the slice [start, end) of a file holds the records whose first byte lies in it, and the
header belongs to no slice. So any cut of a file gives each record to exactly one slice, and a cut that lies between
two records already is moved nowhere. A line ends with the byte 0x0A, before which there may be carriage returns.

Parsers of csv follow other rules: most end a record at any carriage return, and let any quote hold line ends. Where
that makes a difference there is a fault (`find_fault`), which cutter and reader refuse, so both see the same rows. The
functions seek and read the binary file that they are given, and open none.
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

_STATEFUL = ("hz", "iso2022", "utf-7")  # their characters borrow the bytes of the quote, between shifts
_ASCII_TRAILS = ("shift_jis", "cp932", "big5", "cp950", "gb", "cp949", "johab")  # characters may end with such a byte:
_TRAILS = range(0x40, 0x7F)
_CLOSED, _QUOTED, _ESCAPED = range(3)  # what is open at the end of lines: nothing, a quote, a line end that was escaped
_STRAY_RETURN = re.compile(rb"\r(?![\r\n]|\Z)")
_WHITESPACE = " \t\r\n"
_LONG = 1 << 12  # from this number of bytes on, looking at all quotes at once pays
_LONGEST_HEADER = 16 << 20  # bytes
_LOOK_BACK = 1 << 16  # bytes
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c", b"\x01", b"\x02", b"\x03", b"\x04")  # for longer separators
_BLOCK = 1 << 17  # bytes looked at in one step: they stay in the processor's cache


def is_splittable(format: TabularFormat) -> bool:
    r"""Tell whether the bytes that cut a text in this format are always newlines, quotes, separators and escapes.

    They are in UTF-8 and in what extends ASCII byte by byte, and are not in UTF-16 and UTF-32: such a file is read
    whole. Raises LookupError for an encoding that Python does not know.
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
    """Tell whether the first record of each file names the columns."""
    return format.format == "csv" and format.header


def without_mark(first: bytes) -> bytes:
    """Return the first bytes of a file without the byte order mark of UTF-8."""
    return first[len(codecs.BOM_UTF8) :] if first.startswith(codecs.BOM_UTF8) else first


def aligned_range(file: BinaryIO, start: int, end: int, size: int) -> Tuple[int, int]:
    """Return the byte range of the records that begin in [start, end) of a file of `size` bytes, for plain lines.

    A bound inside a line moves to the end of that line; start == end of the result means that no record begins there.
    """
    return _line_start(file, start, size), _line_start(file, end, size)


def header_line(file: BinaryIO, format: TabularFormat) -> bytes:
    """Return the bytes up to and with the first record that is not blank: their number is where the first row begins.

    A byte order mark and blank lines before the record are part of it, as parsers skip both. Empty for a file without
    any record. No more than 16 MiB of a record are read: what is longer is a fault.
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
    """Return an iterator over records from `start` on: where each ends, whether it is a blank line, and its bytes.

    The newline of a record is a part of it. `start` must be where a record begins. Newlines inside quotes belong to
    their record with `multi_line` only. Parsers make no row of a blank line. A byte order mark is no part of the bytes.
    """
    file.seek(start)
    return _records(file, format, start)


def _records(lines: Iterable[bytes], format: TabularFormat, start: int) -> Iterator[Tuple[int, bool, bytes]]:
    blanks = _blank_bytes(format)
    quotes = _quotes(format) if _spans_lines(format) else None
    position, is_open = start, _CLOSED
    earlier: List[bytes] = []  # lines of a record that is not at its end
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
        # A quote that is never closed: the rest of the file is one record, as parsers see it.
        yield position, False, b"".join(earlier)


def count_records(lines: bytes, format: TabularFormat) -> int:
    """Return the number of records in whole csv lines; blank lines are none."""
    if _spans_lines(format):
        return sum(not is_blank for _, is_blank, _ in each_record(io.BytesIO(lines), format))
    blanks = _blank_bytes(format)
    return sum(1 for line in lines.split(b"\n") if line.strip(blanks))


def split_record(text: str, format: TabularFormat) -> List[str]:
    """Return the fields of a csv record, given without its line end, of whatever length they are."""
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
        csv.field_size_limit(limit)  # it is the whole process's, and the user's own setting


def with_short_separator(lines: bytes, format: TabularFormat) -> Tuple[bytes, str, str]:
    """Return whole csv records with a separator of one byte, that separator, and the encoding that they are in.

    The parser of pandas that takes longer ones takes quotes for a part of their fields, and rounds floats. Raises
    ValueError for lines in which every character occurs that could stand for the separator.
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
    raise ValueError("all control characters occur that could stand for its separator: choose one of one character")


def mark_nulls(lines: bytes, format: TabularFormat) -> bytes:
    r"""Return whole csv records with `cells.NULL` for each field that is an escape character and N.

    So databases write a missing value: \N, without quotes. Parsers would make it the letter.
    """
    if not format.escape or "{}N".format(format.escape).encode() not in lines:
        return lines
    return _quotes(format).with_nulls(lines, NULL.encode())


def find_fault(lines: bytes, format: TabularFormat, *, is_first: bool = False) -> Optional[Tuple[int, str]]:
    """Return where the first record of whole csv lines that parsers see otherwise begins, and what it has; or None.

    The text goes on "the record at byte 7 ...". `is_first` tells that the lines are the beginning of a file, up to its
    first record.
    """
    start = 0
    for end, _, record in each_record(io.BytesIO(lines), format):
        if is_first and b"\0" in record:
            text = "has a zero byte, which no text in {} has: set encoding, to utf-16 perhaps"
            return start, text.format(format.encoding)
        fault = _fault(record, format)
        if fault is not None:
            return start, fault
        if is_first and len(record) >= _LONGEST_HEADER:
            return start, "has more than {} bytes, and is the first one of its file".format(_LONGEST_HEADER)
        start = end
    return None


def may_begin_inside_quote(rows: bytes, format: TabularFormat) -> bool:
    """Tell whether whole csv lines may begin with the rest of a field that a line before them opened."""
    if not rows or _spans_lines(format):
        return False
    return b'"' not in rows or _quotes(format).closes_field(rows)


def begins_inside_quote(file: BinaryIO, start: int, first_row: int, format: TabularFormat) -> bool:
    """Tell whether a line before `start` opens a quote that none closes; at most 64 KiB are searched.

    `start` is where a line begins, and rows begin at `first_row`.
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
    """Yield the first record start at or after each multiple of `step` bytes behind `start`, then the file's end.

    `start` must be where a record begins; each number is yielded once. The file is read once, from `start` on.
    """
    quotes = _quotes(format) if _spans_lines(format) else None
    file.seek(start)
    position, is_open, lines = start, _CLOSED, b"\n"
    while lines:
        target = (position // step + 1) * step
        while lines and (position < target or is_open):
            # Whole lines, and never past the line in which the target lies.
            wanted = min(_BLOCK, target - position - 1)
            lines = (file.read(wanted) if wanted > 0 else b"") + file.readline()
            if quotes is not None:
                is_open = quotes.open_after(lines if position else without_mark(lines), is_open)
            position += len(lines)
        if position > start:
            yield position
            start = position


def _line_start(file: BinaryIO, position: int, size: int) -> int:
    """Return where the first line at or after `position` begins."""
    if position <= 0 or position >= size:
        return max(0, min(position, size))
    file.seek(position - 1)  # a newline right before the position means that a line begins there
    return position - 1 + len(file.readline())


def _blank_bytes(format: TabularFormat) -> bytes:
    """Return the bytes that a blank line may consist of: of tabs, a tab-separated line has empty fields."""
    return _WHITESPACE.replace(format.separator, "").encode() if format.format == "csv" else _WHITESPACE.encode()


def _spans_lines(format: TabularFormat) -> bool:
    """Tell whether a record may have several lines."""
    return format.format == "csv" and format.multi_line


def _fault(record: bytes, format: TabularFormat) -> Optional[str]:
    """Return what parsers see otherwise in a record, as `find_fault` does."""
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
    """Follows the quotes of a csv file over whole lines.

    A quote opens only at the start of a field and is an ordinary character elsewhere (3.5" pipe); inside, two stand
    for one. Counting quotes alone would be wrong from the first such inch mark to the end of the file. What follows an
    escape character is ordinary, but an escape character behind a closing quote is ordinary itself.
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
        """Return whole records with other bytes for the escape character and N, where they are a field."""
        return self._null.sub(lambda found: null if found.group(1) else found.group(), lines)

    def with_separator(self, lines: bytes, other: bytes) -> bytes:
        """Return whole records with other bytes for the separators, which are no part of a quoted field."""
        return self._separator.sub(lambda found: other if found.group("separator") else found.group(), lines)

    def open_after(self, lines: bytes, is_open: int) -> int:
        """Return what is open after `lines`; `is_open` tells it of their start."""
        has_escape = bool(self._escape) and self._escape in lines
        if b'"' not in lines and not has_escape:
            return _QUOTED if is_open == _QUOTED else _CLOSED
        if len(lines) > _LONG and not has_escape and is_open != _ESCAPED:
            parts = lines.split(b'"')
            ends_open = bool(is_open) is (len(parts) % 2 == 1)
            if _are_well_placed(parts, self._edges, is_open=bool(is_open), ends_open=ends_open):
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
        """Tell whether the first quote that is single, if a quote was open before, is followed by the field's end."""
        end = self._rest.match(lines)
        if end is None or end.group(1) is not None:
            return False
        return lines.startswith(self._edges, end.end()) or end.end() == len(lines)


def _are_well_placed(parts: List[bytes], edges: Tuple[bytes, ...], *, is_open: bool, ends_open: bool) -> bool:
    """Tell whether quotes that part whole lines open and close fields only: then their number decides what is open.

    That is so when what lies between a closing and an opening quote reaches from edge to edge of fields, or is
    nothing (a doubled quote). Mostly it is one of a few separators, so that looking at each once is fast.
    """
    outside = set(parts[2 - is_open : -1 : 2])
    if not is_open:
        outside.add(b"\n" + parts[0])
    if not ends_open:
        outside.add(parts[-1] + b"\n")
    return all(not part or (part.startswith(edges) and part.endswith(edges)) for part in outside)
