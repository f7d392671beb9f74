"""Brings the inputs that lie elsewhere to this machine, ahead of the processes that need them.

A lease of such an input is held like any other, and given to a process once its slice names local paths only. Its
files lie in a folder of their own, which goes when the lease does; a Parquet file is kept for others, since many
mini-batches read it, while there is room. Lives on the event loop; only the copying happens in threads.
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
from longshore_agent.kept import Kept
from longshore_agent.origins import origin_of
from longshore_agent.slots import Slot
from longshore_agent.threads import Threads
from longshore_agent.work import Lease
from longshore_protocol import clock, errors, slices, wire
from longshore_protocol.job import Input, TabularFormat
from longshore_storage import retrying
from longshore_storage.causes import cause_of
from longshore_storage.errors import DatabaseError, ShownError
from longshore_storage.redaction import redacted
from longshore_storage.store import local_path

T = TypeVar("T")

_COPIES = 8  # at once
_AHEAD = 8  # mini-batches per process, at most
_SHARE = 4  # of the free space, one part in so many is for what is brought ahead, and one for files that are kept
_TRIES = 4
_LEAVE = 2.0  # seconds that copies get to notice the end


class Takers(Protocol):
    """Who is told how staging ended; `Worker` is."""

    def staged(self, lease: Lease) -> None:
        """The lease's slice is on this machine."""

    def not_staged(self, lease: Lease, said: tuple[str, str], times: tuple[float, float]) -> None:
        """The lease's slice cannot be brought, of which category and why; Unix time of the start, and seconds."""

    def deferred(self, lease: Lease, origin: str, message: str) -> None:
        """The lease's slice cannot be fetched for now: a store fails, or a disk of ours (`wire.Deferral.origin`)."""


class _Unwanted(Exception):
    """Nobody needs the rest of what is being copied."""


class _NotBrought(ShownError):
    """A file cannot be brought to this machine; the text is a sentence."""

    def __init__(self, url: str, error: Exception, cause: str) -> None:
        told = retrying.told_by(error)
        what = f'The file "{url}" cannot be brought to this machine'
        if isinstance(told, DatabaseError):
            what = "The rows of a mini-batch cannot be read"
        super().__init__(f"{what}: {cause}.")
        self.origin = origin_of(error)


@dataclass
class _Errand:
    """What is being brought for one mini-batch."""

    lease: Lease
    folder: str
    advance: Callable[[], None]  # to be called for each part that came
    given_up: bool = False  # a part of it cannot be brought, or all is over

    def check(self) -> None:
        """Raise _Unwanted when the rest would be for nothing. Called in threads too."""
        if self.given_up or self.lease.abandoned:
            raise _Unwanted

    def step(self) -> None:
        """Note that a part came, and check. Called in threads too."""
        self.check()
        self.advance()


class Stager:
    """Stages the leases of one worker in `folder`, which is not there, or was left by an agent that was killed."""

    def __init__(
        self, inputs: Sequence[Input], folder: str, *, takers: Takers, copies: Mapping[str, str] | None = None
    ) -> None:
        self.remote = frozenset(
            index for index, given in enumerate(inputs) if any(local_path(path) is None for path in given.paths)
        )  # the inputs that are to be staged, as indices
        self._inputs = inputs
        self._folder = folder
        self._takers = takers
        self._copies = copies or {}  # of files that were brought before, by URL
        self._threads = Threads(_COPIES)
        self._numbers = itertools.count()
        self._underway: dict[asyncio.Task[None], _Errand] = {}
        self._closed = False
        self._staged = 0  # bytes in the folders of leases
        self._room = 0  # bytes that they should not take, and kept files neither
        self.fetched = 0  # grows with each part that comes
        self._average: float | None = None  # seconds from a lease to its files, smoothed
        if self.remote:
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder, mode=0o750)
            self._room = _space(folder) // _SHARE
        self._kept = Kept(self._keep, self._delete, room=self._room)

    def add(self, lease: Lease) -> None:
        """Bring what a lease needs, then tell."""
        lease.folder = self._new_folder()
        errand = _Errand(lease, lease.folder, self._advance)
        task = asyncio.create_task(self._bring(errand))
        self._underway[task] = errand
        task.add_done_callback(self._underway.pop)

    def underway(self) -> list[Lease]:
        """Return the leases that are not staged yet."""
        return [errand.lease for errand in self._underway.values() if not errand.lease.abandoned]

    def release(self, lease: Lease) -> None:
        """Delete what was brought for a lease: no process needs it any more."""
        if lease.folder is not None:
            self._kept.release(lease.folder)
            self._delete(lease.folder)
            self._staged -= lease.bytes
            lease.folder, lease.bytes = None, 0

    def ahead(self, slot: Slot) -> int:
        """Return how many mini-batches to hold for a slot besides what its process has.

        As `Slot.backlog` says, and enough to bring one while the others run; not many, since they fill the disk, and
        none while it is as full with them as it may be.
        """
        if self._staged > self._room:
            return 0
        ahead = max(1, slot.backlog())
        if self._average is not None and slot.average is not None:
            ahead = max(ahead, math.ceil(self._average / max(slot.average, 1e-3)))
        return min(ahead, _AHEAD)

    async def close(self) -> None:
        """End all copies, tell of none, and delete everything."""
        self._closed = True
        for errand in self._underway.values():
            errand.given_up = True
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
            raise _Unwanted

    def _step(self) -> None:
        self._check()
        self._advance()

    def _advance(self) -> None:
        self.fetched += 1

    async def _bring(self, errand: _Errand) -> None:
        lease, started, begin = errand.lease, clock.now(), time.monotonic()
        failure: str | None = None
        origin: str | None = None
        piece: Any = None
        try:
            errand.check()
            piece = await self._localized(errand)
            lease.bytes = await asyncio.to_thread(_size_of, errand.folder)
            self._staged += lease.bytes
        except _Unwanted:
            pass  # its lease is abandoned
        except _NotBrought as error:
            failure, origin = str(error), error.origin
        except Exception as error:  # noqa: BLE001  (whatever it is, it is this mini-batch's end and not the agent's)
            failure, origin = f"The mini-batch cannot be staged: {type(error).__name__}: {error}.", wire.STORE
        elapsed = time.monotonic() - begin
        if lease.abandoned or failure is not None:
            self.release(lease)
        if lease.abandoned:
            return
        if failure is not None and origin is not None:
            self._takers.deferred(lease, origin, failure)
            return
        if failure is not None:
            self._takers.not_staged(lease, (errors.DATA_ERROR, failure), (started, elapsed))
            return
        lease.grant = lease.grant._replace(slice=json.dumps(_redacted(piece)).encode("ascii"))
        self._average = elapsed if self._average is None else 0.8 * self._average + 0.2 * elapsed
        self._takers.staged(lease)

    async def _localized(self, errand: _Errand) -> Any:
        """Return the slice of an errand's lease, naming paths on this machine. Raises _NotBrought, _Unwanted."""
        grant = errand.lease.grant
        table, piece = self._inputs[grant.input].tabular, json.loads(grant.slice)
        if table is None:
            files = await self._files(errand, slices.files_of(piece))
            return files if isinstance(piece, list) else {**piece, "files": files}
        if "pieces" not in piece:
            return await self._piece(errand, piece, table, 0)
        pieces = enumerate(piece["pieces"])
        brought = await self._all(errand, [self._piece(errand, each, table, number) for number, each in pieces])
        return {**piece, "pieces": brought}

    async def _piece(self, errand: _Errand, piece: dict[str, Any], table: TabularFormat, number: int) -> dict[str, Any]:
        url = piece["path"]
        if local_path(url) is not None or "unreadable" in piece:
            return piece
        if url in self._copies:
            copied = partial(fetching.downloaded, piece, self._copies[url])
            return await self._patiently(url, copied, errand.check)
        if table.format == "parquet":
            return fetching.copied_piece(piece, await self._whole(url, piece.get("stamp"), errand))
        target = f"{errand.folder}/{number}/{fetching.base_name(url)}"
        if table.format == "sql":
            rows = partial(query_rows.fetch, piece, table, target, check=errand.check)
            return await self._patiently(url, rows, errand.check)
        copy = partial(fetching.rows, piece, slices.format_of(piece, table), target, check=errand.step)
        return await self._patiently(url, copy, errand.check)

    async def _files(self, errand: _Errand, paths: list[str]) -> list[str]:
        names: Counter[str] = Counter()

        async def bring(url: str) -> str:
            if local_path(url) is not None:
                return url
            if url in self._copies:
                return self._copies[url]
            name = fetching.base_name(url)
            target = f"{errand.folder}/{names[name]}/{name}"  # files of one name lie in folders of their own
            names[name] += 1
            copy = partial(fetching.whole, url, target, check=errand.step)
            return await self._patiently(url, copy, errand.check)

        return await self._all(errand, map(bring, paths))

    async def _all(self, errand: _Errand, copies: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Return what copies for one errand give. Raises _NotBrought, _Unwanted."""

        async def bring(copy: Coroutine[Any, Any, T]) -> T:
            try:
                return await copy
            except _NotBrought:
                errand.given_up = True
                raise

        # All are waited for: nothing may write into the folder of a mini-batch that has failed.
        brought = await asyncio.gather(*map(bring, copies), return_exceptions=True)
        failures = [each for each in brought if isinstance(each, BaseException)]
        if failures:
            raise next((each for each in failures if not isinstance(each, _Unwanted)), failures[0])
        return [each for each in brought if not isinstance(each, BaseException)]

    async def _whole(self, url: str, stamp: str | None, errand: _Errand) -> str:
        """Return the copy of a version of a file that is kept for more mini-batches than the errand's."""
        return f"{await self._kept.path((url, stamp), errand.folder)}/{fetching.base_name(url)}"

    async def _keep(self, version: tuple[str, str | None]) -> tuple[str, int]:
        """Return the folder of a new copy of a file, and the file's size in bytes. Raises _NotBrought, _Unwanted."""
        url, stamp = version
        folder = self._new_folder()
        target = f"{folder}/{fetching.base_name(url)}"

        def copy() -> int:
            return os.path.getsize(fetching.whole(url, target, check=self._step, planned=stamp))

        try:
            return folder, await self._patiently(url, copy, self._check)
        except BaseException:
            self._delete(folder)
            raise

    async def _patiently(self, url: str, copy: Callable[[], T], check: fetching.Check) -> T:
        """Run a copy in a thread, some more times when it fails. Raises _NotBrought, _Unwanted."""

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            check()

        def is_retried(error: BaseException) -> bool:
            return not isinstance(error, _Unwanted) and retrying.may_pass(error)

        options = retrying.policy(is_retried, stop=stop_after_attempt(_TRIES))
        try:
            found: T = await AsyncRetrying(**options, sleep=sleep)(self._threads.run, copy)
        except _Unwanted:
            raise
        except Exception as error:  # each store's library raises its own
            raise _NotBrought(url, error, await asyncio.to_thread(cause_of, url, error)) from error
        return found


def _space(folder: str) -> int:
    """Return the bytes that may be written below a folder: what is free, or less where its volume has a limit."""
    free = shutil.disk_usage(folder).free
    return min(free, int(os.environ.get("LONGSHORE_SPACE", free)))


def _size_of(folder: str) -> int:
    """Return the bytes of the files below a folder, which may not be there."""
    return sum(os.path.getsize(f"{parent}/{name}") for parent, _, names in os.walk(folder) for name in names)


def _redacted(piece: Any) -> Any:
    """Return a slice in which places of stores are without secrets. Values of keys and columns are the script's."""
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
