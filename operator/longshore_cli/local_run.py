"""One local run: a coordinator in this process, workers beside it, until the verdict."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from longshore_cli.heartbeat import Show
from longshore_cli.scratch import scratch_folder, socket_folder
from longshore_cli.workers import Place, Workers, socket_name
from longshore_coordinator.server import Server
from longshore_coordinator.service import Coordinator
from longshore_coordinator.verdict import PLAN_CHANGED, REFUSALS
from longshore_host import orphans
from longshore_protocol.job import Job
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import open_store

GRACE = 30.0  # seconds that running mini-batches get when a run is interrupted


class ResumeRefused(Exception):
    """The run cannot be resumed as it is now, for the verdict `reason`; the message says why. Nothing was run."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def run_locally(
    job: Job,
    *,
    python: str,
    resume: bool,
    show: Show,
) -> Snapshot:
    """Run the job on this machine and return its last snapshot.

    `show` watches the coordinator beside the job until it is cancelled. The first SIGINT or SIGTERM
    lets running mini-batches finish within GRACE, a second one stops them. Raises ResumeRefused when a resumed run has
    another plan or other code, OSError or ValueError when the run folder cannot be used.
    """
    orphans.adopt()
    try:
        return await run_engine(job, python=python, resume=resume, show=show, control=_drain_on_signals)
    finally:
        orphans.kill_adopted()  # what the scripts started and left, when their host could not


async def run_engine(
    job: Job,
    *,
    python: str,
    resume: bool,
    show: Show,
    control: Callable[[Coordinator], None],
) -> Snapshot:
    """Run the job as `run_locally` does, beside others in this process: `control` is given the means to end it.

    What the scripts left behind is for the caller to kill, once nothing else runs.
    """
    coordinator = Coordinator(job, resumed_by_user=resume)
    await coordinator.open()
    if resume:
        verdict = await coordinator.plan_complete()
        if verdict is not None and verdict.reason in (PLAN_CHANGED, *REFUSALS):
            raise ResumeRefused(verdict.reason, verdict.message)
    open_store(job.output.uri).make()
    with (
        scratch_folder("run") as scratch,
        socket_folder(scratch, longest=socket_name(f"worker-{job.workers}")) as sockets,
    ):
        return await _run_with_workers(
            job, coordinator, scratch=scratch, sockets=sockets, python=python, show=show, control=control
        )


async def _run_with_workers(
    job: Job,
    coordinator: Coordinator,
    *,
    scratch: Path,
    sockets: Path,
    python: str,
    show: Show,
    control: Callable[[Coordinator], None],
) -> Snapshot:
    token = secrets.token_urlsafe(32)
    server = Server(coordinator, token=token)
    port = await server.start("127.0.0.1")
    place = Place(scratch, sockets, python, f"http://127.0.0.1:{port}", token)
    workers = Workers(
        job,
        place,
        on_gone=coordinator.worker_gone,
        on_failed=coordinator.worker_failed,
        over=lambda: bool(coordinator.orders()),
    )
    control(coordinator)
    showing = asyncio.ensure_future(show(coordinator))
    try:
        workers.start()
        return await coordinator.run()
    finally:
        await workers.stop()
        await server.stop()
        showing.cancel()
        (shown,) = await asyncio.gather(showing, return_exceptions=True)
        if isinstance(shown, Exception):  # it is only a display
            coordinator.internal_errors.note(shown)
            await asyncio.to_thread(coordinator.internal_errors.write)


def _drain_on_signals(coordinator: Coordinator) -> None:
    loop = asyncio.get_running_loop()
    asked = False

    def interrupt() -> None:
        nonlocal asked
        if asked:
            coordinator.interrupt()
            return
        asked = True
        coordinator.drain()
        told = f"longshore: what runs may finish within {GRACE:.0f} s; interrupt again to stop at once"
        print(told, file=sys.stderr, flush=True)
        loop.call_later(GRACE, coordinator.interrupt)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
