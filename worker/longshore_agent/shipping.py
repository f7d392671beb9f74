"""Copies what processes write on this machine into the run's folders, where those are in an object store.

Files grow, and objects do not: a file that changed is written again, whole. Logs go now and then, output before any
mini-batch is reported that it may belong to. What is read here was written by the script: no link is followed, since it
might lead to what only the agent may read.
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

from longshore_agent.places import Places
from longshore_agent.unreadable import GRAIN, Mark, Unreadable, UnreadableError
from longshore_protocol.job import Job
from longshore_storage import beneath
from longshore_storage.store import Store, open_store

LOG_LIMIT = 16 << 20  # bytes of one log that go to the store: its end
_LOG_SECONDS = 10.0  # before a log that changed is written again; for one above _PACE bytes proportionally longer
_PACE = 1 << 20
_PART = 8 << 20  # bytes of a file in memory at once
_NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR)  # gone, a link, a socket, no folder any more
_REFUSED = (errno.EACCES, errno.EPERM)
_AT_ONCE = 8  # small files that go side by side
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass
class _Shipped:
    mark: Mark | None
    due: float  # monotonic: not to be written again before


class Shipper:
    """Ships the logs and the output of one worker.

    `private` is a folder that no script can write to, and that outlives the agent. Calls block; any thread may make
    them. Where a folder of the run is a path of this machine, nothing is to be shipped, and nothing happens.
    """

    def __init__(self, job: Job, places: Places, *, worker: str, private: str) -> None:
        self.ships_logs, self.ships_output = places.copies_logs, places.copies_output
        self._places = places
        self._run: Store | None = open_store(job.run_uri) if places.copies_logs else None
        self._output: Store | None = open_store(job.output.uri) if places.copies_output else None
        self._earlier = os.path.join(private, f"longshore-earlier-{job.run_id}-{worker}")
        self._shipped_logs: dict[str, _Shipped] = {}
        # What an agent that died left unshipped was never reported: others run it, and theirs is to stay.
        self._shipped_output = _marks(places.output) if places.copies_output else {}
        self._lock = threading.Lock()

    def ship_logs(self, *, all_of_them: bool = False) -> None:
        """Write the logs that changed, those that were written lately left out; or all that changed. Raises OSError."""
        if self._run is None:
            return
        with self._lock:
            refused: list[Unreadable] = []
            is_due = partial(self._is_due, at_once=all_of_them)
            for name, file in _files(self._places.logs, changed=is_due, refused=refused):
                mark = _settled_mark(file)
                data = self._log(self._run, name, file)
                self._run.put(f"logs/{name}", data)
                pause = _LOG_SECONDS * max(1.0, len(data) / _PACE)
                self._shipped_logs[name] = _Shipped(mark, time.monotonic() + pause)
            if refused:
                raise UnreadableError(refused)

    def ship_output(self) -> None:
        """Write the files below the output folder that are new or changed. Raises OSError as `ship_folder`."""
        if self._output is None:
            return
        with self._lock:
            ship_folder(self._places.output, self._output, shipped=self._shipped_output)

    def _is_due(self, name: str, mark: Mark, *, at_once: bool) -> bool:
        """Tell whether a log is to be written: it is new, or has changed and was not written lately."""
        shipped = self._shipped_logs.get(name)
        return shipped is None or (shipped.mark != mark and (at_once or time.monotonic() >= shipped.due))

    def _log(self, store: Store, name: str, file: BinaryIO) -> bytes:
        """Return what the store is to have of a log: its end, behind what an earlier worker of this name left there."""
        if not name.endswith(".txt"):
            return file.read()  # a profile, which is written once
        earlier = self._earlier_log(store, name)
        size = os.fstat(file.fileno()).st_size
        left_out = max(0, len(earlier) + size - LOG_LIMIT)
        file.seek(max(0, left_out - len(earlier)))
        data = earlier[left_out:] + file.read(LOG_LIMIT)
        if left_out:
            data = b"(Longshore keeps the end of a log here: %d bytes before this are left out.)\n%s" % (left_out, data)
        return data

    def _earlier_log(self, store: Store, name: str) -> bytes:
        """Return what the store had of a log before this machine had the worker, as a copy here remembers it."""
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
    """Write the ordinary files below a folder to a store, each as `prefix` and its relative name.

    Those that are as `shipped` has them are left out; it is kept up to date. Raises OSError, UnreadableError once all
    others are written.
    """
    marks = {} if shipped is None else shipped
    refused: list[Unreadable] = []
    underway: deque[tuple[str, Mark | None, Future[None]]] = deque()

    def settle(left: int) -> None:
        while len(underway) > left:
            name, mark, putting = underway.popleft()
            putting.result()
            marks[name] = mark

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for name, file in _files(folder, changed=lambda name, mark: marks.get(name) != mark, refused=refused):
            mark, size = _settled_mark(file), os.fstat(file.fileno()).st_size
            if size <= _PART:
                underway.append((name, mark, threads.submit(store.put, prefix + name, file.read(size))))
                settle(_AT_ONCE)
            else:
                _copy(file, store, prefix + name, size=size)
                marks[name] = mark
        settle(0)
    if refused:
        raise UnreadableError(refused)


@dataclass(frozen=True)
class _Seen:
    """A file or folder in a folder that is being walked."""

    name: str  # relative to where the walk began
    own_name: str
    folder: int  # descriptor of its folder, open until the next file
    mark: Mark
    mode: int
    changed: float  # Unix time


def _walk(folder: str, refused: list[Unreadable]) -> Iterator[_Seen]:
    """Yield the ordinary files below a folder, however deep, without opening them; no link is followed.

    Adds folders that may not be read to `refused`. Raises OSError.
    """
    with beneath.in_folder(folder) as top:
        try:
            descriptor = os.open(top, _FOLDER)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link took its place
                return
            raise
        yield from _walk_below(descriptor, "", refused)


def _walk_below(descriptor: int, prefix: str, refused: list[Unreadable]) -> Iterator[_Seen]:
    """Yield the files below an open folder, which is closed then. `prefix` is its name with a slash, or empty."""
    folders = []
    try:
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                seen = _Seen(prefix + name, name, descriptor, _mark(found), found.st_mode, found.st_ctime)
                if stat.S_ISREG(found.st_mode):
                    yield seen
                elif stat.S_ISDIR(found.st_mode):
                    folders.append(seen)
        for seen in folders:
            try:
                inside = _open_folder(seen.own_name, descriptor)
            except OSError as error:
                _note(error, seen, refused, kind="/")
            else:
                yield from _walk_below(inside, f"{seen.name}/", refused)
    finally:
        os.close(descriptor)


def _open_folder(name: str, parent: int) -> int:
    """Open a folder, and never what a link leads to. Raises OSError, also for one that may be read and not entered."""
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        os.stat(".", dir_fd=descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _files(
    folder: str, *, changed: Callable[[str, Mark], bool], refused: list[Unreadable]
) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the files below a folder that have changed: their relative names, and each open until the next.

    A file that has not changed is not opened. Adds what may not be read to `refused`. Raises OSError.
    """
    for seen in _walk(folder, refused):
        if not changed(seen.name, seen.mark):
            continue
        try:
            opened = os.open(seen.own_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=seen.folder)
        except OSError as error:
            _note(error, seen, refused)
            continue
        with open(opened, "rb") as file:
            if stat.S_ISREG(os.fstat(opened).st_mode):  # it may have been replaced
                yield seen.name, file


def _note(error: OSError, seen: _Seen, refused: list[Unreadable], *, kind: str = "") -> None:
    """Note why a file or folder cannot be opened, unless it is gone. Raises any other error."""
    if error.errno in _REFUSED:
        refused.append(Unreadable(seen.name + kind, seen.mark, seen.mode, seen.changed))
    elif error.errno not in _NO_FILE:
        raise error


def _marks(folder: str) -> dict[str, Mark | None]:
    found: dict[str, Mark | None] = {}
    with suppress(OSError):  # a folder that cannot be read will be told of when it is to be shipped
        for seen in _walk(folder, []):
            found[seen.name] = seen.mark
    return found


def _mark(found: os.stat_result) -> Mark:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _settled_mark(file: BinaryIO) -> Mark | None:
    """Return the mark by which a later change will show; None when the file is being written right now."""
    if time.time() - os.fstat(file.fileno()).st_mtime < GRAIN:
        time.sleep(GRAIN)
    mark = _mark(os.fstat(file.fileno()))
    return mark if time.time() - mark[2] / 1e9 >= GRAIN else None


def _copy(file: BinaryIO, store: Store, name: str, *, size: int) -> None:
    """Write the first `size` bytes of a file: it may be growing."""
    with store.writer(name) as target:
        while size and (part := file.read(min(size, _PART))):
            target.write(part)
            size -= len(part)
