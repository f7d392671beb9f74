"""Files that scripts request by name: downloads into a folder of the worker, and uploads from a script's own folder.

    <folder>/model/<resource>/     one version of a Model; complete as soon as it exists, read-only
    <folder>/dataset/<resource>/   the same of a Dataset
    <folder>/unfinished/           downloads in progress
    <folder>/temporary/<number>/   files of a Datastore, until the script that asked for them discards them

Each Model and Dataset is downloaded once per worker, however many processes ask. Downloads that fail because of a store
or disk are retried for as long as the run allows, like those of inputs.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from longshore_agent.downloads import protect
from longshore_agent.fetching import base_name
from longshore_agent.file_names import require_distinct
from longshore_agent.origins import origin_of
from longshore_agent.requests import RequestError
from longshore_agent.script_inputs import names_below
from longshore_agent.stager import space
from longshore_agent.threads import Threads
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol import messages
from longshore_protocol.backoff import pause
from longshore_protocol.text import MESSAGE, printable
from longshore_storage import beneath
from longshore_storage.causes import cause_of
from longshore_storage.errors import StorageError
from longshore_storage.folders import Stamp
from longshore_storage.listing import Selection, list_stamped
from longshore_storage.store import local_path

T = TypeVar("T")

Failing = Callable[[str, str], None]  # called with origin and message of a failure that is retried

_AT_ONCE = 8  # parallel downloads of files, over all requests
_SHARE = 2  # half of the free space is for requested files; the stager uses the rest
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts
_MIB = 1 << 20
_MAGIC = re.compile(r"[*?[]")


class _Closed(Exception):
    """The worker ends, so the download is not needed any more."""


class NamedFiles:
    """Downloads and their copies of one worker.

    Args:
        folder: The folder for all copies. Unfinished ones of an earlier agent are deleted.
        patience: Seconds for which a failing download is retried.
    """

    def __init__(self, folder: str, *, patience: float) -> None:
        self.fetched = 0  # grows while files are downloaded
        self.failing: Failing = _log_failing  # called for each failure that is retried
        self._folder = folder
        self._patience = patience
        self._threads = Threads(_AT_ONCE)
        self._shared: dict[str, asyncio.Task[str]] = {}  # downloads by their target
        self._numbers = itertools.count()
        self._space: int | None = None  # bytes that copies may have, once it is known
        self._taken = 0  # bytes of copies, finished or not
        self._closed = False
        for left in ("unfinished", "temporary"):
            shutil.rmtree(os.path.join(folder, left), ignore_errors=True)

    async def shared(self, what: str, place: str, uris: Sequence[str]) -> list[str]:
        """Return the path of the worker's copy of a file, or of a folder with several; download it if it is missing.

        Local files of a local run need no copy: their paths are returned.

        Args:
            what: The Model or Dataset, for messages.
            place: Its folder below the folder of all copies.
            uris: Files, folders and globs.

        Raises:
            RequestError: The download failed permanently.
        """
        local = _in_place(uris)
        if local:
            return local
        target = os.path.join(self._folder, place)
        task = self._shared.get(target)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._shared[target] = asyncio.create_task(self._complete(what, target, uris))
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # all that waited may be gone
        return [await asyncio.shield(task)]  # another process may wait for it, too

    async def temporary(self, what: str, uri: str) -> str:
        """Download a file, or a folder with all files below, into a folder for one script; return that folder.

        Raises RequestError.
        """
        target = os.path.join(self._folder, "temporary", str(next(self._numbers)))
        await self._fetch(what, target, [uri], base=uri)
        return target

    def discard(self, path: str) -> None:
        """Delete a folder that `temporary` returned. Raises RequestError for any other path."""
        parent, name = os.path.split(os.path.normpath(path))
        if parent != os.path.join(self._folder, "temporary") or not name.isdigit():
            raise RequestError(f'"{path}" is not a folder with requested files.')
        size = sum(os.path.getsize(os.path.join(where, each)) for where, _, names in os.walk(path) for each in names)
        shutil.rmtree(path, ignore_errors=True)
        self._taken = max(0, self._taken - size)

    async def close(self) -> None:
        """Cancel all downloads; complete copies stay, for an agent that continues."""
        self._closed = True
        tasks = list(self._shared.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _complete(self, what: str, target: str, uris: Sequence[str]) -> str:
        """Return the path of a complete copy, which an earlier agent may have made."""
        found = _copy_at(target)
        if found is not None:
            return found
        await self._fetch(what, target, uris)
        return str(_copy_at(target))

    async def retried(self, what: str, done: str, uri: str, call: Callable[[], T]) -> T:
        """Run a blocking call in a thread, again after a failure of a store or disk; return its result.

        Args:
            what: The data, for messages.
            done: The call in a word, such as "uploaded".
            uri: The location in the store.
            call: The call.

        Raises:
            RequestError: The call failed permanently, or for too long.
        """
        return await self._retried(what, done, uri, partial(self._threads.run, call))

    async def _fetch(self, what: str, target: str, uris: Sequence[str], *, base: str | None = None) -> None:
        attempt = partial(self._attempt, what, target, uris, base=base)
        await self._retried(what, "downloaded", uris[0], attempt)

    async def _retried(self, what: str, done: str, uri: str, attempt: Callable[[], Awaitable[T]]) -> T:
        give_up, failures = math.inf, 0
        while True:
            try:
                return await attempt()
            except (_Closed, RequestError):
                raise
            except Exception as error:  # each store's library raises its own
                give_up = min(give_up, time.monotonic() + self._patience)
                cause = await asyncio.to_thread(_cause, uri, error)
                message, origin = f"{what} cannot be {done}: {cause}", origin_of(error)
                if origin is None or time.monotonic() >= give_up:
                    raise RequestError(f"{message}.", messages.FAILED_REQUEST) from error
                self.failing(origin, message)
            failures += 1
            await asyncio.sleep(pause(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE))

    async def _attempt(self, what: str, target: str, uris: Sequence[str], *, base: str | None) -> None:
        """Download files next to their target, then move them there. Raises the errors of stores."""
        unfinished = os.path.join(self._folder, "unfinished", f"{os.getpid()}-{next(self._numbers)}")
        files, size = await self._threads.run(partial(self._plan, unfinished, uris, base=base))
        self._reserve(what, size)
        try:
            await self._copy(files)
            await self._threads.run(partial(_move, unfinished, target))
        except BaseException:
            self._taken -= size
            await asyncio.shield(self._threads.run(partial(shutil.rmtree, unfinished, ignore_errors=True)))
            raise

    def _plan(self, folder: str, uris: Sequence[str], *, base: str | None) -> tuple[list[tuple[str, str]], int]:
        """Return each file with its target below a folder, and the size of all files in bytes. Blocking.

        One file is `file/NAME`, several are below `folder/`. With `base`, a file's path there is relative to it.
        """
        found, size = [], 0
        for uri in uris:
            stamped = []
            for file, stamp in list_stamped(uri, Selection(runs=False)):
                self.step()
                stamped.append(file)
                size += _size_of(stamp)
            if not stamped:
                raise FileNotFoundError(f'"{uri}" has no files')
            found.append((uri, stamped))
        root = (local_path(uris[0]) or uris[0]).rstrip("/")
        if len(uris) == 1 and found[0][1] == [root]:
            return [(root, inside(f"{folder}/file", base_name(root)))], size
        names = names_below(found)
        if base is not None:
            names = {file.removeprefix(root + "/"): file for file in found[0][1]}
            if not all(file.startswith(root + "/") for file in found[0][1]):
                raise FileNotFoundError(f'"{base}" is neither a file nor a folder; a download supports no globs')
        require_distinct(folder, names)
        return [(file, inside(f"{folder}/folder", name)) for name, file in names.items()], size

    async def _copy(self, files: Sequence[tuple[str, str]]) -> None:
        """Download files, some at a time; wait for all of them also after a failure."""
        queue: Iterator[tuple[str, str]] = iter(files)
        failed = False

        def check() -> None:
            if failed:
                raise _Closed
            self.step()

        async def work() -> None:
            nonlocal failed
            for uri, target in queue:
                try:
                    await self._threads.run(partial(fetch_file_to, uri, target, check=check))
                except BaseException:
                    failed = True
                    raise
                if failed:
                    return

        results = await asyncio.gather(*(work() for _ in range(_AT_ONCE)), return_exceptions=True)
        failures = [each for each in results if isinstance(each, BaseException)]
        if failures:
            raise next((each for each in failures if not isinstance(each, _Closed)), failures[0])

    def step(self) -> None:
        """Count progress. Raises _Closed once the worker ends. Thread-safe."""
        if self._closed:
            raise _Closed
        self.fetched += 1

    def _reserve(self, what: str, size: int) -> None:
        if self._space is None:
            os.makedirs(self._folder, exist_ok=True)
            self._space = space(self._folder) // _SHARE
        if self._taken + size > self._space:
            left = max(0, self._space - self._taken)
            text = (
                f"{what} has {size / _MIB:,.1f} MiB, and {left / _MIB:,.1f} MiB of the worker's disk are left for data "
                "that scripts ask for; free some disk space, or on a cluster raise scratchSizeLimit."
            )
            raise RequestError(text, messages.NOT_ALLOWED)
        self._taken += size


def _cause(uri: str, error: Exception) -> str:
    """Return the cause of an error as a clause; errors of our storage have sentences of their own. Blocking."""
    is_sentence = isinstance(error, StorageError | FileNotFoundError) and error.args[:1] != (errno.ENOENT,)
    return str(error).rstrip(".") if is_sentence else cause_of(uri, error)


def _log_failing(_origin: str, message: str) -> None:
    sys.stderr.write(f"longshore-agent: {printable(message, MESSAGE)}; retrying\n")


def _in_place(uris: Sequence[str]) -> list[str]:
    """Return the paths of local files, folders and globs that the script can read itself; [] if copies are needed.

    In pods, the script's container does not have the volumes that the agent's has.
    """
    paths = [path for each in uris if (path := local_path(each)) is not None]
    is_readable = all(
        beneath.volume_of(each) is None and (_MAGIC.search(each) or os.path.exists(each)) for each in paths
    )
    return paths if is_readable and len(paths) == len(uris) else []


def _copy_at(target: str) -> str | None:
    """Return the path of the file or folder in a complete copy; None if there is no copy."""
    if os.path.isdir(f"{target}/file"):
        [name] = os.listdir(f"{target}/file")
        return f"{target}/file/{name}"
    return f"{target}/folder" if os.path.isdir(f"{target}/folder") else None


def _move(unfinished: str, target: str) -> None:
    """Make a complete copy visible, read-only."""
    protect(unfinished)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(unfinished, target)


def _size_of(stamp: Stamp | None) -> int:
    """Return the size in a stamp in bytes; 0 if the store does not report it."""
    size = "" if stamp is None or stamp.text is None else stamp.text.partition(" ")[0]
    return int(size) if size.isdigit() else 0
