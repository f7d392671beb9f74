"""Upload the logs and output that processes write locally to the run's folders in an object store.

Objects cannot grow, so a changed file is uploaded again as a whole. Logs are uploaded periodically, output before the
mini-batches that may have written it are reported. The files belong to the script: symbolic links are never followed,
because they could point to files that only the agent may read.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from longshore_agent.paths import WorkerPaths
from longshore_agent.unreadable import GRAIN, Mark, Unreadable, UnreadableError
from longshore_protocol.job import Job
from longshore_storage import beneath
from longshore_storage.store import Store, open_store

LOG_LIMIT = 16 << 20  # the most bytes of one log in the store: its end
_LOG_SECONDS = 10.0  # between two uploads of a changing log; proportionally longer above _PACE bytes
_PACE = 1 << 20
PART = 8 << 20  # bytes of a file in memory at once
_NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR)  # deleted, or replaced by a link or socket
_REFUSED = (errno.EACCES, errno.EPERM)
_AT_ONCE = 8  # parallel uploads of small files
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass
class _Shipped:
    mark: Mark | None
    due: float  # monotonic: the earliest time of the next upload


class Shipper:
    """Uploads the logs and the output of one worker. Thread-safe; all calls block.

    Folders of the run that are local need no upload; calls do nothing for them.

    Args:
        job: The job of the run.
        paths: Local paths of logs and output.
        worker: Name of the worker.
        private: A folder that scripts cannot write to and that outlives the agent.
    """

    def __init__(self, job: Job, paths: WorkerPaths, *, worker: str, private: str) -> None:
        self.ships_logs, self.ships_output = paths.copies_logs, paths.copies_output
        self._paths = paths
        self._run: Store | None = open_store(job.run_uri) if paths.copies_logs else None
        self._output: Store | None = open_store(job.output.uri) if paths.copies_output else None
        self._earlier = os.path.join(private, f"longshore-earlier-{job.run_id}-{worker}")
        self._shipped_logs: dict[str, _Shipped] = {}
        # Output that a dead agent did not upload was never reported: a retry elsewhere writes it, and must win.
        self._shipped_output = _marks(paths.output) if paths.copies_output else {}
        self._lock = threading.Lock()

    def ship_logs(self, *, all_of_them: bool = False) -> None:
        """Upload the logs that changed and are due.

        Args:
            all_of_them: Upload all changed logs, also those that were uploaded recently.

        Raises:
            UnreadableError: The agent may not read some logs; all others were uploaded.
            OSError: A log cannot be read or uploaded.
        """
        if self._run is None:
            return
        with self._lock:
            refused: list[Unreadable] = []
            is_due = partial(self._is_due, at_once=all_of_them)
            for name, file in open_files(self._paths.logs, changed=is_due, refused=refused):
                mark = _stable_mark(file)
                data = self._log(self._run, name, file)
                self._run.put(f"logs/{name}", data)
                pause = _LOG_SECONDS * max(1.0, len(data) / _PACE)
                self._shipped_logs[name] = _Shipped(mark, time.monotonic() + pause)
            if refused:
                raise UnreadableError(refused)

    def ship_output(self) -> None:
        """Upload the new and changed files below the output folder. Raises the exceptions of `ship_folder`."""
        if self._output is None:
            return
        with self._lock:
            ship_folder(self._paths.output, self._output, shipped=self._shipped_output)

    def _is_due(self, name: str, mark: Mark, *, at_once: bool) -> bool:
        """Return whether to upload a log: it is new, or it changed and its last upload is long enough ago."""
        shipped = self._shipped_logs.get(name)
        return shipped is None or (shipped.mark != mark and (at_once or time.monotonic() >= shipped.due))

    def _log(self, store: Store, name: str, file: BinaryIO) -> bytes:
        """Return the end of a log, preceded by the log that an earlier worker of this name uploaded."""
        if not name.endswith(".txt"):
            return file.read()  # a profile, written once
        earlier = self._earlier_log(store, name)
        size = os.fstat(file.fileno()).st_size
        left_out = max(0, len(earlier) + size - LOG_LIMIT)
        file.seek(max(0, left_out - len(earlier)))
        data = earlier[left_out:] + file.read(LOG_LIMIT)
        if left_out:
            data = b"(Longshore keeps the end of a log here: %d bytes before this are left out.)\n%s" % (left_out, data)
        return data

    def _earlier_log(self, store: Store, name: str) -> bytes:
        """Return the log in the store from before this worker started, from a local copy after the first call."""
        path = os.path.join(self._earlier, name)
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            pass
        try:
            data = store.get(f"logs/{name}")
        except FileNotFoundError:
            data = b""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".unfinished", "wb") as file:
            file.write(data)
        os.replace(path + ".unfinished", path)
        return data


def ship_folder(folder: str, store: Store, *, prefix: str = "", shipped: dict[str, Mark | None] | None = None) -> None:
    """Upload the regular files below a folder.

    Args:
        folder: The local folder.
        store: The destination.
        prefix: The prefix of object names, before each file's relative path.
        shipped: Marks of files that are uploaded already, which are skipped; updated by this call.

    Raises:
        UnreadableError: The agent may not read some files; all others were uploaded.
        OSError: A file cannot be read or uploaded.
    """
    marks = {} if shipped is None else shipped
    refused: list[Unreadable] = []
    underway: deque[tuple[str, Mark | None, Future[None]]] = deque()

    def await_uploads(left: int) -> None:
        while len(underway) > left:
            name, mark, putting = underway.popleft()
            putting.result()
            marks[name] = mark

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for name, file in open_files(folder, changed=lambda name, mark: marks.get(name) != mark, refused=refused):
            mark, size = _stable_mark(file), os.fstat(file.fileno()).st_size
            if size <= PART:
                underway.append((name, mark, threads.submit(store.put, prefix + name, file.read(size))))
                await_uploads(_AT_ONCE)
            else:
                copy_large(file, store, prefix + name, size=size)
                marks[name] = mark
        await_uploads(0)
    if refused:
        raise UnreadableError(refused)


@dataclass(frozen=True)
class _Entry:
    """A file or folder found by a walk."""

    name: str  # relative to the root of the walk
    own_name: str
    folder: int  # descriptor of its folder, open until the next entry
    mark: Mark
    mode: int
    changed: float  # Unix time


def _walk(folder: str, refused: list[Unreadable]) -> Iterator[_Entry]:
    """Yield the regular files below a folder without opening them or following links.

    Adds unreadable folders to `refused`. Raises OSError.
    """
    with beneath.in_folder(folder) as top:
        try:
            descriptor = os.open(top, _FOLDER)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):  # replaced by a link
                return
            raise
        yield from _walk_below(descriptor, "", refused)


def _walk_below(descriptor: int, prefix: str, refused: list[Unreadable]) -> Iterator[_Entry]:
    """Yield the files below an open folder, then close it. `prefix` is its relative name with a slash, or empty."""
    folders = []
    try:
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                entry = _Entry(prefix + name, name, descriptor, _mark(found), found.st_mode, found.st_ctime)
                if stat.S_ISREG(found.st_mode):
                    yield entry
                elif stat.S_ISDIR(found.st_mode):
                    folders.append(entry)
        for entry in folders:
            try:
                inside = _open_folder(entry.own_name, descriptor)
            except OSError as error:
                _note(error, entry, refused, kind="/")
            else:
                yield from _walk_below(inside, f"{entry.name}/", refused)
    finally:
        os.close(descriptor)


def _open_folder(name: str, parent: int) -> int:
    """Open a folder without following links; return its descriptor. Raises OSError, also without search permission."""
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        os.stat(".", dir_fd=descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_files(
    folder: str, *, changed: Callable[[str, Mark], bool], refused: list[Unreadable]
) -> Iterator[tuple[str, BinaryIO]]:
    """Yield relative name and open file of each changed file below a folder; it is closed before the next one.

    Unchanged files are not opened. Adds unreadable files and folders to `refused`. Raises OSError.
    """
    for entry in _walk(folder, refused):
        if not changed(entry.name, entry.mark):
            continue
        try:
            opened = os.open(entry.own_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=entry.folder)
        except OSError as error:
            _note(error, entry, refused)
            continue
        with open(opened, "rb") as file:
            if stat.S_ISREG(os.fstat(opened).st_mode):  # it may have been replaced
                yield entry.name, file


def _note(error: OSError, entry: _Entry, refused: list[Unreadable], *, kind: str = "") -> None:
    """Add a file or folder without read permission to `refused`; ignore a deleted one. Raises any other error."""
    if error.errno in _REFUSED:
        refused.append(Unreadable(entry.name + kind, entry.mark, entry.mode, entry.changed))
    elif error.errno not in _NO_FILE:
        raise error


def _marks(folder: str) -> dict[str, Mark | None]:
    found: dict[str, Mark | None] = {}
    with suppress(OSError):  # the upload reports a folder that cannot be read
        for entry in _walk(folder, []):
            found[entry.name] = entry.mark
    return found


def _mark(found: os.stat_result) -> Mark:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _stable_mark(file: BinaryIO) -> Mark | None:
    """Return a mark that differs after any later change; None while the file is being written."""
    if time.time() - os.fstat(file.fileno()).st_mtime < GRAIN:
        time.sleep(GRAIN)
    mark = _mark(os.fstat(file.fileno()))
    return mark if time.time() - mark[2] / 1e9 >= GRAIN else None


def copy_large(file: BinaryIO, store: Store, name: str, *, size: int) -> None:
    """Upload the first `size` bytes of a file, which may be growing."""
    with store.writer(name) as target:
        while size and (part := file.read(min(size, PART))):
            target.write(part)
            size -= len(part)
