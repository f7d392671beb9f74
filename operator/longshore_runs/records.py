"""The state of a run and of its steps, and their conversion from statuses of the API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus
from longshore_api.status import Condition, FirstError, ParallelRunStepStatus, Registered
from longshore_api.task_status import NamedOutput, TaskStatus

PENDING, RUNNING, SUSPENDED = "Pending", "Running", "Suspended"
SUCCEEDED, FAILED, CANCELLED, SKIPPED = "Succeeded", "Failed", "Cancelled", "Skipped"
ENDED = (SUCCEEDED, FAILED, CANCELLED, SKIPPED)
_STOPPED = ("Interrupted", SUSPENDED)  # reasons of runs that can continue


@dataclass(frozen=True)
class Progress:
    """Finished parts of all: mini-batches of a ParallelRunStep, or steps of a pipeline.

    `str(progress)` is one line, such as "120/400, 3 failed, 240/min, 2m30s left".

    Args:
        done: Finished parts, failed ones included.
        failed: Failed parts.
        total: All parts; None while their number is unknown.
        rate_per_minute: Mini-batches that finish per minute.
        remaining_seconds: Seconds until the last one finishes, at that rate.
        rate: The rate as tables show it, such as "240/min".
        remaining: The remaining time as tables show it, such as "2m30s".
        workers: Ready workers of requested ones, such as "2/2".
    """

    done: int
    failed: int = 0
    total: int | None = None
    rate_per_minute: float | None = None
    remaining_seconds: int | None = None
    rate: str = ""
    remaining: str = ""
    workers: str = ""

    def __str__(self) -> str:
        parts = [f"{self.done}/{'?' if self.total is None else self.total}"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [self.rate] if self.rate else []
        parts += [f"{self.remaining} left"] if self.remaining else []
        return ", ".join(parts)


@dataclass(frozen=True)
class StepState:
    """The state of one step."""

    name: str
    state: str  # one of the constants above
    reason: str = ""
    message: str = ""
    uri: str = ""  # the step's run folder
    progress: Progress | None = None
    started: datetime | None = None
    finished: datetime | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)  # name -> URI
    output_file: str | None = None  # the file with all rows, once it is complete
    metrics: Mapping[str, Any] = field(default_factory=dict)
    first_error: FirstError | None = None
    attempts: int = 0
    not_reused: str = ""  # why no earlier outputs are reused
    reused_from: str = ""  # id of the run whose outputs are reused
    registered: tuple[Registered, ...] = ()  # Models and Datasets, once the step has succeeded


@dataclass(frozen=True)
class RunState:
    """The state of one run."""

    id: str
    name: str  # of the pipeline, or of a step that runs alone
    state: str
    reason: str = ""
    message: str = ""
    uri: str = ""  # the run folder
    progress: Progress | None = None
    started: datetime | None = None
    finished: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[StepState, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether the run has reached its end."""
        return self.state in ENDED


def parallel_run_state(status: ParallelRunStepStatus, *, name: str, uri: str) -> StepState:
    """Return the state of a ParallelRunStep with this status."""
    succeeded = status.condition("Succeeded")
    output = status.output
    return StepState(
        name=name,
        state=_state(succeeded, has_started=status.start_time is not None),
        reason=succeeded.reason if succeeded else "",
        message=succeeded.message if succeeded else "",
        uri=uri,
        progress=mini_batch_progress(status),
        started=status.start_time,
        finished=status.completion_time,
        outputs={} if output is None else {_last_part(output.uri): output.uri},
        output_file=None if output is None else output.file,
        first_error=status.first_error,
        registered=tuple(status.registered or ()),
    )


def task_state(status: TaskStatus, *, name: str, uri: str) -> StepState:
    """Return the state of a ScriptStep or TransferStep with this status."""
    succeeded = status.condition("Succeeded")
    return StepState(
        name=name,
        state=_state(succeeded, has_started=status.start_time is not None),
        reason=succeeded.reason if succeeded else "",
        message=succeeded.message if succeeded else "",
        uri=uri,
        started=status.start_time,
        finished=status.completion_time,
        outputs=_by_name(status.outputs),
        metrics=status.metrics,
        registered=tuple(status.registered or ()),
    )


def alone(step: StepState, *, run_id: str) -> RunState:
    """Return the state of the run of a step that runs alone."""
    return RunState(
        id=run_id,
        name=step.name,
        state=step.state,
        reason=step.reason,
        message=step.message,
        uri=step.uri,
        progress=step.progress,
        started=step.started,
        finished=step.finished,
        steps=(step,),
    )


def pipeline_state(status: PipelineRunStatus, *, run_id: str, details: Mapping[str, StepState]) -> RunState:
    """Return the state of a pipeline's run.

    Args:
        status: Status of the run.
        run_id: Id of the run.
        details: States of the steps by name, as their own folders or resources have them.
    """
    succeeded = status.condition("Succeeded")
    steps = tuple(_pipeline_step(each, status.run_uri or "", details.get(each.name)) for each in status.steps)
    ended = [each for each in steps if each.state in ENDED]
    failed = sum(each.state == FAILED for each in steps)
    return RunState(
        id=run_id,
        name=status.pipeline,
        state=_state(succeeded, has_started=status.start_time is not None),
        reason=succeeded.reason if succeeded else "",
        message=succeeded.message if succeeded else "",
        uri=status.run_uri or "",
        progress=Progress(len(ended), failed, len(steps)),
        started=status.start_time,
        finished=status.completion_time,
        parameters=status.parameters,
        steps=steps,
    )


def _pipeline_step(status: PipelineStepStatus, run_uri: str, detail: StepState | None) -> StepState:
    return StepState(
        name=status.name,
        state=status.state,
        reason=status.reason,
        message=status.message,
        uri=detail.uri if detail is not None else step_uri(status, run_uri),
        progress=None if detail is None else detail.progress,
        started=status.start_time,
        finished=status.completion_time,
        outputs=_by_name(status.outputs) or ({} if detail is None else detail.outputs),
        output_file=None if detail is None else detail.output_file,
        metrics=status.metrics,
        first_error=None if detail is None else detail.first_error,
        attempts=status.attempts,
        not_reused=status.not_reused,
        reused_from="" if status.reused_from is None else status.reused_from.run_id,
        registered=tuple(status.registered or ()),
    )


def step_uri(status: PipelineStepStatus, run_uri: str) -> str:
    """Return the run folder of a pipeline's step: of a reused one, that of the run whose outputs are reused."""
    reused = status.reused_from
    if reused is not None and reused.run_uri:
        return f"{reused.run_uri.rstrip('/')}/steps/{reused.step}"
    return f"{run_uri.rstrip('/')}/steps/{status.name}"


def mini_batch_progress(status: ParallelRunStepStatus) -> Progress:
    """Return the progress of a ParallelRunStep."""
    counts, columns = status.progress.mini_batches, status.progress.columns
    return Progress(
        done=counts.succeeded + counts.failed,
        failed=counts.failed,
        total=counts.total,
        rate_per_minute=status.progress.rate_per_minute,
        remaining_seconds=status.progress.estimated_remaining_seconds,
        rate=columns.rate,
        remaining=columns.eta,
        workers=columns.workers,
    )


def _state(succeeded: Condition | None, *, has_started: bool) -> str:
    if succeeded is None:
        return PENDING
    if succeeded.reason in _STOPPED:
        return SUSPENDED
    match succeeded.status:
        case "True":
            return SUCCEEDED
        case "False":
            return CANCELLED if succeeded.reason == CANCELLED else FAILED
        case _:
            return RUNNING if has_started and succeeded.reason != PENDING else PENDING


def _by_name(outputs: list[NamedOutput]) -> dict[str, str]:
    return {each.name: each.uri for each in outputs}


def _last_part(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]
