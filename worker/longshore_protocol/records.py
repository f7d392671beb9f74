"""Where the records of delimited and JSON-lines files begin and end, in bytes.

One rule for cutter and reader: the slice [start, end) of a file holds the records whose first byte lies in it, and the
header belongs to no slice. So any cut of a file gives each record to exactly one slice, and a cut that lies between
two records already is moved nowhere. A line ends with the byte 0x0A; a carriage return alone ends none. The functions
seek and read the binary file that they are given, and open none.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO, Iterator, List, Tuple

from longshore_protocol.job import TabularFormat

_STATEFUL = ("hz", "iso2022", "utf-7")  # their characters borrow the bytes of the quote, between shifts
_WHITESPACE = " \t\r\n"
_LONG = 1 << 12  # from this number of bytes on, looking at all quotes at once pays
_BLOCK = 1 << 17  # bytes looked at in one step: they stay in the processor's cache


def is_splittable(encoding: str) -> bool:
    r"""Tell whether the bytes 0x0A and 0x22 of a text in this encoding are always a newline and a quote.

    They are in UTF-8 and in what extends ASCII byte by byte, and are not in UTF-16 and UTF-32: such a file is read
    whole. Raises LookupError for an encoding that Python does not know.
    """
    name = codecs.lookup(encoding).name
    if name == "utf-8-sig":
        return True
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
    any record.
    """
    file.seek(0)
    end = next((end for end, blank, _ in each_record(file, format) if not blank), 0)
    file.seek(0)
    return file.read(end)


def each_record(file: BinaryIO, format: TabularFormat, *, start: int = 0) -> Iterator[Tuple[int, bool, bytes]]:
    """Yield where each record from `start` on ends, its newline included, whether it is a blank line, and its bytes.

    `start` must be where a record begins. Newlines inside quotes belong to their record with `multi_line` only.
    Parsers make no row of a blank line. A byte order mark is no part of the bytes.
    """
    blanks = _blank_bytes(format)
    quotes = _Quotes(format) if _has_quotes(format) else None
    file.seek(start)
    position, is_open = start, False
    earlier: List[bytes] = []  # lines of a record that is not at its end
    for line in file:
        position += len(line)
        if not start and position == len(line):
            line = without_mark(line)
        is_blank = not is_open and not line.strip(blanks)
        if quotes is not None:
            is_open = quotes.open_after(line, is_open=is_open)
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


def record_starts(file: BinaryIO, format: TabularFormat, *, start: int, step: int) -> Iterator[int]:
    """Yield the first record start at or after each multiple of `step` bytes behind `start`, then the file's end.

    `start` must be where a record begins; each number is yielded once. The file is read once, from `start` on.
    """
    quotes = _Quotes(format) if _has_quotes(format) else None
    file.seek(start)
    position, is_open, lines = start, False, b"\n"
    while lines:
        target = (position // step + 1) * step
        while lines and (position < target or is_open):
            # Whole lines, and never past the line in which the target lies.
            wanted = min(_BLOCK, target - position - 1)
            lines = (file.read(wanted) if wanted > 0 else b"") + file.readline()
            if quotes is not None:
                is_open = quotes.open_after(lines if position else without_mark(lines), is_open=is_open)
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


def _has_quotes(format: TabularFormat) -> bool:
    return format.format == "csv" and format.multi_line


class _Quotes:
    """Follows the quotes of a csv file over whole lines.

    A quote opens only at the start of a field and is an ordinary character elsewhere (3.5" pipe); inside, two stand
    for one. Counting quotes alone would be wrong from the first such inch mark to the end of the file.
    """

    def __init__(self, format: TabularFormat) -> None:
        encoding = "utf-8" if format.encoding.lower().startswith("utf") else format.encoding
        separator = format.separator.encode(encoding)
        inside = rb'[^"]*(?:""[^"]*)*(?:"|(\Z))'  # up to the closing quote, or to the end: then the group is set
        start = rb"(?:\A|(?<=[\r\n])|(?<=" + re.escape(separator) + rb"))"
        self._edges = (separator, b"\r", b"\n")
        self._rest = re.compile(inside)
        # Each alternative begins where the others cannot go on, so the match never tries twice.
        self._fields = re.compile(rb'(?:[^"]+|' + start + rb'"' + inside + rb'|")*')

    def open_after(self, lines: bytes, *, is_open: bool) -> bool:
        """Tell whether a quote is open after `lines`; `is_open` tells it of their start."""
        if b'"' not in lines:
            return is_open
        if len(lines) > _LONG:
            parts = lines.split(b'"')
            ends_open = is_open is (len(parts) % 2 == 1)
            if _are_well_placed(parts, self._edges, is_open=is_open, ends_open=ends_open):
                return ends_open
        position = 0
        if is_open:
            end = self._rest.match(lines)
            if end is None or end.group(1) is not None:
                return True
            position = end.end()
        match = self._fields.match(lines, position)
        return match is not None and match.group(1) is not None


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
