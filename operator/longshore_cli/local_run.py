"""A local run of a ParallelRunStep: a coordinator in this process and workers in child processes."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

from longshore_cli.heartbeat import Display
from longshore_cli.scratch import scratch_folder, socket_folder
from longshore_cli.terminal import print_error
from longshore_cli.workers import Place, Workers, socket_name
from longshore_coordinator.server import Server
from longshore_coordinator.service import Coordinator
from longshore_coordinator.verdict import PLAN_CHANGED, REFUSALS
from longshore_host import orphans
from longshore_protocol.job import Job
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import open_store

GRACE = 30.0  # seconds for running mini-batches to finish when a run is interrupted


class ResumeRefused(Exception):
    """The run cannot be resumed, for the verdict `reason`; nothing was run."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def run_locally(
    job: Job,
    *,
    python: str,
    resume: bool,
    display: Display,
) -> Snapshot:
    """Run a job on this machine; return its last snapshot.

    On the first SIGINT or SIGTERM, running mini-batches have GRACE to finish; the second stops them.

    Args:
        job: the job to run.
        python: path of the interpreter for the entry script.
        resume: whether the run folder contains a run to resume.
        display: shows the coordinator's state; is cancelled at the end of the run.

    Raises:
        ResumeRefused: the plan or the code differs from that of the resumed run.
        OSError, ValueError: the run folder cannot be used.
    """
    orphans.adopt()
    try:
        return await run_engine(job, python=python, resume=resume, display=display, control=_drain_on_signals)
    finally:
        orphans.kill_adopted()  # processes that scripts left running and that their host could not end


async def run_engine(
    job: Job,
    *,
    python: str,
    resume: bool,
    display: Display,
    control: Callable[[Coordinator], None],
) -> Snapshot:
    """Run a job as `run_locally` does, but leave signals and leftover processes to the caller.

    `control` is called once with the coordinator, which the caller may drain or interrupt. Several runs may share this
    process; the caller kills what their scripts left running after all of them have finished.
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
            job, coordinator, scratch=scratch, sockets=sockets, python=python, display=display, control=control
        )


async def _run_with_workers(
    job: Job,
    coordinator: Coordinator,
    *,
    scratch: Path,
    sockets: Path,
    python: str,
    display: Display,
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
    displaying = asyncio.ensure_future(display(coordinator))
    try:
        workers.start()
        return await coordinator.run()
    finally:
        await workers.stop()
        await server.stop()
        displaying.cancel()
        (result,) = await asyncio.gather(displaying, return_exceptions=True)
        if isinstance(result, Exception):  # a failed display must not fail the run
            coordinator.internal_errors.note(result)
            await asyncio.to_thread(coordinator.internal_errors.write)


def _drain_on_signals(coordinator: Coordinator) -> None:
    loop = asyncio.get_running_loop()
    is_draining = False

    def interrupt() -> None:
        nonlocal is_draining
        if is_draining:
            coordinator.interrupt()
            return
        is_draining = True
        coordinator.drain()
        print_error(f"interrupted: running mini-batches have {GRACE:.0f} s to finish; interrupt again to stop at once")
        loop.call_later(GRACE, coordinator.interrupt)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
