"""Download models, side inputs and inputs before the processes start, and report progress to the coordinator."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from longshore_agent.coordinator_client import Orders
from longshore_agent.downloads import DownloadedData, download_inputs, download_models
from longshore_agent.paths import StagingError, WorkerPaths
from longshore_agent.threads import Threads
from longshore_protocol import errors, wire
from longshore_protocol.backoff import pause
from longshore_protocol.job import Job

_FIRST = 0.5  # seconds until the first report: most downloads are shorter
_HEARTBEAT = 2.0  # seconds between two reports
_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 30.0  # seconds between two attempts


class Reports(Protocol):
    """The receiver of reports; implemented by `CoordinatorClient`."""

    async def report(self, body: dict[str, object]) -> Orders:
        """Send a `wire.report`; return the coordinator's orders."""


async def prepare(job: Job, paths: WorkerPaths, client: Reports, identity: tuple[str, int]) -> DownloadedData | None:
    """Download models, side inputs and inputs; return their local paths, or None if the coordinator ends the agent.

    Downloads that fail because of a store or disk are retried with growing pauses, as long as the coordinator allows.

    Args:
        job: The job of the run.
        paths: Local paths for the downloads.
        client: The client for reports.
        identity: Name and epoch of the registration.

    Raises:
        StagingError: A download fails permanently; this is already reported to the coordinator.
        Superseded: A new coordinator took over.
        Refused: The coordinator rejects this agent permanently.
        Unreachable: No coordinator answered in time.
    """
    progress, threads, failures = _Progress(client, identity), Threads(1), 0

    def download() -> DownloadedData:
        download_models(job.models, paths.models, begin=progress.begin)
        return download_inputs(job, paths.data, begin=progress.begin)

    while True:
        downloading = asyncio.create_task(threads.run(download))  # in a daemon thread: it may hang
        try:
            if await progress.report_until(downloading):
                return None
            return downloading.result()
        except StagingError as error:
            if error.origin is None:
                failure = wire.Failure(-1, 0, 0, -1, errors.DATA_ERROR, str(error), "", time.time(), 0.0, "")
                await client.report(wire.report(*identity, init_failed=[failure]))
                raise
            progress.failures = [wire.Deferral(-1, 0, error.origin, str(error))]
        finally:
            downloading.cancel()
        failures += 1
        seconds = pause(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        resting = asyncio.create_task(asyncio.sleep(seconds))
        try:
            if await progress.report_until(resting):
                return None
        finally:
            resting.cancel()


class _Progress:
    """The reports to the coordinator during downloads."""

    def __init__(self, client: Reports, identity: tuple[str, int]) -> None:
        self.failures: list[wire.Deferral] = []  # why the last try failed
        self._client = client
        self._identity = identity
        self._what = ""
        self._began = time.monotonic()
        self._pause = _FIRST

    def begin(self, what: str) -> None:
        """Record the download that begins now."""
        self._what = what

    async def report_until(self, task: asyncio.Task[Any]) -> bool:
        """Send reports until a task ends; return early with True if the coordinator orders the agent to end."""
        while not (await asyncio.wait({task}, timeout=self._pause))[0]:
            seconds = round(time.monotonic() - self._began, 1)
            state = {
                "process": "",
                "state": wire.DOWNLOADING,
                "mini_batch": None,
                "what": self._what,
                "seconds": seconds,
            }
            failures, self.failures = self.failures, []
            orders = await self._client.report(wire.report(*self._identity, deferred=failures, processes=[state]))
            if orders.stop or orders.drain or orders.finished:
                return True
            self._pause = _HEARTBEAT
        return False
