"""The status of a local run while it runs: who runs it, when it was last heard of, and what each process does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from longshore_cli.folders import RunFolder
from longshore_coordinator.ledger import is_superseded
from longshore_coordinator.verdict import SUPERSEDED
from longshore_planner.status import step_status
from longshore_protocol.snapshot import PENDING, Snapshot
from longshore_storage.redaction import redacted
from longshore_storage.store import open_store

SECONDS = 5.0  # between two heartbeats

_log = logging.getLogger("longshore.cli")


class Watched(Protocol):
    """What is shown of a run; a `Coordinator` is one."""

    def snapshot(self) -> Snapshot:
        """Return where the run is."""

    def processes(self) -> list[dict[str, Any]]:
        """Return what each process of each worker does."""


Show = Callable[[Watched], Coroutine[Any, Any, None]]  # runs beside a run until it is cancelled


class Heartbeat:
    """Keeps the file status.json of a run folder up to date, for those who look from outside."""

    def __init__(self, folder: RunFolder, *, output_uri: str) -> None:
        self._folder = folder
        self._output_uri = output_uri
        self._started = datetime.now(UTC)

    def begin(self) -> None:
        """Write the status of a run that starts. Raises OSError."""
        folder = self._folder
        first = Snapshot(PENDING, folder.run_id, folder.uri, self._output_uri, 0, started=self._started.timestamp())
        folder.keep(self._text(first, []))

    async def __call__(self, watched: Watched) -> None:
        """Write the status every few seconds, until cancelled. The folder may fail: the run itself says so."""
        while True:
            snapshot, processes = watched.snapshot(), watched.processes()
            if snapshot.reason == SUPERSEDED:
                return  # the folder is another command's
            writing = asyncio.ensure_future(
                asyncio.to_thread(self._keep, self._text(snapshot, processes), epoch=snapshot.epoch)
            )
            try:
                with suppress(OSError):
                    await asyncio.shield(writing)
                await asyncio.sleep(SECONDS)
            finally:
                await asyncio.wait({writing})  # else it could come after the last status, and replace that

    def _keep(self, text: str, *, epoch: int) -> None:
        """Write the status, unless the folder is another command's: one that was stopped does not know that yet."""
        if not is_superseded(open_store(self._folder.uri), epoch):
            self._folder.keep(text)

    def _text(self, snapshot: Snapshot, processes: list[dict[str, Any]]) -> str:
        now = datetime.now(UTC)
        command = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "arguments": redacted(shlex.join(sys.argv[1:])),
            "started": _text_of(self._started),
            "heartbeat": _text_of(now),
            "processes": [_process(each, now) for each in processes],
        }
        return json.dumps({**step_status(snapshot, previous=None, now=now).to_dict(), "command": command}, indent=2)


def together(*shows: Show) -> Show:
    """Return what shows a run in each of these ways; one that fails is logged, and the others go on."""

    async def guarded(each: Show, watched: Watched) -> None:
        try:
            await each(watched)
        except Exception:  # noqa: BLE001  (a run does not end of how it is shown)
            _log.exception("a display of the run failed")

    async def show(watched: Watched) -> None:
        await asyncio.gather(*(guarded(each, watched) for each in shows))  # cancelled, it waits for all of them

    return show


def _process(reported: dict[str, Any], now: datetime) -> dict[str, Any]:
    since = now - timedelta(seconds=reported.get("seconds") or 0.0)
    described: dict[str, Any] = {name: reported[name] for name in ("worker", "process", "state") if name in reported}
    if reported.get("mini_batch") is not None:
        described["miniBatch"] = reported["mini_batch"]
    return {**described, "since": _text_of(since)}


def _text_of(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
