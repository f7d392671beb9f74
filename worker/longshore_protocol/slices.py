"""What a mini-batch consists of, as the JSON that travels from the plan to the process that runs it.

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

A piece of a file has its version as "stamp", see `stamps`: rows of another version are never read for it. Slices of
plans that earlier versions of Longshore made have none. Files of a file input have none either: the script opens them.

A piece of a file that lacks the header which the first file of its input has has the columns as "names": [name, ...].
A piece whose file's path tells columns has them as "columns": {name: value}. Values of keys and columns are JSON's own,
or {"datetime": ...}, {"date": ...}, {"decimal": ...} and their like with a string. Each row of a query is in one piece,
whatever was written since it was cut, and however exactly a driver gives keys: pieces that meet are cut by one value.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

if TYPE_CHECKING:
    from longshore_protocol.job import TabularFormat

_KINDS: Dict[str, Tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {  # a datetime is a date, too: it is first
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
    """Return how the file of a piece is read, which may lack the header that the first file of its input has."""
    return replace(format, header=False, names=list(piece["names"])) if "names" in piece else format


def first_path(slice: Any) -> str:
    """Return the file that a slice begins with."""
    is_files = isinstance(slice, list) or "files" in slice
    path: str = files_of(slice)[0] if is_files else pieces_of(slice)[0]["path"]
    return path


def item_names(slice: Any, limit: int) -> List[str]:
    """Return how messages name the first items of a slice, `limit` at most: files, or the files that rows are in."""
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
    """Return the values of a slice's "partition" or "columns" as Python has them."""
    return {name: decoded(value) for name, value in coded.items()}


def coded(value: Any) -> Any:
    """Return a value as JSON that `values` reads back. Raises TypeError for what is no value of a key."""
    if value is None or isinstance(value, (str, int, float)):  # bool is an int
        return value
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: write(value)}
    raise TypeError("a value of type {} is no key".format(type(value).__name__))


def decoded(coded: Any) -> Any:
    """Return the value that `coded` wrote."""
    if isinstance(coded, dict):
        [(kind, text)] = coded.items()
        return _KINDS[kind][2](text)
    return coded
