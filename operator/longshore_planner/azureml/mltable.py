"""An MLTable file: which files, read how."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.places import Place, read_place

_HEADERS = {"no_header": False}  # all others name the columns
_PARTS = ("file", "folder", "pattern")


def read_mltable(
    content: Any, *, folder: str, said: str, notes: Notes
) -> tuple[list[Place], dict[str, Any] | None, str | None]:
    """Return the places of an MLTable in `folder`, how its rows are read (None: it is files), and what paths tell."""
    raw = content if isinstance(content, Mapping) else {}
    places = []
    for each in raw.get("paths") or []:
        path = next((str(each[part]) for part in _PARTS if part in each), "") if isinstance(each, Mapping) else ""
        if path:
            places.append(read_place(path, folder=folder))
        else:
            notes.lost(f"{said}.paths", f"{each!r} is neither file, folder nor pattern")
    format_: dict[str, Any] | None = None
    partition: str | None = None
    for each in raw.get("transformations") or []:
        name, settings = next(iter(each.items())) if isinstance(each, Mapping) and each else (str(each), None)
        path, fields = f"{said}.transformations.{name}", settings if isinstance(settings, Mapping) else {}
        match name:
            case "read_delimited":
                format_ = _delimited(fields, path, notes)
            case "read_json_lines" | "read_parquet":
                format_ = {"format": "jsonl" if name == "read_json_lines" else "parquet"}
            case "extract_columns_from_partition_format":
                partition = str(fields.get("partition_format", "") if fields else settings or "") or None
            case _:
                notes.lost(path, "the entry script can do it with each DataFrame")
    return places or [read_place("./", folder=folder)], format_, partition


def guessed_table(place: Place) -> tuple[Place, dict[str, Any]]:
    """Return how a table is read whose MLTable file nobody can see."""
    pattern = posixpath.join(place.path, "*.csv") if place.path != "**" else "**/*.csv"
    return Place(pattern, place.datastore, place.asset, place.remark, place.local), {"format": "csv"}


def _delimited(settings: Mapping[str, Any], said: str, notes: Notes) -> dict[str, Any]:
    made: dict[str, Any] = {"format": "csv"}
    for name, value in settings.items():
        match name, value:
            case "delimiter", str():
                made["separator"] = value
            case "encoding", str():
                made["encoding"] = {"utf8": "utf-8", "iso88591": "latin-1", "latin1": "latin-1"}.get(value, value)
            case "header", _:
                if value in _HEADERS:
                    made["header"] = _HEADERS[value]
            case "support_multi_line", bool():
                made["supportMultiLine"] = value
            case "infer_column_types" | "include_path_column", False | True:
                pass
            case _:
                notes.lost(f"{said}.{name}", "the rows are read without it")
    return made
