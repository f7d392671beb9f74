"""Cutting of a job's inputs into mini-batches, in order."""

from __future__ import annotations

import errno
import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice

from longshore_coordinator.enumerate import parquet, sql, text
from longshore_coordinator.enumerate.errors import EmptyInputError, InputError
from longshore_coordinator.enumerate.partitions import (
    Advance,
    PathError,
    TableGroups,
    file_formats,
    file_groups,
    nothing,
    path_reader,
)
from longshore_coordinator.enumerate.slices import Piece, Slice, coalesced, encode
from longshore_protocol.job import BYTES, FILES, ROWS, Input, Job, MiniBatchSize, TabularFormat
from longshore_protocol.slices import coded
from longshore_storage import listing
from longshore_storage.errors import DatabaseError, ListingError
from longshore_storage.listing import Selection
from longshore_storage.retrying import root_error
from longshore_storage.store import local_path

_OF_FILE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)

ListFiles = Callable[[str, Selection], Iterator[str]]


def selections(job: Job) -> list[Selection]:
    """Return the selection of files for each input: without run folders, this run's output and hidden tables."""
    without = (job.run_uri, job.output.uri)
    return [Selection(hidden=each.tabular is None, runs=False, without=without) for each in job.inputs]


def cut(
    job: Job,
    *,
    selected: Sequence[Selection] | None = None,
    list_files: ListFiles = listing.list_files,
    advance: Advance = nothing,
) -> Iterator[Slice]:
    """Yield the job's mini-batches in order, each as soon as it is known.

    Inputs are cut one after another, each in the order of its files' full paths. A file that several paths of an input
    lead to is used once. A mini-batch has files of one input. A tabular one spans files only if small files are
    coalesced or there are partition keys; with those, each combination of their values is a mini-batch.

    A tabular file without rows gives no mini-batch if it is read. Files that are cut by bytes at plain lines are not
    read, so one with only a header gives a mini-batch of 0 items.

    Args:
        job: the job.
        selected: the `selections` of the inputs, which count the files that they leave out.
        list_files: lists the files below one path of an input.
        advance: called repeatedly while inputs are listed and read, also before the first mini-batch.

    Raises:
        InputError: an input cannot be listed or read.
        EmptyInputError: an input has no files.
    """
    for index, (given, selection) in enumerate(zip(job.inputs, selected or selections(job), strict=True)):
        _check_unit(given, job)
        if given.tabular is not None and given.tabular.query is not None:
            yield from _cut_query(index, given, given.tabular, job.mini_batch)
            continue
        files = _counted(given, _files(given, selection, list_files), selection, advance)
        try:
            if given.tabular is not None:
                yield from _cut_tables(index, given, files, job, advance)
            elif job.partition_keys:
                yield from file_groups(index, given, files, job.partition_keys)
            else:
                yield from _cut_files(index, files, job.mini_batch.value)
        except PathError as error:
            raise InputError(str(error)) from error


def _check_unit(given: Input, job: Job) -> None:
    is_query = given.tabular is not None and given.tabular.query is not None
    if job.partition_keys and not is_query:
        return  # partition keys replace the size
    units = (FILES,) if given.tabular is None else (ROWS,) if is_query else (BYTES, ROWS)
    if job.mini_batch.unit not in units:
        message = f'Input "{given.name}" is cut by {" or ".join(units)}, and not by {job.mini_batch.unit}.'
        raise InputError(message)


def _cut_files(index: int, files: Iterator[str], size: int) -> Iterator[Slice]:
    while batch := list(islice(files, size)):
        yield Slice(index, len(batch), encode(batch))


def _cut_tables(index: int, given: Input, files: Iterator[str], job: Job, advance: Advance) -> Iterator[Slice]:
    files = _with_typed_columns(given, files)
    if job.partition_keys:
        groups = TableGroups(given, job.partition_keys, advance)
        for path in files:
            with _naming(path, given):
                groups.add(path)
        with _naming(given.paths[0], given):
            yield from groups.slices(index)
        return
    pieces = _pieces(given, files, job.mini_batch)
    if job.coalesce:
        yield from coalesced(index, pieces, job.mini_batch.value)
    else:
        for each in pieces:
            yield Slice(index, each.items, encode(each.piece))


def _pieces(given: Input, files: Iterator[str], size: MiniBatchSize) -> Iterator[Piece]:
    """Yield the pieces of each file."""
    read = path_reader(given)
    assert given.tabular is not None, "only tables are cut into pieces"
    source = parquet.pieces if given.tabular.format == "parquet" else text.pieces
    format_of = file_formats(given.tabular)
    for path in files:
        with _naming(path, given):
            columns = {name: coded(value) for name, value in read(path).items()}
            table = format_of(path)
            extra = {**({"columns": columns} if columns else {}), **({"names": table.names} if table.names else {})}
            try:
                for each in source(path, table, size):
                    yield each._replace(piece={**each.piece, **extra}) if extra else each
            except (OSError, ValueError) as error:
                if not _is_of_file(path, error):
                    raise
                # A mini-batch of its own, because of the size, that fails with this cause.
                yield Piece(None, size.value, {"path": path, "unreadable": _cause(error)})


def _is_of_file(path: str, error: Exception) -> bool:
    """Return whether an error concerns one file only, not its volume or store, or the settings."""
    if isinstance(error, PathError):
        return False
    if isinstance(root_error(error), FileNotFoundError) or type(error).__module__.startswith("pyarrow"):
        return True
    if isinstance(error, OSError):
        is_damaged = error.errno is None and "thrift" in str(error)  # pyarrow's error for a damaged Parquet footer
        return is_damaged or (local_path(path) is not None and error.errno in _OF_FILE)
    return isinstance(error, UnicodeError)


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}"


def _with_typed_columns(given: Input, files: Iterator[str]) -> Iterator[str]:
    """Yield the files; raise InputError if the first one with columns lacks a column of columnTypes."""
    table = given.tabular
    assert table is not None, "only tables have columns"
    is_known = not table.column_types or table.format not in ("csv", "parquet")  # each JSON line has its own columns
    for path in files:
        if not is_known:
            with _naming(path, given):
                names = _column_names(path, table)
                is_known = bool(names)
                there = {*names, *path_reader(given)(path), table.path_column}
            missing = [name for name in table.column_types if name not in there] if is_known else []
            if missing:
                message = f'Input "{given.name}" has columnTypes for "{missing[0]}", but no such column'
                raise InputError(f'{message}; the columns of the file "{path}" are {", ".join(names)}.')
        yield path


def _column_names(path: str, table: TabularFormat) -> list[str]:
    """Return the columns of a file, or [] if it cannot be read, which its mini-batches report."""
    try:
        return parquet.column_names(path) if table.format == "parquet" else text.column_names(path, table)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not _is_of_file(path, error):
            raise
        return []


@contextmanager
def _naming(path: str, given: Input) -> Iterator[None]:
    """Convert exceptions to InputError with the names of the file and the input."""
    try:
        yield
    except PathError:
        raise
    except Exception as error:  # parsers and each store's library raise their own
        message = f'The file "{path}" of input "{given.name}" cannot be cut into mini-batches'
        raise InputError(f"{message}: {_cause(error)}.") from error


def _cut_query(index: int, given: Input, format: TabularFormat, size: MiniBatchSize) -> Iterator[Slice]:
    found = False
    try:
        for items, piece in sql.patient_pieces(given.paths[0], format, size):
            found = True
            yield Slice(index, items, encode(piece))
    except DatabaseError as error:
        raise InputError(f'Input "{given.name}" cannot be cut into mini-batches: {error}.') from error
    except TypeError as error:
        raise InputError(f'Input "{given.name}" cannot be split by "{format.split_by}": {error}.') from error
    if not found:
        raise EmptyInputError(f'Input "{given.name}" has no rows: its query returns none.')


def _files(given: Input, selection: Selection, list_files: ListFiles) -> Iterator[str]:
    """Yield the files of an input in order, each once."""
    if len(given.paths) == 1:
        yield from list_files(given.paths[0], selection)
    else:
        for path, _ in groupby(heapq.merge(*(list_files(each, selection) for each in given.paths))):
            yield path


def _counted(given: Input, files: Iterator[str], selection: Selection, advance: Advance) -> Iterator[str]:
    """Yield the files, calling `advance` for each. Raises InputError, EmptyInputError with the input's name."""
    path = None
    try:
        for path in files:
            advance()
            yield path
    except ListingError as error:
        raise InputError(f'Input "{given.name}" cannot be listed. {error}') from error
    if path is None:
        paths = ", ".join(f'"{each}"' for each in given.paths)
        left_out = f"; left out: {selection.summary}" if selection.left_out else ""
        raise EmptyInputError(f'Input "{given.name}" has no files: no file was found at {paths}{left_out}.')
