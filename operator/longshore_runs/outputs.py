"""Outputs of steps: their files, copies of them, and their rows as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from longshore_protocol.packages import require
from longshore_runs.step_folder import Rows
from longshore_storage.files import open_file
from longshore_storage.listing import Selection, list_files
from longshore_storage.store import local_path

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {"text": " ", "csv": ",", "tsv": "\t"}
_BY_ENDING = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "text"}


def files(uri: str) -> list[str]:
    """Return the files of an output: absolute paths or URLs. Raises ListingError."""
    return list(list_files(uri, Selection(hidden=False)))


def download(uri: str, folder: str) -> list[str]:
    """Copy an output, a file or a folder, into a local folder; return the paths of the copies.

    Raises:
        ListingError: The output does not exist or cannot be listed.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    from longshore_agent.trees import fetch_tree  # late: readers of statuses copy nothing

    os.makedirs(folder, exist_ok=True)
    is_folder = fetch_tree(uri, folder)
    root = (local_path(uri) or uri).rstrip("/")
    names = [each.removeprefix(root + "/") for each in list_files(uri)] if is_folder else [root.rpartition("/")[2]]
    return [os.path.join(os.path.abspath(folder), *name.split("/")) for name in names]


def to_pandas(paths: Iterable[str], rows: Rows | None, **options: Any) -> pd.DataFrame:
    """Read files as one table.

    Args:
        paths: The files, in order.
        rows: Their format; None to derive it from their names.
        options: Passed to pandas' reader, in place of what the format implies.

    Raises:
        ValueError: A file's name has no known ending, or the rows do not fit the format.
        MissingPackageError: pandas, or what it needs for the format, is not installed.
    """
    require("pandas", extra="tables", subject="to_pandas()")
    import pandas as pd

    tables = [_read(path, rows or _rows_by_name(path), options) for path in paths]
    if len(tables) == 1:
        return tables[0]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _rows_by_name(path: str) -> Rows:
    ending = os.path.splitext(path)[1].lower()
    if ending not in _BY_ENDING:
        known = ", ".join(_BY_ENDING)
        raise ValueError(f"{path}: a table's name must end with one of {known}; use paths() or download() instead")
    return Rows(_BY_ENDING[ending], header=ending in (".csv", ".tsv"))


def _read(path: str, rows: Rows, options: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    readers: dict[str, Callable[..., pd.DataFrame]] = {"jsonl": pd.read_json, "parquet": pd.read_parquet}
    settings: dict[str, Any] = {}
    if rows.format == "jsonl":
        settings = {"lines": True}
    elif rows.format != "parquet":
        settings = {"sep": rows.separator or _SEPARATORS[rows.format], "header": 0 if rows.header else None}
    with open_file(path) as file:
        try:
            table: pd.DataFrame = readers.get(rows.format, pd.read_csv)(file, **settings | options)
        except pd.errors.EmptyDataError:
            table = pd.DataFrame()
        except pd.errors.ParserError as error:
            remedy = "pass its separator, as in to_pandas(sep=':')"
            raise ValueError(f"{path}: the rows have different numbers of fields ({error}); {remedy}") from None
    return table
