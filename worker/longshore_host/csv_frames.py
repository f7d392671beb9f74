"""Parse csv records into a DataFrame with pandas' parser, without its guessing, wrapping and rounding."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set, Tuple

from longshore_host import columns
from longshore_protocol import cells, records

if TYPE_CHECKING:
    import pandas

    from longshore_protocol.job import TabularFormat

_BLOCK = 1 << 20  # bytes compared at a time
_FEED, _RETURN = b"\n\r"


def parse(first: bytes, rows: bytes, format: TabularFormat, *, check: Callable[[int], None]) -> pandas.DataFrame:
    """Parse the rows of a csv file into a DataFrame.

    Args:
        first: The first record of the file, which has the names or the number of the columns.
        rows: The records to parse.
        format: The format of the file.
        check: Called with the number of rows before their values are converted.

    Raises:
        columns.BadValue: A value does not have the type of its column.
        Exception: Any error of pandas or `check`.
    """
    import pandas

    if not first:
        return pandas.DataFrame()
    header = names(first, format)
    rows, separator, encoding = records.with_short_separator(records.mark_nulls(rows, format), format)
    if rows[:1] > b"\x7f":  # perhaps a byte order mark within a file, which the parser would strip from the first row
        rows = b"\n" + rows
    read: Any = partial(
        pandas.read_csv,
        names=list(header),
        header=None,
        # The same texts for each version of pandas, and for partition keys.
        keep_default_na=False,
        na_values=sorted(cells.missing_texts(format)),
        **_options(separator, encoding, format.escape),
    )
    types = {name: kind for name in header for kind in [format.type_of(name)] if kind is not None}
    with warnings.catch_warnings():
        # A row with more fields than the header is an error anywhere; pandas only warns if it is the first one.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        warnings.simplefilter("error", RuntimeWarning)  # a number that its type does not hold
        # A number may mean a missing value in every spelling; the parser knows only some.
        has_numbers = bool(cells.missing_numbers(format))
        frame, parsed = _parse_types(read, rows, types, as_texts=has_numbers)
        for name in types if has_numbers else ():
            frame[name] = columns.without(frame[name], cells.missing(format))
        check(len(frame))
        inferred = [name for name in header if name not in types]
        lossy = [name for name in inferred if columns.is_lossy(frame[name])]
        missing = cells.missing_texts(format)
        given_up = [name for name in inferred if columns.may_be_integers(frame[name], missing)]
        if lossy or given_up:
            texts = read(io.BytesIO(rows), dtype=str)
            for name in given_up:
                frame[name] = texts[name]
            for name in lossy + given_up:
                exact = columns.integers(texts[name])
                if exact is not None:
                    frame[name] = exact
    return columns.typed(frame, format, only=types.keys() - parsed)


def _parse_types(read: Any, rows: bytes, types: Dict[str, str], *, as_texts: bool) -> Tuple[pandas.DataFrame, Set[str]]:
    """Parse the rows; return the columns, and the names of those that have their declared type already.

    Other columns are texts or have a wider type. `as_texts` reads all as texts, since numbers may mean missing values.
    """
    wanted = {name: "str" if as_texts else columns.parsed_type(kind) for name, kind in types.items()}
    try:
        frame = read(io.BytesIO(rows), dtype={name: str if kind == "str" else kind for name, kind in wanted.items()})
        doubtful = any(columns.may_be_rounded(frame[name]) or columns.may_be_cut(frame[name]) for name in types) or (
            any(columns.may_be_truth(frame[name]) for name in types) and _has_truth(rows)
        )
        if not doubtful:
            return frame, {name for name, kind in types.items() if wanted[name] == kind}
    except (ValueError, TypeError, OverflowError, RuntimeWarning):
        pass  # reading texts finds the wrong value, or raises the same error again
    return read(io.BytesIO(rows), dtype=dict.fromkeys(types, str)), set()


def count_lines(rows: bytes) -> int:
    """Return the number of line feeds; numpy counts five times as fast as bytes.count."""
    import numpy

    values = numpy.frombuffer(rows, numpy.uint8)
    return sum(int(numpy.count_nonzero(values[at : at + _BLOCK] == _FEED)) for at in range(0, len(rows), _BLOCK))


def are_returns_of_line_ends(rows: bytes) -> bool:
    """Return whether a line feed follows each carriage return; `rows` must end with a line feed."""
    import numpy

    values = numpy.frombuffer(rows, numpy.uint8)
    return bool((values[numpy.flatnonzero(values == _RETURN) + 1] == _FEED).all())


def _has_truth(rows: bytes) -> bool:
    """Return whether the word true or false occurs, in any case."""
    lower = rows.lower()  # a pattern that ignores case takes twenty times as long
    return b"true" in lower or b"false" in lower


def names(first: bytes, format: TabularFormat) -> Tuple[str, ...]:
    """Return the columns as pandas names them (a second "a" is "a.1"), or Column1, Column2, ... without a header."""
    if format.names:
        return tuple(format.names)
    record, separator, encoding = records.with_short_separator(records.without_mark(first), format)
    return _column_names(record, separator, encoding, format.escape, has_header=records.has_header(format))


@lru_cache(maxsize=16)  # the slices of a file share its header
def _column_names(
    first: bytes, separator: str, encoding: str, escape: Optional[str], *, has_header: bool
) -> Tuple[str, ...]:
    import pandas

    file, options = io.BytesIO(first), _options(separator, encoding, escape)
    if has_header:
        return tuple(pandas.read_csv(file, nrows=0, **options).columns)
    count = len(pandas.read_csv(file, header=None, nrows=1, **options).columns)
    return tuple("Column{}".format(number) for number in range(1, count + 1))


def _options(separator: str, encoding: str, escape: Optional[str]) -> Dict[str, Any]:
    # Without index_col, a first row with too many fields would be an index.
    options: Dict[str, Any] = {"encoding": encoding, "escapechar": escape, "index_col": False, "sep": separator}
    # In one go: parts of a mini-batch would have types of their own.
    options.update(engine="c", low_memory=False)
    if _pandas_version() < (3, 1):  # where floats are rounded in their last digit, unless one asks
        options["float_precision"] = "round_trip"
    return options


def _pandas_version() -> Tuple[int, int]:
    import pandas

    major, minor = pandas.__version__.split(".")[:2]
    return int(major), int(minor)
