"""The one output file, put together from the rows that the agents left in segments.

The file holds the rows in mini-batch order and is a function of them alone: how many workers there were, what they
wrote where and what was lost on the way leaves no trace in it.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from longshore_coordinator.committed import Piece
from longshore_protocol.job import Job
from longshore_protocol.segments import begin_digest
from longshore_storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN_SEGMENTS = 64  # each may hold a read-ahead buffer of a few MB with an object store
_CHUNK = 4 << 20  # bytes copied at once
_TAIL = 64 << 10  # bytes in which nearly every Parquet footer lies
_FOOTER_END = 8  # the last bytes of a Parquet file: the footer's length and the magic number
_GROUP_ROWS = 1 << 16  # a row group is closed behind the mini-batch that reaches this many rows...
_UNKNOWN = -1  # bytes of a segment, in ledgers that do not say
_GROUP_BYTES = 64 << 20  # ...or this many bytes of Parquet, which bounds memory where rows are large


class AssemblyError(Exception):
    """The rows of the mini-batches do not make one file, or a segment does not hold what the ledger says."""


@dataclass(frozen=True)
class Assembled:
    """What the output file holds."""

    rows: int
    bytes: int


def assemble(segments: Store, target: Store, job: Job, pieces: Iterable[Piece]) -> Assembled:
    """Write the output file of an append_row step; it appears whole or not at all, in the place of an earlier one.

    `pieces` come in mini-batch order and are iterated twice for Parquet. Rows are verified as they are copied. Blocks
    while it reads and writes. Raises AssemblyError, also for a segment that is not as long as the ledger says and for
    rows with another digest; OSError; ImportError for Parquet without pyarrow.
    """
    with _Segments(segments) as reader, target.writer(job.output.file_name) as file:
        if job.output.format == "parquet":
            return _join_tables(reader, pieces, file)
        return _join_lines(reader, pieces, file)


def _join_lines(reader: _Segments, pieces: Iterable[Piece], file: BinaryIO) -> Assembled:
    rows = size = 0
    leader: Piece | None = None  # the first mini-batch with rows: the others must have its header
    for piece in _with_rows(pieces):
        if leader is None:
            leader = piece
            size += file.write(piece.header.encode())
        elif piece.header != leader.header:
            raise AssemblyError(
                f"the rows have different columns: mini-batch {leader.mini_batch} has the header {leader.header!r}, "
                f"mini-batch {piece.mini_batch} has {piece.header!r}"
            )
        rows += piece.rows
        size += piece.length
        reader.copy(piece, file)
    return Assembled(rows=rows, bytes=size)


def _join_tables(reader: _Segments, pieces: Iterable[Piece], file: BinaryIO) -> Assembled:
    import pyarrow as pa  # late, here and below: other formats do without it
    import pyarrow.parquet as pq

    rows = 0
    schema = _common_schema(reader, _with_rows(pieces))
    with pq.ParquetWriter(file, schema) as writer:
        for group in _groups(_with_rows(pieces)):
            tables = [_conform(_read_table(reader, piece), schema, piece.mini_batch) for piece in group]
            writer.write_table(pa.concat_tables(tables), row_group_size=_GROUP_ROWS)
            rows += sum(piece.rows for piece in group)
    return Assembled(rows=rows, bytes=file.tell())


def _with_rows(pieces: Iterable[Piece]) -> Iterator[Piece]:
    return (piece for piece in pieces if piece.rows)


def _groups(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Cut the pieces where a row group ends; a mini-batch with more rows than a group may hold is split later."""
    group: list[Piece] = []
    rows = size = 0
    for piece in pieces:
        group.append(piece)
        rows, size = rows + piece.rows, size + piece.length
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _common_schema(reader: _Segments, pieces: Iterable[Piece]) -> pa.Schema:
    """Return all columns, in order of appearance, with the narrowest types that hold every mini-batch's values."""
    import pyarrow as pa

    common: pa.Schema | None = None
    seen: list[pa.Schema] = []  # few, and most mini-batches have the one seen last
    for piece in pieces:
        schema = _read_schema(reader, piece)
        if any(schema.equals(known) for known in reversed(seen)):
            continue
        seen.append(schema)
        try:
            common = schema if common is None else pa.unify_schemas([common, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise AssemblyError(
                f"the rows have different columns: mini-batch {piece.mini_batch} does not go with those before it "
                f"in {_conflicts(common, schema)}"
            ) from error
    return pa.schema([]) if common is None else common


def _conflicts(common: Any, schema: Any) -> str:
    import pyarrow as pa

    found = []
    for field in schema:
        place = common.get_field_index(field.name)
        if place < 0:
            continue
        try:
            pa.unify_schemas([pa.schema([common.field(place)]), pa.schema([field])], promote_options="permissive")
        except pa.ArrowException:
            found.append(f"column {field.name} ({field.type}, before: {common.field(place).type})")
    return ", ".join(found)


def _read_schema(reader: _Segments, piece: Piece) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tail = reader.tail(piece, _TAIL)
    footer = int.from_bytes(tail[-_FOOTER_END:-4], "little") + _FOOTER_END
    if footer > len(tail):
        tail = reader.tail(piece, footer)
    try:
        return pq.read_schema(pa.BufferReader(tail))
    except (pa.ArrowException, OSError) as error:
        raise AssemblyError(_unreadable(piece, error)) from error


def _read_table(reader: _Segments, piece: Piece) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = reader.read(piece)
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise AssemblyError(_unreadable(piece, error)) from error


def _unreadable(piece: Piece, error: Exception) -> str:
    return f"segment {piece.segment} holds no readable Parquet file for mini-batch {piece.mini_batch}: {error}"


def _conform(table: pa.Table, schema: pa.Schema, mini_batch: int) -> pa.Table:
    """Return the table with the columns of the schema; those it lacks are null."""
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    columns: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise AssemblyError(
                f"column {field.name} of mini-batch {mini_batch} cannot become {field.type}, "
                f"which other mini-batches ask for: {error}"
            ) from error
    return pa.table(columns, schema=schema)


class _Segments:
    """Reads ranges of segments and keeps those open that were used last: neighbours alternate between a few."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: OrderedDict[str, BinaryIO] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with ExitStack() as closing:
            for file in self._open.values():
                closing.callback(file.close)

    def copy(self, piece: Piece, target: BinaryIO) -> None:
        """Copy a piece's rows, and verify them. What was written of wrong ones is discarded with the file."""
        file = self._file(piece)
        file.seek(piece.offset)
        left, digest = piece.length, begin_digest()
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise AssemblyError(f"{_damaged(piece)}: it ends {left} bytes before the end of these rows")
            digest.update(data)
            target.write(data)
            left -= len(data)
        if piece.digest and digest.digest() != piece.digest:
            raise AssemblyError(f"{_damaged(piece)}: their digest is another")

    def read(self, piece: Piece) -> bytes:
        """Return a piece's bytes, verified."""
        buffer = io.BytesIO()
        self.copy(piece, buffer)
        return buffer.getvalue()

    def tail(self, piece: Piece, size: int) -> bytes:
        """Return a piece's last bytes, `size` of them where it has as many; not verified, `read` does that."""
        size = min(size, piece.length)
        file = self._file(piece)
        file.seek(piece.offset + piece.length - size)
        return file.read(size)

    def _file(self, piece: Piece) -> BinaryIO:
        file = self._open.get(piece.segment)
        if file is not None:
            self._open.move_to_end(piece.segment)
            return file
        try:
            file = self._store.open(piece.segment)
        except FileNotFoundError as error:
            message = f"segment {piece.segment} with the rows of mini-batch {piece.mini_batch} is missing"
            raise AssemblyError(message) from error
        self._open[piece.segment] = file
        size = file.seek(0, io.SEEK_END)
        if piece.segment_bytes not in (size, _UNKNOWN):
            raise AssemblyError(f"{_damaged(piece)}: it has {size} bytes and had {piece.segment_bytes}")
        if len(self._open) > _OPEN_SEGMENTS:
            self._open.popitem(last=False)[1].close()
        return file


def _damaged(piece: Piece) -> str:
    return f"segment {piece.segment} does not hold the rows of mini-batch {piece.mini_batch} as they were committed"
