"""Stage the inputs that are not local: download the files of leased mini-batches before a process needs them.

A process gets a lease of such an input once its slice names local paths only. Each lease has a folder for its files,
which is deleted with it. Parquet files are cached while there is room, because many mini-batches read each of them.
The stager runs on the event loop; only the downloads run in threads.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from tenacity import AsyncRetrying, stop_after_attempt

from longshore_agent import fetching, query_rows
from longshore_agent.file_cache import FileCache
from longshore_agent.origins import origin_of
from longshore_agent.slots import Slot
from longshore_agent.threads import Threads
from longshore_agent.work import Lease
from longshore_protocol import clock, errors, slices, wire
from longshore_protocol.job import Input, TabularFormat
from longshore_protocol.redaction import redacted
from longshore_storage import retrying
from longshore_storage.causes import cause_of
from longshore_storage.errors import DatabaseError, ShownError
from longshore_storage.store import local_path

T = TypeVar("T")

_COPIES = 8  # parallel downloads
_AHEAD = 8  # the most mini-batches to stage ahead for one process
_SHARE = 4  # a quarter of the free space is for files of leases, and a quarter for cached files
_TRIES = 4
_LEAVE = 2.0  # seconds that running downloads get to notice their cancellation


class Callbacks(Protocol):
    """Callbacks for finished staging; implemented by `Worker`."""

    def staged(self, lease: Lease) -> None:
        """Handle a lease whose slice is staged."""

    def not_staged(self, lease: Lease, error: tuple[str, str], times: tuple[float, float]) -> None:
        """Handle a lease whose slice cannot be staged.

        Args:
            lease: The lease.
            error: Category and message.
            times: Unix time of the start, and duration in seconds.
        """

    def deferred(self, lease: Lease, origin: str, message: str) -> None:
        """Handle a lease whose slice cannot be staged because a store or disk fails (`wire.Deferral.origin`)."""


class _Cancelled(Exception):
    """The download is not needed any more."""


class _DownloadError(ShownError):
    """A file cannot be downloaded; the message is a sentence."""

    def __init__(self, url: str, error: Exception, cause: str) -> None:
        root = retrying.root_error(error)
        what = f'The file "{url}" cannot be downloaded'
        if isinstance(root, DatabaseError):
            what = "The rows of a mini-batch cannot be read"
        super().__init__(f"{what}: {cause}.")
        self.origin = origin_of(error)


@dataclass
class _Staging:
    """The downloads for one mini-batch."""

    lease: Lease
    folder: str
    advance: Callable[[], None]  # called for each part that was downloaded
    cancelled: bool = False  # one of its files cannot be downloaded, or the stager is closed

    def check(self) -> None:
        """Raise _Cancelled if the rest is not needed. Thread-safe."""
        if self.cancelled or self.lease.abandoned:
            raise _Cancelled

    def step(self) -> None:
        """Record a downloaded part, then check. Thread-safe."""
        self.check()
        self.advance()


class Stager:
    """Stages the leases of one worker.

    Args:
        inputs: The inputs of the job.
        folder: The folder for all staged files. It is emptied first: an earlier agent may have been killed.
        callbacks: Called when staging of a lease ends.
        copies: Local paths of files that were downloaded already, by URL.
    """

    def __init__(
        self, inputs: Sequence[Input], folder: str, *, callbacks: Callbacks, copies: Mapping[str, str] | None = None
    ) -> None:
        self.remote = frozenset(
            index for index, given in enumerate(inputs) if any(local_path(path) is None for path in given.paths)
        )  # indices of the inputs that need staging
        self._inputs = inputs
        self._folder = folder
        self._callbacks = callbacks
        self._copies = copies or {}
        self._threads = Threads(_COPIES)
        self._numbers = itertools.count()
        self._underway: dict[asyncio.Task[None], _Staging] = {}
        self._closed = False
        self._staged = 0  # bytes in the folders of leases
        self._room = 0  # the most bytes of these folders, and of cached files
        self.fetched = 0  # grows with each downloaded part
        self._average: float | None = None  # moving average of the seconds that staging takes
        if self.remote:
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder, mode=0o750)
            self._room = space(folder) // _SHARE
        self._kept = FileCache(self._download, self._delete, room=self._room)

    def add(self, lease: Lease) -> None:
        """Start staging a lease; the callbacks report the outcome."""
        lease.folder = self._new_folder()
        staging = _Staging(lease, lease.folder, self._advance)
        task = asyncio.create_task(self._stage(staging))
        self._underway[task] = staging
        task.add_done_callback(self._underway.pop)

    def underway(self) -> list[Lease]:
        """Return the leases whose staging has not finished."""
        return [each.lease for each in self._underway.values() if not each.lease.abandoned]

    def release(self, lease: Lease) -> None:
        """Delete the staged files of a lease that no process needs any more."""
        if lease.folder is not None:
            self._kept.release(lease.folder)
            self._delete(lease.folder)
            self._staged -= lease.bytes
            lease.folder, lease.bytes = None, 0

    def ahead(self, slot: Slot) -> int:
        """Return how many further mini-batches to hold leased for a slot.

        At least `Slot.backlog`, and enough to stage one while the others run. Limited, because staged files fill the
        disk: 0 while they take all the room that they may.
        """
        if self._staged > self._room:
            return 0
        ahead = max(1, slot.backlog())
        if self._average is not None and slot.average is not None:
            ahead = max(ahead, math.ceil(self._average / max(slot.average, 1e-3)))
        return min(ahead, _AHEAD)

    async def close(self) -> None:
        """Cancel all downloads without callbacks and delete all staged files."""
        self._closed = True
        for staging in self._underway.values():
            staging.cancelled = True
        for task in self._underway:
            task.cancel()
        await asyncio.gather(*self._underway, return_exceptions=True)
        await self._kept.close()
        if self.remote:
            await asyncio.to_thread(self._threads.end, _LEAVE)
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _delete(self, folder: str) -> None:
        asyncio.get_running_loop().run_in_executor(None, partial(shutil.rmtree, folder, ignore_errors=True))

    def _new_folder(self) -> str:
        return f"{self._folder}/{next(self._numbers):06d}"

    def _check(self) -> None:
        if self._closed:
            raise _Cancelled

    def _step(self) -> None:
        self._check()
        self._advance()

    def _advance(self) -> None:
        self.fetched += 1

    async def _stage(self, staging: _Staging) -> None:
        lease, started, begin = staging.lease, clock.now(), time.monotonic()
        failure: str | None = None
        origin: str | None = None
        piece: Any = None
        try:
            staging.check()
            piece = await self._localized(staging)
            lease.bytes = await asyncio.to_thread(_size_of, staging.folder)
            self._staged += lease.bytes
        except _Cancelled:
            pass  # its lease is abandoned
        except _DownloadError as error:
            failure, origin = str(error), error.origin
        except Exception as error:  # noqa: BLE001  (any error must fail the mini-batch, not the agent)
            failure, origin = f"The mini-batch cannot be staged: {type(error).__name__}: {error}.", wire.STORE
        elapsed = time.monotonic() - begin
        if lease.abandoned or failure is not None:
            self.release(lease)
        if lease.abandoned:
            return
        if failure is not None and origin is not None:
            self._callbacks.deferred(lease, origin, failure)
            return
        if failure is not None:
            self._callbacks.not_staged(lease, (errors.DATA_ERROR, failure), (started, elapsed))
            return
        lease.grant = lease.grant._replace(slice=json.dumps(_redacted(piece)).encode("ascii"))
        self._average = elapsed if self._average is None else 0.8 * self._average + 0.2 * elapsed
        self._callbacks.staged(lease)

    async def _localized(self, staging: _Staging) -> Any:
        """Download all files of a lease; return its slice with local paths. Raises _DownloadError and _Cancelled."""
        grant = staging.lease.grant
        table, piece = self._inputs[grant.input].tabular, json.loads(grant.slice)
        if table is None:
            files = await self._files(staging, slices.files_of(piece))
            return files if isinstance(piece, list) else {**piece, "files": files}
        if "pieces" not in piece:
            return await self._piece(staging, piece, table, 0)
        pieces = enumerate(piece["pieces"])
        local = await self._all(staging, [self._piece(staging, each, table, number) for number, each in pieces])
        return {**piece, "pieces": local}

    async def _piece(
        self, staging: _Staging, piece: dict[str, Any], table: TabularFormat, number: int
    ) -> dict[str, Any]:
        url = piece["path"]
        if local_path(url) is not None or "unreadable" in piece:
            return piece
        if url in self._copies:
            copied = partial(fetching.downloaded, piece, self._copies[url])
            return await self._with_retries(url, copied, staging.check)
        if table.format == "parquet":
            return fetching.copied_piece(piece, await self._whole(url, piece.get("stamp"), staging))
        target = f"{staging.folder}/{number}/{fetching.base_name(url)}"
        if table.format == "sql":
            rows = partial(query_rows.fetch, piece, table, target, check=staging.check)
            return await self._with_retries(url, rows, staging.check)
        copy = partial(fetching.rows, piece, slices.format_of(piece, table), target, check=staging.step)
        return await self._with_retries(url, copy, staging.check)

    async def _files(self, staging: _Staging, paths: list[str]) -> list[str]:
        names: Counter[str] = Counter()

        async def download(url: str) -> str:
            if local_path(url) is not None:
                return url
            if url in self._copies:
                return self._copies[url]
            name = fetching.base_name(url)
            target = f"{staging.folder}/{names[name]}/{name}"  # files of the same name get a folder each
            names[name] += 1
            copy = partial(fetching.whole, url, target, check=staging.step)
            return await self._with_retries(url, copy, staging.check)

        return await self._all(staging, map(download, paths))

    async def _all(self, staging: _Staging, downloads: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Await all downloads for one lease; return their results. Raises _DownloadError and _Cancelled."""

        async def attempt(download: Coroutine[Any, Any, T]) -> T:
            try:
                return await download
            except _DownloadError:
                staging.cancelled = True
                raise

        # Wait for all of them: nothing may write into the folder of a mini-batch that has failed.
        results = await asyncio.gather(*map(attempt, downloads), return_exceptions=True)
        failures = [each for each in results if isinstance(each, BaseException)]
        if failures:
            raise next((each for each in failures if not isinstance(each, _Cancelled)), failures[0])
        return [each for each in results if not isinstance(each, BaseException)]

    async def _whole(self, url: str, stamp: str | None, staging: _Staging) -> str:
        """Return the path of the cached copy of one version of a file."""
        return f"{await self._kept.path((url, stamp), staging.folder)}/{fetching.base_name(url)}"

    async def _download(self, version: tuple[str, str | None]) -> tuple[str, int]:
        """Download a file (URL, stamp) for the cache; return its folder and its size in bytes.

        Raises _DownloadError and _Cancelled.
        """
        url, stamp = version
        folder = self._new_folder()
        target = f"{folder}/{fetching.base_name(url)}"

        def copy() -> int:
            return os.path.getsize(fetching.whole(url, target, check=self._step, planned=stamp))

        try:
            return folder, await self._with_retries(url, copy, self._check)
        except BaseException:
            self._delete(folder)
            raise

    async def _with_retries(self, url: str, copy: Callable[[], T], check: fetching.Check) -> T:
        """Run a download in a thread, with retries; return its result. Raises _DownloadError and _Cancelled."""

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            check()

        def is_retried(error: BaseException) -> bool:
            return not isinstance(error, _Cancelled) and retrying.is_retryable(error)

        options = retrying.policy(is_retried, stop=stop_after_attempt(_TRIES))
        try:
            found: T = await AsyncRetrying(**options, sleep=sleep)(self._threads.run, copy)
        except _Cancelled:
            raise
        except Exception as error:  # each store's library raises its own
            raise _DownloadError(url, error, await asyncio.to_thread(cause_of, url, error)) from error
        return found


def space(folder: str) -> int:
    """Return the bytes that may be written below a folder: the free space, at most LONGSHORE_SPACE."""
    free = shutil.disk_usage(folder).free
    return min(free, int(os.environ.get("LONGSHORE_SPACE", free)))


def _size_of(folder: str) -> int:
    """Return the total size of the files below a folder in bytes; 0 if it does not exist."""
    return sum(os.path.getsize(f"{parent}/{name}") for parent, _, names in os.walk(folder) for name in names)


def _redacted(piece: Any) -> Any:
    """Return a slice with secrets removed from URLs. Values of keys and columns belong to the script and stay."""
    if isinstance(piece, list) or "files" in piece:
        return piece  # paths on this machine
    if "pieces" in piece:
        return {**piece, "pieces": [_redacted(each) for each in piece["pieces"]]}
    shown = {**piece}
    if local_path(piece["path"]) is None:
        shown.update({name: redacted(piece[name]) for name in ("path", "unreadable") if name in piece})
    if "copy_of" in piece:
        shown["copy_of"] = {**piece["copy_of"], "path": redacted(piece["copy_of"]["path"])}
    return shown
