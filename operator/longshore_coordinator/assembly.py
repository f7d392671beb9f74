"""The one output file, put together from the rows that the agents left in segments.

The file holds the rows in mini-batch order and is a function of them alone: how many workers there were, what they
wrote where and what was lost on the way leaves no trace in it.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from longshore_coordinator.committed import Piece
from longshore_coordinator.tables import Columns, UnlikeRowsError, conform
from longshore_protocol.job import APPEND_ROW, Job
from longshore_protocol.segments import begin_digest
from longshore_storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN_SEGMENTS = 64  # each may hold a read-ahead buffer of a few MB with an object store
_CHUNK = 4 << 20  # bytes copied at once
_TAIL = 64 << 10  # bytes in which nearly every Parquet footer lies
_FOOTER_END = 8  # the last bytes of a Parquet file: the footer's length and the magic number
_GROUP_ROWS = 1 << 16  # a row group is closed behind the mini-batch that reaches this many rows...
_MOST_PARTS = 100  # files for rows that cannot be one
_UNKNOWN = -1  # bytes of a segment, in ledgers that do not say
_GROUP_BYTES = 64 << 20  # ...or this many bytes of Parquet, which bounds memory where rows are large


_Write = Callable[[Iterable[Piece], BinaryIO], object]
_Part = tuple["array[int]", _Write]  # the mini-batches of some rows that are one file, and what writes that


class AssemblyError(Exception):
    """The rows of the mini-batches do not make one file, or a segment does not hold what the ledger says."""


@dataclass(frozen=True)
class Assembled:
    """What the output file holds."""

    rows: int
    bytes: int


def require_packages(job: Job) -> None:
    """Raise AssemblyError where this process lacks a package that assembling the job's output needs."""
    if job.output.action == APPEND_ROW and job.output.format == "parquet":
        try:
            for name in ("pyarrow", "pyarrow.parquet"):
                importlib.import_module(name)
        except ImportError as error:
            raise AssemblyError(
                'output.format "parquet" needs the Python package "pyarrow" where the coordinator runs, and it cannot '
                f"be imported ({error}); install it there or choose another format"
            ) from error


def assemble(segments: Store, target: Store, job: Job, pieces: Iterable[Piece]) -> Assembled:
    """Write the output file of an append_row step; it appears whole or not at all, in the place of an earlier one.

    `pieces` come in mini-batch order and are iterated several times. Rows are verified as they are copied. Where the
    rows cannot be one file, those that go together are files in a folder beside it. Blocks while it reads and writes.
    Raises AssemblyError, also for a segment that is not as long as the ledger says and for rows with another digest;
    OSError; ImportError for Parquet without pyarrow.
    """
    join = _join_tables if job.output.format == "parquet" else _join_lines
    target.delete(_parts_folder(job))
    with _Segments(segments) as reader:
        try:
            with target.writer(job.output.file_name) as file:
                return join(reader, pieces, file)
        except UnlikeRowsError as error:
            raise AssemblyError(f"{error}; {_write_parts(reader, target, job, pieces)}") from error


def _join_lines(reader: _Segments, pieces: Iterable[Piece], file: BinaryIO) -> Assembled:
    rows = size = 0
    leader: Piece | None = None  # the first mini-batch with rows, or with names of its columns: the others must agree
    for piece in _with_rows(pieces):
        if leader is None:
            leader = piece
            size += file.write(_header_line(piece.header))
        elif piece.header != leader.header:
            if not _may_follow(leader.header, piece.header):
                raise UnlikeRowsError(
                    f"the rows have different columns: mini-batch {leader.mini_batch} has the header "
                    f"{leader.header!r}, mini-batch {piece.mini_batch} has {piece.header!r}"
                )
            leader = leader if leader.header else piece
        rows += piece.rows
        size += piece.length
        reader.copy(piece, file)
    return Assembled(rows=rows, bytes=size)


def _header_line(header: str) -> bytes:
    """Return what of a header is written: names without a newline only tell the columns."""
    return header.encode() if header.endswith("\n") else b""


def _may_follow(first: str, second: str) -> bool:
    """Tell whether rows with these two headers are one file: where none is written, and one has no names."""
    return not (first and second) and not (first + second).endswith("\n")


def _join_tables(reader: _Segments, pieces: Iterable[Piece], file: BinaryIO) -> Assembled:
    columns = Columns()
    for piece in _with_rows(pieces):
        columns.add(_read_schema(reader, piece), mini_batch=piece.mini_batch)
    return _write_tables(reader, _with_rows(pieces), columns.schema(), file)


def _write_tables(reader: _Segments, pieces: Iterable[Piece], schema: pa.Schema, file: BinaryIO) -> Assembled:
    import pyarrow as pa  # late, here and below: other formats do without it
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(file, schema) as writer:
        for group in _groups(pieces):
            tables = [conform(_read_table(reader, piece), schema, mini_batch=piece.mini_batch) for piece in group]
            writer.write_table(pa.concat_tables(tables), row_group_size=_GROUP_ROWS)
            rows += sum(piece.rows for piece in group)
    return Assembled(rows=rows, bytes=file.tell())


def _write_parts(reader: _Segments, target: Store, job: Job, pieces: Iterable[Piece]) -> str:
    """Write the rows that go together as a file each; return a clause that says where they are and how to go on."""
    parts = (_table_parts if job.output.format == "parquet" else _line_parts)(reader, pieces)
    go_on = "to get one file, return the same columns and types from run() for each mini-batch"
    if len(parts) > _MOST_PARTS:
        return f"they have more than {_MOST_PARTS} different sets of columns and are kept in the run's folder; {go_on}"
    suffix = os.path.splitext(job.output.file_name)[1]
    for number, (mini_batches, write) in enumerate(parts, 1):
        members = set(mini_batches)
        with target.writer(f"{_parts_folder(job)}/{number}{suffix}") as file:
            write((piece for piece in _with_rows(pieces) if piece.mini_batch in members), file)
    where = target.child(_parts_folder(job))
    return f'the rows are kept in {len(parts)} files in "{where}", one for each set of columns; {go_on}'


def _table_parts(reader: _Segments, pieces: Iterable[Piece]) -> list[_Part]:
    """Return the mini-batches whose tables have the same types; of too many such parts, only some too many."""
    parts: list[tuple[Columns, array[int]]] = []
    for piece in _with_rows(pieces):
        schema = _read_schema(reader, piece)
        for columns, mini_batches in parts:
            with suppress(UnlikeRowsError):
                columns.add(schema, mini_batch=piece.mini_batch)
                mini_batches.append(piece.mini_batch)
                break
        else:
            columns = Columns(same_types=True)
            columns.add(schema, mini_batch=piece.mini_batch)
            parts.append((columns, array("q", [piece.mini_batch])))
            if len(parts) > _MOST_PARTS:
                break

    def writer(columns: Columns) -> _Write:
        return lambda chosen, file: _write_tables(reader, chosen, columns.schema(), file)

    return [(mini_batches, writer(columns)) for columns, mini_batches in parts]


def _line_parts(reader: _Segments, pieces: Iterable[Piece]) -> list[_Part]:
    """Return the mini-batches with the same header, which each file then has."""
    parts: dict[str, array[int]] = {}
    for piece in _with_rows(pieces):
        parts.setdefault(piece.header, array("q")).append(piece.mini_batch)

    def writer(header: str) -> _Write:
        def write(chosen: Iterable[Piece], file: BinaryIO) -> None:
            file.write(_header_line(header if header.endswith("\n") or not header else f"{header}\n"))
            for piece in chosen:
                reader.copy(piece, file)

        return write

    return [(mini_batches, writer(header)) for header, mini_batches in parts.items()]


def _parts_folder(job: Job) -> str:
    return f"{job.output.file_name}.parts"


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
            file = self._open_file(piece.segment)
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

    def _open_file(self, segment: str) -> BinaryIO:
        """Open a segment; where descriptors have run out, close the others that are open, one after the other."""
        while True:
            try:
                return self._store.open(segment)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                self._open.popitem(last=False)[1].close()


def _damaged(piece: Piece) -> str:
    return f"segment {piece.segment} does not hold the rows of mini-batch {piece.mini_batch} as they were committed"
