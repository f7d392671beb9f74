"""Assembly of the output file from the rows that agents wrote to segments.

The file contains the rows in mini-batch order and depends on nothing else: not on the number of workers, the segments
or the attempts.
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

_OPEN_SEGMENTS = 64  # each may have a read-ahead buffer of a few MB in an object store
_CHUNK = 4 << 20  # bytes copied at once
_TAIL = 64 << 10  # bytes that contain nearly every Parquet footer
_FOOTER_END = 8  # the last bytes of a Parquet file: the footer's length and the magic number
_GROUP_ROWS = 1 << 16  # a row group ends after the mini-batch that reaches this many rows...
_GROUP_BYTES = 64 << 20  # ...or this many bytes of Parquet, which bounds memory if rows are large
_MOST_PARTS = 100  # files for rows that cannot form one file
_UNKNOWN = -1  # length of a segment, in ledgers that do not record it


_Write = Callable[[Iterable[Piece], BinaryIO], object]
_Part = tuple["array[int]", _Write]  # the mini-batches of one part, and the function that writes it


class AssemblyError(Exception):
    """The rows of the mini-batches cannot form one file, or a segment does not match the ledger."""


@dataclass(frozen=True)
class Assembled:
    """The size of the output file."""

    rows: int
    bytes: int


def require_packages(job: Job) -> None:
    """Raise AssemblyError if a package that assembly of the job's output needs cannot be imported here."""
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
    """Write the output file of an append_row step atomically, verifying the rows; return its size. Blocks.

    If the rows cannot form one file, writes one file per set of columns to a folder beside it.

    Args:
        segments: store of the segments.
        target: store of the output.
        job: the job.
        pieces: the rows in mini-batch order, iterated several times.

    Raises:
        AssemblyError: the rows cannot form one file, or a segment does not match the ledger.
        OSError: a store failed.
        ImportError: Parquet output without pyarrow.
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
    leader: Piece | None = None  # the first mini-batch with rows, or with column names, which the others must match
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
    """Return the header line to write; names without a newline describe the columns but are not written."""
    return header.encode() if header.endswith("\n") else b""


def _may_follow(first: str, second: str) -> bool:
    """Return whether rows with these headers may share a file: if neither is written, and one is empty."""
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
    """Write one file per set of columns; return a clause with their location and the remedy."""
    parts = (_table_parts if job.output.format == "parquet" else _line_parts)(reader, pieces)
    remedy = "to get one file, return the same columns and types from run() for each mini-batch"
    if len(parts) > _MOST_PARTS:
        return f"they have more than {_MOST_PARTS} different sets of columns and are kept in the run folder; {remedy}"
    suffix = os.path.splitext(job.output.file_name)[1]
    for number, (mini_batches, write) in enumerate(parts, 1):
        members = set(mini_batches)
        with target.writer(f"{_parts_folder(job)}/{number}{suffix}") as file:
            write((piece for piece in _with_rows(pieces) if piece.mini_batch in members), file)
    folder = target.child(_parts_folder(job))
    return f'the rows are kept in {len(parts)} files in "{folder}", one for each set of columns; {remedy}'


def _table_parts(reader: _Segments, pieces: Iterable[Piece]) -> list[_Part]:
    """Return the parts of tables with equal types; stop at _MOST_PARTS + 1."""
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
    """Return the parts of rows with equal headers; each file then starts with its header."""
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
    """Yield the pieces of each row group; pyarrow splits a mini-batch with more rows than a group may have."""
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
    return f"segment {piece.segment} has no readable Parquet data for mini-batch {piece.mini_batch}: {error}"


class _Segments:
    """Reads ranges of segments, keeping the last used ones open, because neighbours alternate between a few."""

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
        """Copy a piece's rows while verifying them; an error discards the file with what was copied.

        Raises AssemblyError, OSError.
        """
        file = self._file(piece)
        file.seek(piece.offset)
        left, digest = piece.length, begin_digest()
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise AssemblyError(f"{_format_damage(piece)}: it ends {left} bytes before the end of these rows")
            digest.update(data)
            target.write(data)
            left -= len(data)
        if piece.digest and digest.digest() != piece.digest:
            raise AssemblyError(f"{_format_damage(piece)}: their digest differs")

    def read(self, piece: Piece) -> bytes:
        """Return a piece's verified bytes. Raises AssemblyError, OSError."""
        buffer = io.BytesIO()
        self.copy(piece, buffer)
        return buffer.getvalue()

    def tail(self, piece: Piece, size: int) -> bytes:
        """Return a piece's last `size` bytes, or all if it has fewer, without verifying them."""
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
            raise AssemblyError(f"{_format_damage(piece)}: it has {size} bytes instead of {piece.segment_bytes}")
        if len(self._open) > _OPEN_SEGMENTS:
            self._open.popitem(last=False)[1].close()
        return file

    def _open_file(self, segment: str) -> BinaryIO:
        """Open a segment, closing other segments while the process has no free descriptor."""
        while True:
            try:
                return self._store.open(segment)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                self._open.popitem(last=False)[1].close()


def _format_damage(piece: Piece) -> str:
    return f"segment {piece.segment} does not contain the committed rows of mini-batch {piece.mini_batch}"
