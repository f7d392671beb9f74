"""Slices: the contents of a mini-batch as JSON, from the plan to the process that runs it.

    files               ["/a", "/b"]
    records of a file   {"path", "start", "end"}, in bytes: the records that begin there, see `records`
                        {"path", "ranges": [[start, end], ...]}, in bytes: whole records
    rows of a Parquet   {"path", "row_groups": [first, last + 1], "rows": [first, last + 1] within those, null for all}
                        {"path", "row_groups": [first, last + 1], "ranges": [[first, last + 1], ...] within those}
    rows of a query     {"path": URL of the database, "keys": null}, all rows
                        {"path", "keys": [low, high]}: low <= key < high, null being no bound
                        {"path", "keys": []}: the rows whose key is NULL
    an unreadable file  {"path", "unreadable": why it could not be cut}
    of several files    {"pieces": [any of these, ...]}
    of a partition      {"partition": {key: value}, "files" or "pieces": [...]}

A piece of a file contains the file's version as "stamp" (see `stamps`); rows of other versions are never read. Slices
in plans of earlier versions of Longshore have no stamps. File inputs have none either, because the script opens them.

"names": [name, ...] has the columns of a file without a header whose input has one in its first file only. "columns":
{name: value} has columns from the file's path. Values of keys and columns are JSON values, or {"datetime": text},
{"date": text}, {"decimal": text} and so on. Each row of a query is in exactly one piece, even after later writes and
with drivers that round keys, because adjacent pieces share one bound.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

if TYPE_CHECKING:
    from longshore_protocol.job import TabularFormat

_KINDS: Dict[
    str, Tuple[type, Callable[[Any], str], Callable[[str], Any]]
] = {  # datetime first: it is a subclass of date
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def files_of(slice: Any) -> List[str]:
    """Return the files of a slice of a file input."""
    files: List[str] = slice if isinstance(slice, list) else slice["files"]
    return files


def pieces_of(slice: Any) -> List[Dict[str, Any]]:
    """Return the pieces, each of one file, of a slice of a tabular input."""
    pieces: List[Dict[str, Any]] = slice.get("pieces", [slice])
    return pieces


def format_of(piece: Dict[str, Any], format: TabularFormat) -> TabularFormat:
    """Return the format of a piece's file: without a header if only the first file of the input has one."""
    return replace(format, header=False, names=list(piece["names"])) if "names" in piece else format


def first_path(slice: Any) -> str:
    """Return the path of the first file of a slice."""
    is_files = isinstance(slice, list) or "files" in slice
    path: str = files_of(slice)[0] if is_files else pieces_of(slice)[0]["path"]
    return path


def item_names(slice: Any, limit: int) -> List[str]:
    """Return descriptions of the first `limit` items of a slice for messages: files, or files with ranges of rows."""
    is_files = isinstance(slice, list) or "files" in slice
    if is_files:
        return files_of(slice)[:limit]
    return [_rows_name(piece) for piece in pieces_of(slice)[:limit]]


def _rows_name(piece: Dict[str, Any]) -> str:
    if "keys" in piece:
        return "rows of {}".format(piece["path"]) + ("" if piece["keys"] is None else ", keys {}".format(piece["keys"]))
    if "row_groups" in piece:
        first, end = piece["row_groups"]
        return "{}, row groups {} to {}".format(piece["path"], first, end - 1)
    if "unreadable" in piece:
        return str(piece["path"])
    ranges = piece["ranges"] if "ranges" in piece else [[piece["start"], piece["end"]]]
    return "{}, bytes {} to {}".format(piece["path"], ranges[0][0], ranges[-1][1])


def values(coded: Dict[str, Any]) -> Dict[str, Any]:
    """Decode the values of a slice's "partition" or "columns"; return them by name."""
    return {name: decoded(value) for name, value in coded.items()}


def coded(value: Any) -> Any:
    """Encode a value as JSON that `decoded` reads back. Raises TypeError for an unsupported type."""
    if value is None or isinstance(value, (str, int, float)):  # bool is an int
        return value
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: write(value)}
    raise TypeError("values of type {} are not supported as keys".format(type(value).__name__))


def decoded(coded: Any) -> Any:
    """Return the value that `coded` encoded."""
    if isinstance(coded, dict):
        [(kind, text)] = coded.items()
        return _KINDS[kind][2](text)
    return coded
