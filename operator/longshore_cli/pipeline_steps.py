"""Running one attempt of a pipeline's step on this machine, and ending it before its time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from longshore_api.errors import InvalidDocuments
from longshore_cli.folders import RunFolder
from longshore_cli.heartbeat import Heartbeat, Watched, together
from longshore_cli.interpreter import interpreter
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, FrozenStep
from longshore_planner.pipelines.records import CANCELLED, FAILED, PENDING, SUCCEEDED, TIMEOUT, Outcome
from longshore_planner.pipelines.status import Detail
from longshore_planner.status import step_status
from longshore_protocol import script_job
from longshore_protocol.job import Job
from longshore_protocol.script_job import ScriptJob, ScriptResult
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import open_store

if TYPE_CHECKING:
    from longshore_coordinator.service import Coordinator

RESULT = "result.json"
PROGRESS_SECONDS = 2.0  # between two looks at how far a step of mini-batches is

_STATES = {
    script_job.SUCCEEDED: (SUCCEEDED, SUCCEEDED),
    script_job.FAILED: (FAILED, "ScriptFailed"),
    script_job.TIMED_OUT: (FAILED, TIMEOUT),
    script_job.CANCELLED: (FAILED, CANCELLED),  # by somebody else: of what the run itself ends there is no result
}


class StepRun(ABC):
    """One attempt of a step. Make one, await `run()`; meanwhile `drain()` or `kill()` ends it early."""

    def __init__(
        self, step: FrozenStep, outputs: Mapping[tuple[str, str], str], *, accept_changed_code: bool = False
    ) -> None:
        self.step, self.accept_changed_code = step, accept_changed_code
        self.detail: Detail | None = None  # how far a step of mini-batches is
        self.job = step.job_with(outputs)

    @abstractmethod
    async def run(self) -> Outcome:
        """Run to the end; whatever goes wrong is an outcome. Of one that was ended early, the outcome is PENDING."""

    def drain(self) -> None:  # noqa: B027  (a step that has nothing to go on with later runs to its end)
        """Let what was begun finish, and begin no more: the step goes on later with what is committed."""

    @abstractmethod
    def kill(self) -> None:
        """End it now."""


def attempt_of(
    step: FrozenStep, outputs: Mapping[tuple[str, str], str], *, accept_changed_code: bool = False
) -> StepRun:
    """Return what runs an attempt of a step; `outputs` are those of the steps before, by (step, output)."""
    kind = {PARALLEL_RUN: _ParallelRun, SCRIPT: _Script}.get(step.kind, _Transfer)
    return kind(step, outputs, accept_changed_code=accept_changed_code)


def left_by_earlier(step: FrozenStep) -> Outcome | None:
    """Return how a step ended in a command that was killed before it could tell; None if it had not ended."""
    if step.kind == PARALLEL_RUN:
        snapshot = _folder(step.job).success()
        return None if snapshot is None else _of_snapshot(snapshot, git=step.git)
    if step.kind == SCRIPT:
        with suppress(OSError, ValueError, TypeError):
            result = ScriptResult.from_json(open_store(step.job["run_uri"]).get(RESULT).decode())
            return _of_script(result) if result.state == script_job.SUCCEEDED else None
    return None


class _ParallelRun(StepRun):
    def __init__(
        self, step: FrozenStep, outputs: Mapping[tuple[str, str], str], *, accept_changed_code: bool = False
    ) -> None:
        super().__init__(step, outputs, accept_changed_code=accept_changed_code)
        self._end: list[str] = []  # what was asked for before there was a coordinator to ask
        self._coordinator: Coordinator | None = None

    async def run(self) -> Outcome:
        from longshore_cli.local_run import ResumeRefused, run_engine  # late: a run that reuses all needs no server

        folder = _folder(self.job)
        try:
            resume = folder.has_begun()
            if not resume:
                folder.remember(self.step.name)
            python = interpreter(self.step.python)
            job = replace(
                Job.from_json(json.dumps(self.job)),
                code=self.step.parts.get("code", {}),
                runtime=python,
                accept_changed_code=self.accept_changed_code,
            )
            show = together(Heartbeat(folder, output_uri=job.output.uri), self._watch)
            snapshot = await run_engine(job, python=python, resume=resume, show=show, control=self._control)
            folder.keep(step_status(snapshot, previous=None, now=datetime.now(UTC)).to_json())
        except ResumeRefused as error:
            return Outcome(FAILED, error.reason, str(error))
        except (OSError, ValueError, ImportError, InvalidDocuments) as error:
            return Outcome(FAILED, "StorageError", f"the step cannot be started: {error}")
        return _of_snapshot(snapshot, git=self.step.git)

    async def _watch(self, watched: Watched) -> None:
        while True:
            snapshot = watched.snapshot()
            columns = step_status(snapshot, previous=None, now=datetime.now(UTC)).progress.columns
            self.detail = Detail(resource="", progress=columns.done, waits=snapshot.waiting_message)
            await asyncio.sleep(PROGRESS_SECONDS)

    def drain(self) -> None:
        self._ask("drain")

    def kill(self) -> None:
        self._ask("interrupt")

    def _control(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        for each in self._end:
            getattr(coordinator, each)()

    def _ask(self, what: str) -> None:
        self._end.append(what)
        if self._coordinator is not None:
            getattr(self._coordinator, what)()


class _Script(StepRun):
    _task: asyncio.Task[ScriptResult] | None = None
    _killed = False

    async def run(self) -> Outcome:
        from longshore_cli.script_run import run_script  # late: a run that reuses all needs nothing of the agent

        job = ScriptJob.from_json(json.dumps(self.job))
        store = open_store(job.run_uri)
        try:
            store.delete(RESULT)
            for output in job.outputs:  # what an attempt before this one left; the place is this run's own
                await asyncio.to_thread(open_store(output.uri).delete, "")
            if self._killed:
                return Outcome(PENDING, "Interrupted")
            python = None if self.step.python is None else interpreter(self.step.python)
            self._task = asyncio.ensure_future(run_script(job, python=python, work=os.path.join(job.run_uri, "work")))
            # Of the source as it was frozen: the copy that runs is in no repository.
            result = replace(await self._task, git=self.step.git)
            store.put(RESULT, result.to_json().encode())
        except asyncio.CancelledError:
            if not self._killed:
                raise
            return Outcome(PENDING, "Interrupted")
        except (OSError, ValueError, ImportError, InvalidDocuments) as error:
            return Outcome(FAILED, "StorageError", f"the step cannot be started: {error}")
        return _of_script(result)

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
            count = await threads.run(lambda: transfer(source, destination, check=self._check))
        except _KilledError:
            return Outcome(PENDING, "Interrupted")
        except Exception as error:  # noqa: BLE001  (each store's library raises its own)
            return Outcome(FAILED, script_job.TRANSFER_FAILED, error_message(source, destination, error))
        finally:
            threads.end(0)
        return Outcome(SUCCEEDED, SUCCEEDED, f"{count} files in {time.monotonic() - began:.1f} s")

    def kill(self) -> None:
        self._killed = True

    def _check(self) -> None:
        if self._killed:
            raise _KilledError


class _KilledError(Exception):
    """A copy was to end."""


def _folder(job: Mapping[str, Any]) -> RunFolder:
    return RunFolder(job["run_uri"], job["run_id"])


def _of_snapshot(snapshot: Snapshot, *, git: Mapping[str, Any] | None) -> Outcome:
    if snapshot.state == "Succeeded":
        return Outcome(SUCCEEDED, snapshot.reason or SUCCEEDED, snapshot.message, git=git)
    state = PENDING if snapshot.reason == "Interrupted" else FAILED
    error = snapshot.first_error
    message = snapshot.message
    if error is not None and state == FAILED:
        message = f"{message.rstrip('.')}. First error: {error.message}"
    return Outcome(state, snapshot.reason or snapshot.state, message, git=git)


def _of_script(result: ScriptResult) -> Outcome:
    state, reason = _STATES[result.state]
    message = "" if state == SUCCEEDED else result.message
    return Outcome(state, reason, message, result.metrics, result.git)
