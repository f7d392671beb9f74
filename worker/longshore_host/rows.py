"""Convert results of run() to bytes of the output file.

Each process has one `Renderer`, which is called once per mini-batch. pandas is used only if the script has imported it;
pyarrow is imported only for Parquet output.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from longshore_host.returned import WrongReturn, are_plain, printing_whole, refuse_tables, texts, whole, whole_frame
from longshore_host.settings_file import SettingsError, read_settings
from longshore_protocol.frames import MAX_BODY
from longshore_protocol.job import SUMMARY_ONLY, Output
from longshore_protocol.messages import MAX_COLUMNS

if TYPE_CHECKING:
    from longshore_host.parquet_rows import ParquetRows

__all__ = ["Rendered", "Renderer", "SettingsError", "WrongReturn", "read_settings"]

_REQUIRED = "it must return a list, tuple, array or pandas.DataFrame with one element or row per item that succeeded"
_TOO_LARGE = (
    "run() returned {} bytes of rows and a mini-batch may have at most {}: make mini-batches smaller, or write large "
    "results to files in the output folder"
)
_KEPT_HEADERS = 100  # limit for scripts whose tables have different columns each time
_TOO_WIDE = "the names of the columns have {} characters in all and may have at most {}: return fewer columns"
_SEPARATORS = {"text": " ", "csv": ",", "tsv": "\t"}


class Rendered(NamedTuple):
    """The rows of one mini-batch."""

    succeeded: int  # len(result)
    data: bytes  # UTF-8 lines that each end with a newline, or one whole Parquet file; b"" for no rows
    header: str  # the header line with a newline; without one if it is not written, "" for unknown columns


class Renderer:
    """Converts results of run() to rows in the format of an output and of the script's settings file."""

    def __init__(self, output: Output, settings: Optional[Dict[str, Any]] = None) -> None:
        """Prepare the format of an output with the result of `read_settings`.

        Raises SettingsError for an unknown format, and for Parquet without pyarrow.
        """
        self._format = None if output.action == SUMMARY_ONLY else _format(output, settings or {})

    def render(self, result: Any) -> Rendered:
        """Return the rows of a result of run().

        Raises WrongReturn for a result that is not a sized sequence or DataFrame, or that the format cannot represent.
        Errors of an element's `__str__` pass through.
        """
        table = _is_frame(result)
        if not table and type(result) is not list:
            _require_sequence(result)
        succeeded = len(result)
        if self._format is None or not succeeded:
            return Rendered(succeeded, b"", "")
        if table:
            data, header = self._format.table(result)
        else:
            data, header = self._format.elements(_elements(result))
        if len(data) > MAX_BODY:
            raise WrongReturn(_TOO_LARGE.format(len(data), MAX_BODY))
        if len(header) > MAX_COLUMNS:
            raise WrongReturn(_TOO_WIDE.format(len(header), MAX_COLUMNS))
        if not header.isascii():
            _require_text(header)
        return Rendered(succeeded, data, header)


# Each format has elements() for lists and table() for DataFrames; both get at least one row and return (rows, header).


class _Text:
    """Azure ML's default: str(element) for lists, columns separated by a space for DataFrames."""

    def __init__(self, output: Output, settings: Dict[str, Any]) -> None:
        self._arguments: Dict[str, Any] = {"sep": _SEPARATORS[output.format], "index": False}
        self._arguments.update(settings)
        if output.separator is not None:
            self._arguments["sep"] = output.separator
        self.header = self._arguments.pop("header", False) or output.header  # a list of names is legal too
        self._headers: Dict[str, str] = {}  # by the names of columns and index

    def elements(self, values: Sequence[Any]) -> Tuple[bytes, str]:
        refuse_tables(values)
        return _encode("\n".join(texts(values)) + "\n"), ""

    def table(self, frame: Any) -> Tuple[bytes, str]:
        header, shown = self._header_of(frame), whole_frame(frame)
        if shown is frame:
            return _encode(frame.to_csv(header=False, **self._arguments)), header
        with printing_whole():
            return _encode(shown.to_csv(header=False, **self._arguments)), header

    def _header_of(self, frame: Any) -> str:
        names = frame.columns
        if not self.header and type(names).__name__ == "RangeIndex":
            return ""
        key = repr((list(names), list(frame.index.names)))
        header = self._headers.get(key)
        if header is None:
            # A table without rows yields the header alone. Cutting it off the whole text would need a parser, since
            # names of columns may contain newlines.
            header = frame.iloc[:0].to_csv(header=self.header or True, **self._arguments)
            if len(self._headers) < _KEPT_HEADERS:
                self._headers[key] = header
        return header if self.header else header[:-1]


class _Delimited:
    """csv and tsv: fields quoted where needed. DataFrames are written as in `_Text`, with another separator."""

    def __init__(self, output: Output, settings: Dict[str, Any]) -> None:
        self._text = _Text(output, settings)
        self._header = self._text.header
        self._separator = _SEPARATORS[output.format] if output.separator is None else output.separator

    def elements(self, values: Sequence[Any]) -> Tuple[bytes, str]:
        refuse_tables(values)
        columns = _columns(values[0])
        rows: Sequence[Sequence[Any]]
        if isinstance(values[0], Mapping):
            rows = _records(values, list(values[0]))
        else:
            rows = [_fields(value, place, columns) for place, value in enumerate(values)]
        header = "" if columns is None else self._lines([columns])
        return _encode(self._whole_lines(rows)), header if self._header else header[:-1]

    def table(self, frame: Any) -> Tuple[bytes, str]:
        return self._text.table(frame)

    def _whole_lines(self, rows: Sequence[Sequence[Any]]) -> str:
        if are_plain(chain.from_iterable(rows)):
            return self._lines(rows)
        with printing_whole():
            return self._lines([[whole(cell) for cell in row] for row in rows])

    def _lines(self, rows: Sequence[Sequence[Any]]) -> str:
        lines = _Lines()
        # The writer quotes only those line ends that its terminator is made of: with "\r\n" it quotes both.
        csv.writer(lines, delimiter=self._separator, lineterminator="\r\n").writerows(rows)
        return "".join(lines.lines)


class _Lines:
    """Collects the records of a csv.writer, one per call, each with a newline as its end."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def write(self, record: str) -> None:
        self.lines.append(record[:-2] + "\n")


class _JsonLines:
    """One JSON document per element; one object per row of a DataFrame, without its index."""

    def __init__(self) -> None:
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode

    def elements(self, values: Sequence[Any]) -> Tuple[bytes, str]:
        refuse_tables(values)
        lines = []
        for place, value in enumerate(values):
            record = value._asdict() if hasattr(value, "_asdict") else value
            try:
                lines.append(self._line(record))
            except (TypeError, ValueError) as error:
                raise WrongReturn("element {} of what run() returned is not JSON: {}".format(place, error)) from error
        # Half a surrogate pair becomes its JSON escape.
        return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"), ""

    def table(self, frame: Any) -> Tuple[bytes, str]:
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise WrongReturn("run() returned a DataFrame whose column names are not unique: {}".format(names))
        columns = [_cells(frame.iloc[:, place]) for place in range(len(names))]
        rows = zip(*columns) if columns else [()] * len(frame)
        return self.elements([dict(zip(names, row)) for row in rows])

    def _line(self, value: Any) -> str:
        try:
            return self._encode(value)
        except (TypeError, ValueError):  # NaN, infinity, or keys of a type that JSON lacks
            return self._encode(_clean(value))


_Format = Union[_Text, _Delimited, _JsonLines, "ParquetRows"]


def _format(output: Output, settings: Dict[str, Any]) -> _Format:
    if output.format == "text":
        return _Text(output, settings)
    if output.format in ("csv", "tsv"):
        return _Delimited(output, settings)
    if output.format == "jsonl":
        return _JsonLines()
    if output.format == "parquet":
        from longshore_host.parquet_rows import (
            ParquetRows,
        )  # late: it imports hashlib, for which other formats would wait

        return ParquetRows()
    raise SettingsError("output format is {!r}; it must be text, csv, tsv, jsonl or parquet".format(output.format))


def _is_frame(result: Any) -> bool:
    # A script that has not imported pandas cannot return its table.
    frame_type = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return frame_type is not None and isinstance(result, frame_type)


def _require_sequence(result: Any) -> None:
    if isinstance(result, Iterator):
        name = "a generator (it uses yield)" if hasattr(result, "gi_frame") else "an iterator"
        raise WrongReturn("run() returned {}; {}".format(name, _REQUIRED))
    if hasattr(result, "cr_frame"):
        result.close()  # otherwise Python prints a warning
        message = "run() returned a coroutine, which is not awaited; define an asynchronous run() with async def"
        raise WrongReturn(message)
    if result is None:
        raise WrongReturn("run() returned None; {}".format(_REQUIRED))
    refused = isinstance(result, (str, bytes, bytearray, memoryview, Mapping, AbstractSet))
    sized = hasattr(result, "__len__") and hasattr(result, "__getitem__") and getattr(result, "ndim", 1) != 0
    if refused or not sized or hasattr(result, "columns"):  # tables of other packages iterate over columns
        kind = type(result)
        name = kind.__name__ if kind.__module__ == "builtins" else "{}.{}".format(kind.__module__, kind.__name__)
        raise WrongReturn("run() returned a value of type {}; {}".format(name, _REQUIRED))


def _elements(result: Any) -> Sequence[Any]:
    if type(result) is list:
        return result
    values = list(result)
    if len(values) != len(result):
        message = "run() returned {} elements in a {} whose length is {}; {}"
        raise WrongReturn(message.format(len(values), type(result).__name__, len(result), _REQUIRED))
    return values


def _require_text(header: str) -> None:
    try:
        header.encode()
    except UnicodeEncodeError as error:
        raise WrongReturn("a column's name cannot be written as UTF-8: {}".format(error)) from error


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # file names that are not UTF-8 get their bytes back
    except UnicodeEncodeError as error:
        raise WrongReturn("what run() returned cannot be written as UTF-8: {}".format(error)) from error


def _columns(value: Any) -> Optional[List[str]]:
    if isinstance(value, Mapping):
        return list(value)
    return list(value._fields) if isinstance(value, tuple) and hasattr(value, "_fields") else None


def _records(values: Sequence[Any], columns: List[str]) -> List[List[Any]]:
    known = set(columns)
    for place, value in enumerate(values):
        if not isinstance(value, Mapping) or set(value) != known:
            found = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            message = "element {} of what run() returned has the columns {}; element 0 has {}"
            raise WrongReturn(message.format(place, found, sorted(map(str, known))))
    return [[value[column] for column in columns] for value in values]


def _fields(value: Any, place: int, columns: Optional[List[str]]) -> Sequence[Any]:
    if columns is not None and _columns(value) != columns:  # element 0 is a named tuple: its names are the header
        raise WrongReturn("element {} of what run() returned is no named tuple of the fields {}".format(place, columns))
    if isinstance(value, (tuple, list)):
        return value
    if isinstance(value, Mapping):
        raise WrongReturn("element {} of what run() returned is a dict; element 0 is not".format(place))
    if getattr(value, "ndim", 0) == 1:  # an array's row
        return list(value)
    return (value,)


def _cells(column: Any) -> List[Any]:
    cells: List[Any] = column.tolist()
    if not column.hasnans:
        return cells
    return [None if missing else cell for cell, missing in zip(cells, column.isna().tolist())]


def _plain(value: Any) -> Any:
    """Return a JSON value for one that JSON lacks. Raises TypeError."""
    kind = type(value)
    if kind.__name__ in ("NAType", "NaTType"):  # pandas' missing values
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # numpy scalars and arrays, pandas.Series
        times = getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")  # they would become integers
        listed = value.astype(str).tolist() if times else value.tolist()
        return None if times and listed == "NaT" else listed
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if hasattr(value, "__fspath__") or kind.__module__ in ("decimal", "uuid"):
        return str(value)
    raise TypeError("a value of type {}.{} has no JSON form".format(kind.__module__, kind.__name__))


def _clean(value: Any) -> Any:
    """Return a copy in which NaN and infinities are None and all keys are strings."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value]
    return _clean(_plain(value))
