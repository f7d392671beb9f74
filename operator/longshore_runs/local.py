"""Runs in folders of this machine: their states, the commands that carry them on, and control of these commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.status import ParallelRunStepStatus
from longshore_runs.processes import Background, start
from longshore_runs.reader import ControlledRun
from longshore_runs.records import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    SUSPENDED,
    RunState,
    StepState,
    alone,
    parallel_run_state,
    pipeline_state,
    step_uri,
)
from longshore_runs.step_folder import read_json
from longshore_storage.store import open_store

_STATUS, _PIPELINE, _RUN, _LOCK = "status.json", "pipeline.json", "state/run.json", ".lock"
_HEARTBEAT_SECONDS = 60.0  # without one, the command of a step that runs alone has exited
_LAST_LINES = 20  # of a command's output, which explain why it started nothing
_STOP_SECONDS = 60.0  # for a command to exit after it was asked to stop at once


@dataclass(frozen=True)
class Submission:
    """A run that was started in the background, recorded beside its folder until that exists and after it."""

    run_id: str
    name: str
    kind: str
    submitted: float  # Unix seconds
    process: Background
    cancelled: bool = False
    log_start: int = 0  # bytes of the log before the latest command's output
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the submission as JSON that `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Submission:
        """Read the JSON of `to_json`. Raises ValueError, KeyError and TypeError for anything else."""
        raw = json.loads(text)
        return Submission(**{**raw, "process": Background(**raw["process"])})


class SubmittedFiles:
    """The files beside run folders: for each submitted run its documents, its record, and its command's output."""

    def __init__(self, folder: str, run_id: str) -> None:
        self._stem = os.path.join(folder, run_id)

    @property
    def documents(self) -> str:
        """Path of the documents that the run was started with."""
        return f"{self._stem}.yaml"

    @property
    def log(self) -> str:
        """Path of the output of the run's commands."""
        return f"{self._stem}.log"

    def write(self, submission: Submission) -> None:
        """Write the record. Raises OSError."""
        folder, name = os.path.split(self._stem)
        open_store(folder).put(f"{name}.json", submission.to_json().encode())

    def read(self) -> Submission | None:
        """Return the record; None for a run that another command started."""
        with suppress(OSError, ValueError, KeyError, TypeError), open(f"{self._stem}.json", encoding="utf-8") as file:
            return Submission.from_json(file.read())
        return None

    def log_size(self) -> int:
        """Return the size of the commands' output in bytes."""
        with suppress(OSError):
            return os.path.getsize(self.log)
        return 0

    def last_lines(self, start: int) -> str:
        """Return the last lines of the commands' output, from byte `start` on."""
        with suppress(OSError), open(self.log, "rb") as file:
            file.seek(start)
            return "\n".join(file.read().decode(errors="replace").splitlines()[-_LAST_LINES:])
        return ""


class LocalRun(ControlledRun):
    """A run in a folder of this machine.

    Args:
        path: The run folder.
        submitted: Files beside the folder, of a run that was started in the background.
    """

    def __init__(self, path: str, submitted: SubmittedFiles | None = None) -> None:
        self.path = os.path.abspath(path)
        self._submitted = submitted

    @property
    def id(self) -> str:
        return os.path.basename(self.path)

    def state(self) -> RunState:
        submission = None if self._submitted is None else self._submitted.read()
        is_carried_on = submission is not None and submission.process.is_alive()
        found = self._recorded()
        if found is None:
            found = RunState(self.id, submission.name if submission else self.id, PENDING, "Starting", uri=self.path)
        if is_carried_on:
            # The record may be that of an earlier command, until this one has written its own or exited.
            is_earlier = found.has_ended or found.state == SUSPENDED
            return replace(found, state=RUNNING, reason=RUNNING, finished=None) if is_earlier else found
        if not found.has_ended and self.is_running():
            return found
        return self._stopped(self._recorded() or found, submission)  # it may have ended meanwhile

    def _stopped(self, found: RunState, submission: Submission | None) -> RunState:
        """Return the state of a run that no command carries on."""
        refusal = self._refusal(submission)
        if refusal:
            found = replace(found, message=refusal)
        if found.has_ended:
            return found
        if submission is not None and submission.cancelled:
            return replace(found, state=CANCELLED, reason=CANCELLED, message="The run was cancelled.")
        if not self._exists():
            return replace(found, state=FAILED, reason="NotStarted")
        exited = "Its command has exited; resume() continues the run."
        message = refusal or (found.message if found.state == SUSPENDED else exited)
        return replace(found, state=SUSPENDED, reason=SUSPENDED, message=message)

    def _refusal(self, submission: Submission | None) -> str:
        """Return why the latest command started nothing, in its own words; "" if it has written a status."""
        if submission is None or self._submitted is None:
            return ""
        with suppress(OSError):
            if os.stat(os.path.join(self.path, _STATUS)).st_mtime >= submission.process.started:
                return ""
        return self._submitted.last_lines(submission.log_start)

    def tags(self) -> Mapping[str, str]:
        submission = None if self._submitted is None else self._submitted.read()
        return {} if submission is None else submission.tags

    def is_running(self) -> bool:
        """Return whether a command carries the run on."""
        return self._process() is not None

    def _process(self) -> Background | None:
        """Return the running command of the run, as far as this machine can see it."""
        submission = None if self._submitted is None else self._submitted.read()
        if submission is not None and submission.process.is_alive():
            return submission.process
        found = self._holder_of_lock() if self._is_pipeline() else self._command_of_status()
        return found if found is not None and found.is_alive() else None

    def _holder_of_lock(self) -> Background | None:
        """Return the command that locked a pipeline's folder last.

        A test of the lock itself would hold it for a moment, in which a command could not start.
        """
        with suppress(OSError, ValueError), open(os.path.join(self.path, _LOCK), encoding="utf-8") as file:
            return _older(int(file.read()), than=os.fstat(file.fileno()).st_mtime)
        return None

    def _command_of_status(self) -> Background | None:
        """Return the command that a step's status names, if its last heartbeat is recent."""
        raw = read_json(open_store(self.path), _STATUS) or {}
        command = raw.get("command") or {}
        if command.get("host") != socket.gethostname():
            return None
        heartbeat = datetime.fromisoformat(command["heartbeat"])
        is_recent = (datetime.now(UTC) - heartbeat).total_seconds() < _HEARTBEAT_SECONDS
        return _older(command["pid"], than=heartbeat.timestamp()) if is_recent else None

    def cancel(self) -> None:
        self._mark_cancelled(self._require_running("cancel"))
        self._stop_at_once()

    def suspend(self) -> None:
        process = self._process()
        if process is None:
            raise RuntimeError(f"the run {self.id} is not running, so it cannot be suspended")
        process.send(signal.SIGTERM)

    def resume(self, *, accept_changed_code: bool = False) -> None:
        state = self.state().state
        if state != SUSPENDED:
            raise RuntimeError(f"the run {self.id} is {state}; only a suspended run can be resumed")
        self._continue("--resume", accept_changed_code=accept_changed_code)

    def retry(self, *, accept_changed_code: bool = False) -> LocalRun:
        state = self.state()
        if not state.has_ended:
            raise RuntimeError(f"the run {self.id} is {state.state}; only a run that has ended can be retried")
        has_succeeded = state.state == SUCCEEDED
        flag = "--retry-failed" if has_succeeded and not self._is_pipeline() else "--resume"
        self._continue(flag, accept_changed_code=accept_changed_code)
        return self

    def _continue(self, flag: str, *, accept_changed_code: bool) -> None:
        files = self._submitted
        if files is None:
            raise RuntimeError(f"the run {self.id} was not started by submit(); use longshore run {flag} {self.path}")
        submission = files.read()
        if submission is None or not self._exists():
            raise RuntimeError(f"the run {self.id} has not started, so nothing can be continued; submit it again")
        accepting = ["--accept-changed-code"] if accept_changed_code else []
        arguments = ["run", "--quiet", flag, self.path, *accepting]
        before = files.log_size()
        process = start(arguments, log=files.log, folder=os.path.dirname(self.path))
        files.write(replace(submission, process=process, cancelled=False, log_start=before))

    def _require_running(self, verb: str) -> Submission | None:
        state = self.state()
        if state.has_ended:
            raise RuntimeError(f"the run {self.id} is {state.state}, so it cannot be {verb}led")
        return None if self._submitted is None else self._submitted.read()

    def _mark_cancelled(self, submission: Submission | None) -> None:
        if submission is not None and self._submitted is not None:
            self._submitted.write(replace(submission, cancelled=True))

    def _stop_at_once(self) -> None:
        """Send the command two signals: the second one skips the time that running mini-batches have to finish."""
        deadline = time.monotonic() + _STOP_SECONDS
        while (process := self._process()) is not None:
            if time.monotonic() > deadline:
                process.send(signal.SIGKILL)
            else:
                process.send(signal.SIGTERM)
            process.wait(0.5)

    def _recorded(self) -> RunState | None:
        """Return the state as the run folder has it; None if there is none yet."""
        store = open_store(self.path)
        raw = read_json(store, _STATUS)
        if raw is None:
            return None
        if self._is_pipeline():
            status = PipelineRunStatus.model_validate(raw)
            found = {each.name: _detail(each.name, step_uri(each, self.path)) for each in status.steps}
            details = {name: each for name, each in found.items() if each is not None}
            return pipeline_state(status, run_id=self.id, details=details)
        begun = read_json(store, _RUN) or {}
        step = parallel_run_state(
            ParallelRunStepStatus.model_validate(raw), name=begun.get("step", self.id), uri=self.path
        )
        return alone(step, run_id=self.id)

    def _is_pipeline(self) -> bool:
        return os.path.exists(os.path.join(self.path, _PIPELINE))

    def _exists(self) -> bool:
        return any(os.path.exists(os.path.join(self.path, name)) for name in (_PIPELINE, _RUN))


def _detail(name: str, folder: str) -> StepState | None:
    """Return the state of a ParallelRunStep of a pipeline, as its own folder has it; None for other steps."""
    raw = read_json(open_store(folder), _STATUS)
    if raw is None:
        return None
    return parallel_run_state(ParallelRunStepStatus.model_validate(raw), name=name, uri=folder)


def _older(pid: int, *, than: float) -> Background | None:
    """Return a process that started before a time; None if its number belongs to a later one."""
    found = Background.of(pid)
    return found if found is not None and found.started <= than + 1 else None


def find_runs(folder: str) -> Iterator[str]:
    """Yield the paths of the run folders directly in a folder, the latest id first."""
    with suppress(FileNotFoundError):
        names = sorted(os.listdir(folder), reverse=True)
        for name in names:
            path = os.path.join(folder, name)
            if any(os.path.exists(os.path.join(path, each)) for each in (_PIPELINE, _RUN)):
                yield path
