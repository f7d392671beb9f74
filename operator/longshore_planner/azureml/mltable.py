"""An MLTable file: which files, read how."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from longshore_api.data import TabularDataset
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.places import Place, read_place
from longshore_planner.azureml.section import Made, Section

_PARTS = ("file", "folder", "pattern")
_READERS = {"read_delimited": "csv", "read_json_lines": "jsonl", "read_parquet": "parquet"}
_ENCODINGS = {"utf8": "utf-8", "utf8bom": "utf-8", "iso88591": "latin-1", "latin1": "latin-1", "windows1252": "cp1252",
              "utf16": "utf-16", "utf32": "utf-32"}  # fmt: skip
_EACH_FILE = ("all_files_same_headers", "all_files_different_headers")
_PATH_COLUMN = "Path"  # as Azure ML calls it
_IN_SCRIPT = "the entry script can do it with each DataFrame"


def read_mltable(
    content: Any, *, folder: str, said: str, notes: Notes
) -> tuple[list[Place], dict[str, Any] | None, str | None]:
    """Return the places of an MLTable in `folder`, how its rows are read (None: it is files), and what paths tell."""
    table = Section(content, said, notes)
    places = []
    for each in _listed(table.take("paths")):
        given = Section(each, f"{said}.paths", notes)
        path = next((text for part in _PARTS if (text := given.text(part))), "")
        if path:
            places.append(read_place(path, folder=folder))
        else:
            notes.lost(f"{said}.paths", f"{each!r} is neither file, folder nor pattern")
    format_: dict[str, Any] | None = None
    partition: str | None = None
    for name, settings in _transformations(table.take("transformations")):
        path = f"{said}.transformations.{name}"
        if name in _READERS:
            format_ = _format(name, Section(settings, path, notes))
        elif name == "extract_columns_from_partition_format":
            given = Section(settings if isinstance(settings, Mapping) else {"partition_format": settings}, path, notes)
            partition = given.text("partition_format") or None
        else:
            notes.lost(path, _IN_SCRIPT)
    return places or [read_place("./", folder=folder)], format_, partition


def guessed_table(place: Place) -> tuple[Place, dict[str, Any]]:
    """Return how a table is read whose MLTable file nobody can see."""
    pattern = posixpath.join(place.path, "*.csv") if place.path != "**" else "**/*.csv"
    return Place(pattern, place.datastore, place.asset, place.remark, place.local), {"format": "csv"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _transformations(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each transformation by name; one that has no settings may be a name alone."""
    for each in _listed(value):
        if isinstance(each, Mapping):
            yield from ((str(name), settings) for name, settings in each.items())
        else:
            yield str(each), None


def _format(reader: str, settings: Section) -> dict[str, Any]:
    """Return how rows are read, in the fields of a TabularDataset; what has none is noted."""
    made = Made(TabularDataset, settings.notes)
    made.put("format", _READERS[reader])
    if reader == "read_delimited":
        _put_delimited(settings, made)
    if settings.flag("include_path_column"):
        made.put("pathColumn", _PATH_COLUMN)
    if reader == "read_json_lines":
        encoding = settings.text("encoding")
        made.put("encoding", _ENCODINGS.get(encoding, encoding) or None, said=settings.said("encoding"))
        if settings.text("invalid_lines") == "drop":
            settings.notes.lost(settings.said("invalid_lines"), "a line that cannot be read fails its mini-batch")
    return made.spec()


def _put_delimited(settings: Section, made: Made) -> None:
    notes = settings.notes
    made.put("separator", settings.take("delimiter"), said=settings.said("delimiter"))
    encoding = settings.text("encoding")
    made.put("encoding", _ENCODINGS.get(encoding, encoding) or None, said=settings.said("encoding"))
    header = settings.text("header")
    if header == "from_first_file":
        made.put("onlyFirstFileHasHeader", value=True)
    elif header == "no_header":
        made.put("header", value=False)
    elif header and header not in _EACH_FILE:
        notes.lost(settings.said("header"), f"it is {header!r}, and each file has a header unless header is false")
    made.put("supportMultiLine", settings.flag("support_multi_line"))
    if settings.flag("empty_as_string"):
        made.put("keepDefaultNa", value=False, remark="NA, null and their like are texts too")
    inferred = settings.take("infer_column_types")
    if isinstance(inferred, Mapping):
        notes.lost(settings.said("infer_column_types"), "write columnTypes, which has types by column")
    else:
        made.put("inferColumnTypes", inferred, said=settings.said("infer_column_types"))
