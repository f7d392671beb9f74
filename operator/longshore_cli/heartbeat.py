"""Periodic writes of a local run's status.json: its command, the time of the heartbeat and its processes' states."""

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
from longshore_protocol.redaction import redacted
from longshore_protocol.snapshot import PENDING, Snapshot
from longshore_storage.store import open_store

SECONDS = 5.0  # between two heartbeats

_log = logging.getLogger("longshore.cli")


class ObservedRun(Protocol):
    """The state of a run that displays read; implemented by `Coordinator`."""

    def snapshot(self) -> Snapshot:
        """Return the current state of the run."""

    def processes(self) -> list[dict[str, Any]]:
        """Return the state of each worker's processes."""


Display = Callable[[ObservedRun], Coroutine[Any, Any, None]]  # runs concurrently with a run, until it is cancelled


class Heartbeat:
    """Keeps status.json in a run folder up to date, for readers outside the command."""

    def __init__(self, folder: RunFolder, *, output_uri: str) -> None:
        self._folder = folder
        self._output_uri = output_uri
        self._started = datetime.now(UTC)

    def begin(self) -> None:
        """Write the first status of a run. Raises OSError."""
        folder = self._folder
        first = Snapshot(PENDING, folder.run_id, folder.uri, self._output_uri, 0, started=self._started.timestamp())
        folder.write_status(self._format_status(first, []))

    async def __call__(self, run: ObservedRun) -> None:
        """Write the status every few seconds until cancelled; ignore write errors, which the run itself reports."""
        while True:
            snapshot, processes = run.snapshot(), run.processes()
            if snapshot.reason == SUPERSEDED:
                return  # the folder belongs to another command now
            text = self._format_status(snapshot, processes)
            writing = asyncio.ensure_future(asyncio.to_thread(self._write, text, epoch=snapshot.epoch))
            try:
                with suppress(OSError):
                    await asyncio.shield(writing)
                await asyncio.sleep(SECONDS)
            finally:
                await asyncio.wait({writing})  # a write that outlived this task could replace the final status

    def _write(self, text: str, *, epoch: int) -> None:
        """Write the status unless another command has taken over the run, as it may while this one is suspended."""
        if not is_superseded(open_store(self._folder.uri), epoch):
            self._folder.write_status(text)

    def _format_status(self, snapshot: Snapshot, processes: list[dict[str, Any]]) -> str:
        now = datetime.now(UTC)
        command = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "arguments": redacted(shlex.join(sys.argv[1:])),
            "started": _format_time(self._started),
            "heartbeat": _format_time(now),
            "processes": [_describe_process(each, now) for each in processes],
        }
        return json.dumps({**step_status(snapshot, previous=None, now=now).to_dict(), "command": command}, indent=2)


def combine_displays(*displays: Display) -> Display:
    """Return a display that runs all `displays`; one that raises is logged, and the others continue."""

    async def run_guarded(display: Display, run: ObservedRun) -> None:
        try:
            await display(run)
        except Exception:  # noqa: BLE001  (a display must not end the run)
            _log.exception("a display of the run failed")

    async def combined(run: ObservedRun) -> None:
        await asyncio.gather(*(run_guarded(each, run) for each in displays))  # when cancelled, waits for all of them

    return combined


def _describe_process(reported: dict[str, Any], now: datetime) -> dict[str, Any]:
    since = now - timedelta(seconds=reported.get("seconds") or 0.0)
    described: dict[str, Any] = {name: reported[name] for name in ("worker", "process", "state") if name in reported}
    if reported.get("mini_batch") is not None:
        described["miniBatch"] = reported["mini_batch"]
    return {**described, "since": _format_time(since)}


def _format_time(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
