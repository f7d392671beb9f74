"""Attempts of a pipeline's steps on this machine: run, drain and kill them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from longshore_api.errors import InvalidDocuments
from longshore_api.registrations import Origin
from longshore_cli.folders import RunFolder
from longshore_cli.heartbeat import Heartbeat, ObservedRun, combine_displays
from longshore_cli.interpreter import interpreter
from longshore_cli.packages import missing_in_environment
from longshore_cli.registry import register
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, TRANSFER, FrozenStep
from longshore_planner.pipelines.records import (
    CANCELLED,
    ENVIRONMENT_FAILED,
    FAILED,
    PENDING,
    SUCCEEDED,
    TIMEOUT,
    Outcome,
)
from longshore_planner.pipelines.status import Detail
from longshore_planner.registering import origin_of
from longshore_planner.status import step_status
from longshore_protocol import script_job
from longshore_protocol.job import Job
from longshore_protocol.script_job import ScriptJob, ScriptResult
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import open_store

if TYPE_CHECKING:
    from longshore_coordinator.service import Coordinator

RESULT = "result.json"
PROGRESS_SECONDS = 2.0  # between two progress updates of a ParallelRunStep

_STATES = {
    script_job.SUCCEEDED: (SUCCEEDED, SUCCEEDED),
    script_job.FAILED: (FAILED, "ScriptFailed"),
    script_job.TIMED_OUT: (FAILED, TIMEOUT),
    script_job.CANCELLED: (FAILED, CANCELLED),  # by another process: a script that this run cancels leaves no result
}


class StepRun(ABC):
    """One attempt of a step. Await `run()`; meanwhile, `drain()` or `kill()` ends it early."""

    def __init__(
        self, step: FrozenStep, job: dict[str, Any], *, registry: str = "", accept_changed_code: bool = False
    ) -> None:
        self.step, self.job, self.registry, self.accept_changed_code = step, job, registry, accept_changed_code
        self.detail: Detail | None = None  # progress of a ParallelRunStep

    @abstractmethod
    async def run(self) -> Outcome:
        """Run to the end and return the outcome, also of a failure; PENDING if the attempt was ended early."""

    def drain(self) -> None:  # noqa: B027  (a step that cannot be resumed runs to its end)
        """Finish running mini-batches and start no more, so that the step can be resumed later."""

    @asynccontextmanager
    async def environment(self, *, is_cancelled: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield the interpreter of the step, with the packages of its Environment; `detail` has the progress.

        Raises:
            BuildError: the environment cannot be built.
            BuildCancelledError: `is_cancelled` returned True.
            InvalidDocuments: there is no such interpreter.
        """
        if self.step.packages is None:
            yield interpreter(self.step.python)
            return
        from longshore_cli.environments import prepared  # late: not needed if all steps are reused

        began, activity = time.monotonic(), ""

        def report(current: str) -> None:
            nonlocal activity
            activity = current
            self.detail = Detail("", waits=f"preparing environment: {current} ({time.monotonic() - began:.0f} s)")

        def poll() -> bool:
            if activity:
                report(activity)  # with the elapsed time
            return is_cancelled()

        with ExitStack() as stack:
            environment = prepared(self.step.packages, self.step.python, report=report, is_cancelled=poll)
            python = await asyncio.to_thread(stack.enter_context, environment)
            self.detail = None
            yield python

    @abstractmethod
    def kill(self) -> None:
        """End the attempt immediately."""


def make_attempt(
    step: FrozenStep,
    outputs: Mapping[tuple[str, str], str],
    *,
    catalogue: str,
    registry: str = "",
    accept_changed_code: bool = False,
) -> StepRun:
    """Return a new attempt of a step.

    Args:
        step: The step.
        outputs: URIs of earlier steps' outputs, by (step, output).
        catalogue: The pipeline's catalogue.
        registry: Folder for registrations.
        accept_changed_code: Continue committed results although the code differs.
    """
    kinds: dict[str, type[StepRun]] = {PARALLEL_RUN: _ParallelRun, SCRIPT: _Script, TRANSFER: _Transfer}
    job = step.job_with(outputs, catalogue=catalogue)
    return kinds[step.kind](step, job, registry=registry, accept_changed_code=accept_changed_code)


def read_earlier_outcome(step: FrozenStep, outputs: Mapping[tuple[str, str], str], *, registry: str) -> Outcome | None:
    """Return the success that an earlier, killed command left in the step's run folder; None if there is none.

    Registers what that command had not registered yet.
    """
    job = step.job_with(outputs)
    if step.kind == PARALLEL_RUN:
        snapshot = _run_folder(job).read_success()
        return None if snapshot is None else _convert_snapshot(snapshot, step, job, registry=registry)
    if step.kind == SCRIPT:
        try:
            result = ScriptResult.from_json(open_store(job["run_uri"]).get(RESULT).decode())
        except (OSError, ValueError, TypeError):
            return None
        if result.state == script_job.SUCCEEDED:
            return _convert_script_result(result, step, job, registry=registry)
    return None


class _ParallelRun(StepRun):
    def __init__(
        self, step: FrozenStep, job: dict[str, Any], *, registry: str = "", accept_changed_code: bool = False
    ) -> None:
        super().__init__(step, job, registry=registry, accept_changed_code=accept_changed_code)
        self._requests: list[str] = []  # "drain" and "interrupt", kept until there is a coordinator to call
        self._coordinator: Coordinator | None = None

    async def run(self) -> Outcome:
        from longshore_packages import BuildCancelledError, BuildError  # late: not needed if all steps are reused

        try:
            async with self.environment(is_cancelled=lambda: bool(self._requests)) as python:
                return await self._run(python)
        except (BuildError, InvalidDocuments) as error:
            return Outcome(FAILED, ENVIRONMENT_FAILED, str(error))
        except BuildCancelledError:
            return Outcome(PENDING, "Interrupted")

    async def _run(self, python: str) -> Outcome:
        from longshore_cli.local_run import ResumeRefused, run_engine

        if self.step.packages is not None:
            job = Job.from_json(json.dumps(self.job))
            missing = missing_in_environment(job, python=python, source=job.source_uri)
            if missing:
                return Outcome(FAILED, ENVIRONMENT_FAILED, "; ".join(missing))
        folder = _run_folder(self.job)
        try:
            resume = folder.has_begun()
            if not resume:
                folder.begin(self.step.name)
            job = replace(
                Job.from_json(json.dumps(self.job)),
                code=self.step.parts.get("code", {}),
                runtime=python,
                accept_changed_code=self.accept_changed_code,
            )
            display = combine_displays(Heartbeat(folder, output_uri=job.output.uri), self._update_detail)
            snapshot = await run_engine(job, python=python, resume=resume, display=display, control=self._control)
            folder.write_status(step_status(snapshot, previous=None, now=datetime.now(UTC)).to_json())
        except ResumeRefused as error:
            return Outcome(FAILED, error.reason, str(error))
        except (OSError, ValueError, ImportError, InvalidDocuments) as error:
            return Outcome(FAILED, "StorageError", f"the step cannot be started: {error}")
        return _convert_snapshot(snapshot, self.step, {**self.job, "runtime": python}, registry=self.registry)

    async def _update_detail(self, run: ObservedRun) -> None:
        while True:
            snapshot = run.snapshot()
            columns = step_status(snapshot, previous=None, now=datetime.now(UTC)).progress.columns
            self.detail = Detail(resource="", progress=columns.done, waits=snapshot.waiting_message)
            await asyncio.sleep(PROGRESS_SECONDS)

    def drain(self) -> None:
        self._request("drain")

    def kill(self) -> None:
        self._request("interrupt")

    def _control(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        for each in self._requests:
            getattr(coordinator, each)()

    def _request(self, method: str) -> None:
        self._requests.append(method)
        if self._coordinator is not None:
            getattr(self._coordinator, method)()


class _Script(StepRun):
    _task: asyncio.Task[ScriptResult] | None = None
    _killed = False
    _drained = False  # stops a preparation, not a script

    async def run(self) -> Outcome:
        from longshore_cli.script_run import run_script  # imported late: a run that reuses all steps needs no agent
        from longshore_packages import BuildCancelledError, BuildError

        job = ScriptJob.from_json(json.dumps(self.job))
        store = open_store(job.run_uri)
        try:
            store.delete(RESULT)
            for output in job.outputs:  # remove the output of an earlier attempt; the location belongs to this run
                await asyncio.to_thread(open_store(output.uri).delete, "")
            async with self.environment(is_cancelled=lambda: self._killed or self._drained) as python:
                if self._killed:
                    return Outcome(PENDING, "Interrupted")
                work = os.path.join(job.run_uri, "work")
                self._task = asyncio.ensure_future(run_script(job, python=python, work=work))
                # The git state of the frozen source: the copy that runs is not in a repository.
                result = replace(await self._task, git=self.step.git)
            store.put(RESULT, result.to_json().encode())
        except asyncio.CancelledError:
            if not self._killed:
                raise
            return Outcome(PENDING, "Interrupted")
        except BuildCancelledError:
            return Outcome(PENDING, "Interrupted")
        except BuildError as error:
            return Outcome(FAILED, ENVIRONMENT_FAILED, str(error))
        except (OSError, ValueError, ImportError, InvalidDocuments) as error:
            return Outcome(FAILED, "StorageError", f"the step cannot be started: {error}")
        return _convert_script_result(result, self.step, self.job, registry=self.registry)

    def drain(self) -> None:
        self._drained = True

    def kill(self) -> None:
        self._killed = True
        if self._task is not None:
            self._task.cancel()


class _Transfer(StepRun):
    _killed = False

    async def run(self) -> Outcome:
        from longshore_agent.threads import Threads
        from longshore_agent.transfer import error_message, transfer

        threads, began = Threads(1), time.monotonic()
        source, destination = self.job["source"], self.job["destination"]
        try:
            count = await threads.run(lambda: transfer(source, destination, check=self._raise_if_killed))
        except _KilledError:
            return Outcome(PENDING, "Interrupted")
        except Exception as error:  # noqa: BLE001  (each store's library raises its own)
            return Outcome(FAILED, script_job.TRANSFER_FAILED, error_message(source, destination, error))
        finally:
            threads.end(0)
        return Outcome(SUCCEEDED, SUCCEEDED, f"{count} files in {time.monotonic() - began:.1f} s")

    def kill(self) -> None:
        self._killed = True

    def _raise_if_killed(self) -> None:
        if self._killed:
            raise _KilledError


class _KilledError(Exception):
    """The transfer was killed."""


def _run_folder(job: Mapping[str, Any]) -> RunFolder:
    return RunFolder(job["run_uri"], job["run_id"])


def _convert_snapshot(snapshot: Snapshot, step: FrozenStep, job: Mapping[str, Any], *, registry: str) -> Outcome:
    git = step.git
    if snapshot.state == "Succeeded":
        outcome = Outcome(SUCCEEDED, snapshot.reason or SUCCEEDED, snapshot.message, git=git)
        origin = origin_of(
            job, kind="ParallelRunStep", code=snapshot.code, git=git, environment=step.python or sys.executable
        )
        return _register(outcome, snapshot.registered, job, origin, attempt=snapshot.epoch, registry=registry)
    state = PENDING if snapshot.reason == "Interrupted" else FAILED
    error = snapshot.first_error
    message = snapshot.message
    if error is not None and state == FAILED:
        message = f"{message.rstrip('.')}. First error: {error.message}"
    return Outcome(state, snapshot.reason or snapshot.state, message, git=git)


def _convert_script_result(result: ScriptResult, step: FrozenStep, job: Mapping[str, Any], *, registry: str) -> Outcome:
    state, reason = _STATES[result.state]
    message = "" if state == SUCCEEDED else result.message
    outcome = Outcome(state, reason, message, result.metrics, result.git)
    origin = origin_of(
        job, kind="ScriptStep", code=result.code, git=result.git, environment=step.python or sys.executable
    )
    return _register(outcome, result.registered, job, origin, registry=registry)


def _register(
    outcome: Outcome, packed: str, job: Mapping[str, Any], origin: Origin, *, attempt: int = 0, registry: str
) -> Outcome:
    """Register what a succeeded step requests; return its outcome, a failure if that is impossible."""
    if outcome.state != SUCCEEDED:
        return outcome
    try:
        return replace(outcome, registered=register(packed, job, origin, attempt=attempt, registry=registry))
    except (OSError, ValueError) as error:
        text = f"the step's Models and Datasets cannot be registered in {registry}: {error}"
        return Outcome(FAILED, "StorageError", text)
