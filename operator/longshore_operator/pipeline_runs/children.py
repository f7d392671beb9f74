"""The resources that run the steps of a PipelineRun: what they are to it, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass

from longshore_api.status import ParallelRunStepStatus
from longshore_api.task_status import TaskStatus
from longshore_operator.common.reasons import NOT_FROZEN
from longshore_planner.pipelines.decide import Stop, after_stop
from longshore_planner.pipelines.records import CANCELLED, FAILED, PENDING, SUCCEEDED, SUSPENDED, Outcome
from longshore_planner.pipelines.status import Detail

_GOES_ON = ("Running", "Assembling", "Draining", "Succeeded")  # reasons of a step that goes on: they need no sentence


@dataclass(frozen=True)
class Child:
    """A ParallelRunStep, ScriptStep or TransferStep that runs an attempt of a step."""

    kind: str
    name: str
    uid: str
    suspends: bool = False  # set in its spec
    cancels: bool = False
    leaving: bool = False
    status: ParallelRunStepStatus | TaskStatus | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, either way."""
        found = self.status.condition("Finished") if self.status else None
        return found is not None and found.status == "True"

    @property
    def is_stalled(self) -> bool:
        """Whether it does not go on, and will not by itself."""
        found = self.status.condition("Stalled") if self.status else None
        return found is not None and found.status == "True" and not self.is_finished

    @property
    def lacks_run(self) -> bool:
        """Whether it waits for its frozen run, whose ConfigMap may have been deleted."""
        found = self.status.condition("Succeeded") if self.status else None
        return found is not None and found.reason == NOT_FROZEN


def outcome(child: Child, stop: Stop | None) -> Outcome | None:
    """Return how an attempt ended; None while it goes on. `stop` is why it is to end, if it is."""
    status = child.status
    succeeded = status.condition("Succeeded") if status else None
    if status is None or succeeded is None:
        return None
    if not child.is_finished:
        rests = stop is not None and stop.reason == SUSPENDED and succeeded.reason == SUSPENDED
        return after_stop(stop, Outcome(PENDING, SUSPENDED)) if rests else None
    if succeeded.status != "True":
        if succeeded.reason == CANCELLED and stop is not None:
            return after_stop(stop, Outcome(PENDING, CANCELLED))
        message = succeeded.message + _first_error(status, succeeded.message)
        return Outcome(FAILED, succeeded.reason, message)
    registered = tuple(status.registered or ())
    if isinstance(status, TaskStatus):
        git = None if status.git is None else status.git.model_dump()
        return Outcome(SUCCEEDED, SUCCEEDED, metrics=status.metrics, git=git, registered=registered)
    return Outcome(SUCCEEDED, succeeded.reason, succeeded.message, registered=registered)


def detail(child: Child | None, *, resource: str) -> Detail:
    """Return the details of a step's resource for the status of a run."""
    status = child.status if child else None
    succeeded = status.condition("Succeeded") if status else None
    if child is None or status is None or succeeded is None or succeeded.status != "Unknown":
        return Detail(resource)
    done = status.progress.columns.done if isinstance(status, ParallelRunStepStatus) else ""
    progress = "" if done.startswith("0/?") else done
    waits = "" if succeeded.reason in _GOES_ON else succeeded.message
    return Detail(resource, progress, waits, is_stalled=child.is_stalled)


def _first_error(status: ParallelRunStepStatus | TaskStatus, message: str) -> str:
    error = status.first_error if isinstance(status, ParallelRunStepStatus) else None
    return "" if error is None or error.message in message else f" First error: {error.message}"
