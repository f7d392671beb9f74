"""Translation of MLTable files: the data files, and how they are read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from longshore_api.data import TabularDataset
from longshore_planner.azureml.locations import Location, parse_location
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.section import Section, SpecBuilder

_PARTS = ("file", "folder", "pattern")
_READERS = {"read_delimited": "csv", "read_json_lines": "jsonl", "read_parquet": "parquet"}
_ENCODINGS = {"utf8": "utf-8", "utf8bom": "utf-8", "iso88591": "latin-1", "latin1": "latin-1", "windows1252": "cp1252",
              "utf16": "utf-16", "utf32": "utf-32"}  # fmt: skip
_EACH_FILE = ("all_files_same_headers", "all_files_different_headers")
_PATH_COLUMN = "Path"  # Azure ML's name
_IN_SCRIPT = "the entry script can do it with each DataFrame"


def read_mltable(
    content: Any, *, folder: str, origin: str, notes: Notes
) -> tuple[list[Location], dict[str, Any] | None, str | None]:
    """Return an MLTable's locations, its table settings (None for files), and its partition format."""
    table = Section(content, origin, notes)
    locations = []
    for each in _listed(table.take("paths")):
        given = Section(each, f"{origin}.paths", notes)
        path = next((text for part in _PARTS if (text := given.text(part))), "")
        if path:
            locations.append(parse_location(path, folder=folder))
        else:
            notes.lost(f"{origin}.paths", f"{each!r} is neither a file, a folder nor a pattern")
    format_: dict[str, Any] | None = None
    partition: str | None = None
    for name, settings in _transformations(table.take("transformations")):
        path = f"{origin}.transformations.{name}"
        if name in _READERS:
            format_ = _format(name, Section(settings, path, notes))
        elif name == "extract_columns_from_partition_format":
            given = Section(settings if isinstance(settings, Mapping) else {"partition_format": settings}, path, notes)
            partition = given.text("partition_format") or None
        else:
            notes.lost(path, _IN_SCRIPT)
    return locations or [parse_location("./", folder=folder)], format_, partition


def guessed_table(location: Location) -> tuple[Location, dict[str, Any]]:
    """Return a guessed location and format for a table whose MLTable file is not available."""
    pattern = posixpath.join(location.path, "*.csv") if location.path != "**" else "**/*.csv"
    return Location(pattern, location.datastore, location.asset, location.remark, location.local), {"format": "csv"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _transformations(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each transformation as name and settings; a bare name has no settings."""
    for each in _listed(value):
        if isinstance(each, Mapping):
            yield from ((str(name), settings) for name, settings in each.items())
        else:
            yield str(each), None


def _format(reader: str, settings: Section) -> dict[str, Any]:
    """Return the settings of a reader as fields of a TabularDataset; note settings without such a field."""
    made = SpecBuilder(TabularDataset, settings.notes)
    made.put("format", _READERS[reader])
    if reader == "read_delimited":
        _put_delimited(settings, made)
    if settings.flag("include_path_column"):
        made.put("pathColumn", _PATH_COLUMN)
    if reader == "read_json_lines":
        encoding = settings.text("encoding")
        made.put("encoding", _ENCODINGS.get(encoding, encoding) or None, origin=settings.field_path("encoding"))
        if settings.text("invalid_lines") == "drop":
            settings.notes.lost(settings.field_path("invalid_lines"), "a line that cannot be read fails its mini-batch")
    return made.spec()


def _put_delimited(settings: Section, made: SpecBuilder) -> None:
    notes = settings.notes
    made.put("separator", settings.take("delimiter"), origin=settings.field_path("delimiter"))
    encoding = settings.text("encoding")
    made.put("encoding", _ENCODINGS.get(encoding, encoding) or None, origin=settings.field_path("encoding"))
    header = settings.text("header")
    if header == "from_first_file":
        made.put("onlyFirstFileHasHeader", value=True)
    elif header == "no_header":
        made.put("header", value=False)
    elif header and header not in _EACH_FILE:
        notes.lost(settings.field_path("header"), f"it is {header!r}; each file needs a header unless header is false")
    made.put("supportMultiLine", settings.flag("support_multi_line"))
    if settings.flag("empty_as_string"):
        made.put("keepDefaultNa", value=False, remark="NA, null and similar are text, too")
    inferred = settings.take("infer_column_types")
    if isinstance(inferred, Mapping):
        notes.lost(settings.field_path("infer_column_types"), "set columnTypes, which has types by column")
    else:
        made.put("inferColumnTypes", inferred, origin=settings.field_path("infer_column_types"))
