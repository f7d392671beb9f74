"""From one slice of a tabular file to the DataFrame that `run()` is given.

pandas and pyarrow belong to the user's environment and are imported only when a slice is read.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Tuple

from longshore_host import query_rows
from longshore_protocol import records
from longshore_protocol.errors import DATA_ERROR

if TYPE_CHECKING:
    import pandas

    from longshore_protocol.job import TabularFormat


class SliceError(Exception):
    """A slice that could not be read; its text is one sentence."""

    category = DATA_ERROR


def load(slice: Dict[str, Any], format: TabularFormat) -> pandas.DataFrame:
    """Return the rows of a slice, in the order of the file, indexed 0 to n - 1.

    `slice` is {"path", "start", "end"} in bytes of a local csv or jsonl file, or, of a Parquet file, {"path",
    "row_groups": [first, last + 1], "rows": [first, last + 1] within those groups, or null for all}. A csv without
    header has the columns Column1, Column2, … Raises SliceError for rows that cannot be read, and for an environment
    without the package that reads them; MemoryError as it is. "copy_of", if there, is the slice of another machine's
    file that this one was copied from: the one that its user knows. The slice of a query is always such a copy.
    """
    try:
        if format.format == "parquet":
            return _read_parquet(slice, format)
        if format.format == "sql":
            return _typed(query_rows.read(slice["path"], format.column_types), format.column_types)
        with open(slice["path"], "rb") as file:
            return _read_text(file, format, start=slice["start"], end=slice["end"])
    except MemoryError:  # the data is well
        raise
    except ImportError as error:
        package = "pyarrow" if "pyarrow" in str(error) else "pandas"
        message = 'A {} input needs the Python package "{}" in the environment: {}.'
        raise SliceError(message.format(format.format, package, _cause(error))) from error
    except Exception as error:  # whatever a parser raises: the data is unreadable
        message = 'The file "{}" could not be read as {} from {} on: {}.'
        known = slice.get("copy_of", slice)
        raise SliceError(message.format(known["path"], format.format, _place(known), _cause(error))) from error


def _read_text(file: BinaryIO, format: TabularFormat, *, start: int, end: int) -> pandas.DataFrame:
    encoding = format.encoding
    if not records.is_splittable(encoding):  # the slice is the whole file
        file, encoding = io.BytesIO(file.read().decode(encoding).encode()), "utf-8"
        start, end = 0, file.seek(0, io.SEEK_END)
    header = records.header_line(file, format) if format.format == "csv" else b""
    start, end = records.aligned_range(file, start, end, file.seek(0, io.SEEK_END))
    if records.has_header(format):
        start, end = max(start, len(header)), max(end, len(header))
    file.seek(start)
    rows = file.read(end - start)
    if start == 0:
        rows = records.without_mark(rows)
    if format.format == "csv":
        return _parse_csv(header, rows, format, encoding)
    return _parse_lines(rows, format, encoding)


def _parse_csv(first: bytes, rows: bytes, format: TabularFormat, encoding: str) -> pandas.DataFrame:
    """Parse `rows`; `first` is the first record of the file, which names the columns or shows how many there are."""
    import pandas

    if not first:
        return pandas.DataFrame()
    names = _column_names(first, format.separator, encoding, has_header=records.has_header(format))
    types = {name: str if _is_date(kind) else kind for name, kind in format.column_types.items()}
    with warnings.catch_warnings():
        # A row with more fields than the header is an error wherever it comes; pandas only warns at the first row.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        frame = pandas.read_csv(
            io.BytesIO(rows), names=list(names), header=None, dtype=types, **_options(format.separator, encoding)
        )
    return _typed(frame, {name: kind for name, kind in format.column_types.items() if _is_date(kind)})


@lru_cache(maxsize=16)  # the slices of a file share its header
def _column_names(first: bytes, separator: str, encoding: str, *, has_header: bool) -> Tuple[str, ...]:
    """Return the columns as pandas names them (a second "a" is "a.1"), or Column1, Column2, ... without a header."""
    import pandas

    file, options = io.BytesIO(records.without_mark(first)), _options(separator, encoding)
    if has_header:
        return tuple(pandas.read_csv(file, nrows=0, **options).columns)
    count = len(pandas.read_csv(file, header=None, nrows=1, **options).columns)
    return tuple("Column{}".format(number) for number in range(1, count + 1))


def _options(separator: str, encoding: str) -> Dict[str, Any]:
    is_simple = len(separator) == 1
    return {
        "sep": separator if is_simple else re.escape(separator),
        "engine": "c" if is_simple else "python",  # only the slower one knows separators of several characters
        "encoding": encoding,
        "index_col": False,  # else a first row with too many fields would silently become an index
    }


def _parse_lines(rows: bytes, format: TabularFormat, encoding: str) -> pandas.DataFrame:
    import pandas

    found = []
    for number, line in enumerate(rows.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode(encoding))
        except ValueError as error:
            raise ValueError("line {} of the slice is not JSON: {}".format(number, error)) from error
        if not isinstance(row, dict):
            raise TypeError("line {} of the slice is not a JSON object".format(number))
        found.append(row)
    return _typed(pandas.DataFrame(found), format.column_types)


def _read_parquet(slice: Dict[str, Any], format: TabularFormat) -> pandas.DataFrame:
    import pandas
    import pyarrow.parquet

    first, last = slice["row_groups"]
    with open(slice["path"], "rb") as file:
        table = pyarrow.parquet.ParquetFile(file).read_row_groups(list(range(first, last)))
    if slice["rows"] is not None:
        begin, end = slice["rows"]
        table = table.slice(begin, end - begin)
    frame = table.to_pandas()
    # An index that pandas stored with names holds the user's data (often the key of a row): it becomes columns again.
    is_count = isinstance(frame.index, pandas.RangeIndex) or list(frame.index.names) == [None]
    return _typed(frame.reset_index(drop=is_count), format.column_types)


def _typed(frame: pandas.DataFrame, types: Dict[str, str]) -> pandas.DataFrame:
    """Return the frame with the columns that it has of `types` converted."""
    import pandas

    if not types:
        return frame
    frame = frame.astype({name: kind for name, kind in types.items() if name in frame and not _is_date(kind)})
    for name, kind in types.items():
        if name in frame and _is_date(kind):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that a format was guessed: nobody could name one
                values: Any = pandas.to_datetime(frame[name], utc="," in kind)
            if "[" in kind:
                values = values.astype(kind)
            elif values.dt.tz is None:
                values = values.astype("datetime64[ns]")  # else the unit would depend on the rows of the slice
            frame[name] = values
    return frame


def _is_date(kind: str) -> bool:
    return kind.startswith("datetime")


def _place(slice: Dict[str, Any]) -> str:
    """Say where in its file a slice begins."""
    if "keys" in slice:
        return "the row {}".format((slice["keys"] or [None])[0] or 1)
    if "start" in slice:
        return "byte {}".format(slice["start"])
    row = "" if slice["rows"] is None else "row {} of ".format(slice["rows"][0])
    return "{}row group {}".format(row, slice["row_groups"][0])


def _cause(error: BaseException) -> str:
    """Return an exception as part of a sentence: what it says, in one line, without a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return "{}: {}".format(type(error).__name__, text) if text else type(error).__name__
