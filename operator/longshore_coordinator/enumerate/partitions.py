"""Mini-batches by partition keys: one for each existing combination of their values, of any size.

Keys are partitions in the path of a file, or columns of its rows. The mini-batches are known when the whole input is
listed and, if columns are keys, read. They are in the order of their first file and row. Of Parquet files, only key
columns are read; csv and jsonl files are read completely.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from longshore_coordinator.enumerate import key_types, keys, parquet, text
from longshore_coordinator.enumerate.key_types import Text
from longshore_coordinator.enumerate.slices import Slice, encode
from longshore_protocol.job import Input, TabularFormat
from longshore_protocol.partition_format import PartitionFormat
from longshore_protocol.redaction import redacted
from longshore_protocol.slices import coded
from longshore_storage.files import file_version

Advance = Callable[[], None]

_STEP = 1024  # runs of rows between two calls of `advance`

Key = tuple[Any, ...]  # the values of the keys, in their order


class PathError(ValueError):
    """The path of a file does not match its input's partitionFormat; the message is a sentence."""


def nothing() -> None:
    """Do nothing; the default for `advance`."""


def path_reader(given: Input) -> Callable[[str], dict[str, Any]]:
    """Return a function from a file's path to the values of its columns, including the path if that is a column.

    The function raises PathError.
    """
    column = given.tabular.path_column if given.tabular is not None else None
    form = None if given.partition_format is None else _PathReader(given, given.partition_format)
    if column is None:
        return form.read if form is not None else lambda _: {}
    return lambda path: {**(form.read(path) if form is not None else {}), column: redacted(path)}


class _PathReader:
    """Parses paths by the partitionFormat of an input; all paths must have the same partitions."""

    def __init__(self, given: Input, text: str) -> None:
        self._given, self._text, self._form = given, text, PartitionFormat(text)
        self._first: tuple[str, tuple[str, ...]] | None = None  # a path, and its names

    def read(self, path: str) -> dict[str, Any]:
        values = self._form.read(path)
        if values is None:
            text = f'The path "{path}" of input "{self._given.name}" does not match its partitionFormat'
            raise PathError(f'{text} "{self._text}".')
        first, names = self._first = self._first or (path, tuple(values))
        if names != tuple(values):
            differ = f'"{first}" has the partitions {", ".join(names)}, and "{path}" has {", ".join(values)}'
            raise PathError(f'The paths of input "{self._given.name}" have different partitions: {differ}.')
        return values


def file_formats(format: TabularFormat) -> Callable[[str], TabularFormat]:
    """Return a function from a file's path to its format; call it for all files in order.

    If only the first file has a header, the format of the others has its columns. The function raises OSError,
    ValueError for a first file that cannot be read.
    """
    names: list[str] = []

    def of_file(path: str) -> TabularFormat:
        if names:
            return replace(format, header=False, names=names)
        names.extend(text.column_names(path, format))
        return format

    return of_file if format.one_header else lambda _: format


def _key(values: dict[str, Any], name: str, path: str) -> Any:
    if name not in values:
        text = f'The path "{path}" has no partition "{name}" of the partitionKeys'
        raise PathError(f"{text}; its partitions are {', '.join(values)}.")
    return values[name]


def file_groups(index: int, given: Input, files: Iterable[str], names: tuple[str, ...]) -> Iterator[Slice]:
    """Yield the mini-batches of a file input. Raises PathError."""
    read = path_reader(given)
    groups: dict[Key, list[str]] = {}
    for path in files:
        values = read(path)
        groups.setdefault(tuple(_key(values, name, path) for name in names), []).append(path)
    for key, paths in groups.items():
        yield Slice(index, len(paths), encode({"partition": _partition(names, key), "files": paths}))


class TableGroups:
    """The mini-batches of one tabular input; add its files in order."""

    def __init__(self, given: Input, names: tuple[str, ...], advance: Advance = nothing) -> None:
        assert given.tabular is not None, "files have groups of their own"
        self._advance = advance
        self._format = given.tabular
        self._names = names
        self._read = path_reader(given)
        self._format_of = file_formats(given.tabular)
        self._groups: dict[Key, _Group] = {}

    def add(self, path: str) -> None:
        """Add a file. Raises PathError, OSError, ValueError for unreadable rows, and pyarrow's exceptions."""
        in_path = {name: self._as_column(name, value) for name, value in self._read(path).items()}
        columns = tuple(name for name in self._names if name not in in_path)
        table = self._format_of(path)
        extra: dict[str, Any] = {"columns": {each: coded(in_path[each]) for each in in_path}} if in_path else {}
        if table.names:
            extra["names"] = table.names
        if not columns:
            self._add_whole(path, tuple(in_path[name] for name in self._names), extra)
            return
        location = {"path": path, "stamp": file_version(path).stamp, **extra}  # stamped before the file is read
        source = keys.of_parquet if self._format.format == "parquet" else keys.of_text
        for number, (values, group, start, end) in enumerate(source(path, table, columns)):
            if number % _STEP == 0:
                self._advance()
            found = {**in_path, **dict(zip(columns, values, strict=True))}
            self._group(tuple(found[name] for name in self._names)).add(location, group, start, end)

    def slices(self, index: int) -> Iterator[Slice]:
        """Yield the mini-batches; call it after all files are added."""
        forms = self._format.date_formats
        typed = [
            key_types.typed({key[at] for key in self._groups}, self._format.type_of(name), forms.get(name, ""))
            for at, name in enumerate(self._names)
        ]
        merged: dict[Key, list[_Group]] = {}
        for key, group in self._groups.items():
            merged.setdefault(tuple(kind(value) for kind, value in zip(typed, key, strict=True)), []).append(group)
        for key, groups in merged.items():
            pieces = [piece for group in groups for piece in group.pieces()]
            rows = [group.rows for group in groups]
            items = None if None in rows else sum(each or 0 for each in rows)
            yield Slice(index, items, encode({"partition": _partition(self._names, key), "pieces": pieces}))

    def _as_column(self, name: str, value: Any) -> Any:
        """Return a value of a path, as Text if a type is declared for its column."""
        return Text(value) if isinstance(value, str) and name in self._format.column_types else value

    def _group(self, key: Key) -> _Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        return group

    def _add_whole(self, path: str, key: Key, extra: dict[str, Any]) -> None:
        found = parquet.whole(path) if self._format.format == "parquet" else text.whole(path)
        if found is not None and found.items != 0:
            self._group(key).add_whole({**found.piece, **extra}, found.items)


class _Group:
    """The pieces of one mini-batch. A run of rows takes 16 bytes; an unsorted file has as many runs as rows."""

    def __init__(self) -> None:
        self.rows: int | None = 0  # None if unknown
        self._pieces: list[tuple[dict[str, Any], array[int]]] = []

    def add_whole(self, piece: dict[str, Any], rows: int | None) -> None:
        self._pieces.append((piece, array("q")))
        self.rows = None if rows is None or self.rows is None else self.rows + rows

    def add(self, location: dict[str, Any], row_group: int, start: int, end: int) -> None:
        known = self._pieces[-1] if self._pieces else None
        groups = {} if row_group < 0 else {"row_groups": [row_group, row_group + 1]}
        path = location["path"]
        if known is None or known[0]["path"] != path or known[0].get("row_groups") != groups.get("row_groups"):
            known = ({**location, **groups}, array("q"))
            self._pieces.append(known)
        known[1].extend((start, end))
        self.rows = None if row_group < 0 or self.rows is None else self.rows + end - start

    def pieces(self) -> Iterator[dict[str, Any]]:
        for piece, runs in self._pieces:
            yield {**piece, "ranges": list(zip(runs[::2], runs[1::2], strict=True))} if runs else piece


def _partition(names: tuple[str, ...], key: Key) -> dict[str, Any]:
    values = [each.value if isinstance(each, key_types.Boolean) else each for each in key]
    return {name: coded(value) for name, value in zip(names, values, strict=True)}
