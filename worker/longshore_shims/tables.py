"""Read complete files as one table, for `to_pandas_dataframe`. The host reads the tables of mini-batches."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional

from longshore_shims.errors import UserErrorException

_BY_ENDING = {
    ".csv": {"format": "csv"},
    ".tsv": {"format": "csv", "separator": "\t"},
    ".jsonl": {"format": "jsonl"},
    ".ndjson": {"format": "jsonl"},
    ".parquet": {"format": "parquet"},
}


def read_table(paths: List[str], form: Optional[Dict[str, Any]]) -> Any:
    """Return the rows of files as one pandas.DataFrame.

    Args:
        paths: The files.
        form: Their format; None to derive it from the file name extensions.

    Raises:
        UserErrorException: A file name extension is not supported.
        ImportError: pandas is not installed.
    """
    import pandas

    frames = [_read(path, form or _form_of(path)) for path in paths]
    return pandas.concat(frames, ignore_index=True)


def _form_of(path: str) -> Dict[str, Any]:
    ending = os.path.splitext(path)[1].lower()
    if ending not in _BY_ENDING:
        raise UserErrorException(
            "{} cannot be read as a table: its name must end with one of {}.".format(path, ", ".join(_BY_ENDING))
        )
    return _BY_ENDING[ending]


def _read(path: str, form: Dict[str, Any]) -> Any:
    import pandas

    encoding = form.get("encoding", "utf-8")
    types: Dict[str, str] = form.get("column_types") or {}
    dates = [name for name, kind in types.items() if kind.startswith("datetime")]
    others = {name: kind for name, kind in types.items() if name not in dates}
    if form["format"] == "parquet":
        frame = pandas.read_parquet(path)
    elif form["format"] == "jsonl":
        with open(path, encoding=encoding) as file:
            frame = pandas.DataFrame([json.loads(line) for line in file if line.strip()])
    else:
        has_header, separator = form.get("header", True), form.get("separator", ",")
        frame = pandas.read_csv(
            path, sep=separator, header=0 if has_header else None, encoding=encoding, dtype=others, index_col=False
        )
        if not has_header:  # named as in mini-batches
            frame.columns = ["Column{}".format(number) for number in range(1, len(frame.columns) + 1)]
    frame = frame.astype({name: kind for name, kind in others.items() if name in frame})
    for name in dates:
        if name in frame:
            frame[name] = pandas.to_datetime(frame[name], utc="," in types[name])
    return frame
