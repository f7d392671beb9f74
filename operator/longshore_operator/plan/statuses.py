"""The status of a step: from its coordinator's snapshot, from its pods, or from what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from longshore_api import status as api
from longshore_api.errors import Problem
from longshore_operator.plan.actions import Event
from longshore_operator.plan.observed import Observed, Step, Trouble
from longshore_planner.cluster import ClusterRun
from longshore_planner.status import step_status
from longshore_protocol.snapshot import FAILED, PENDING, Snapshot, WorkerCounts

INVALID = "InvalidInput"
_SHOWN_PROBLEMS = 5
_BAD = ("Unschedulable", "ImagePull", "CrashLoopBackOff", "NameTaken", INVALID)


def from_snapshot(seen: Observed, run: ClusterRun, snapshot: Snapshot, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while a coordinator speaks, or has spoken its last."""
    trouble = waiting_for(seen)
    if snapshot.waiting_reason and trouble is not None:
        snapshot = replace(snapshot, waiting_reason=trouble.reason, waiting_message=trouble.message)
    shown = replace(snapshot, run_uri=run.shown(snapshot.run_uri), output_uri=run.shown(snapshot.output_uri))
    return step_status(shown, previous=seen.step.status, now=now, generation=run.generation)


def before_snapshot(seen: Observed, run: ClusterRun, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while the coordinator cannot be asked: what was known stays, and why it waits is said."""
    trouble = waiting_for(seen) or _starting(seen)
    previous = seen.step.status
    known = previous is not None and previous.run_id == run.job.run_id and previous.start_time is not None
    snapshot = Snapshot(
        state=PENDING,
        run_id=run.job.run_id,
        run_uri=run.job.run_uri,
        output_uri=run.job.output.uri,
        epoch=0,
        waiting_reason=trouble.reason,
        waiting_message=trouble.message,
        workers=WorkerCounts(wanted=run.job.workers),
    )
    status = from_snapshot(seen, run, snapshot, now=now)
    if not known or previous is None:
        return status
    return previous.model_copy(update={"conditions": status.conditions})


def not_begun(step: Step, *, reason: str, message: str, final: bool, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status of a step of which nothing was started."""
    state = FAILED if final else PENDING
    snapshot = Snapshot(
        state=state,
        run_id="",
        run_uri="",
        output_uri="",
        epoch=0,
        reason=reason,
        message=message,
        finished=now.timestamp() if final else None,
    )
    status = step_status(snapshot, previous=step.status, now=now, generation=step.generation)
    return status.model_copy(update={"output": None, "run_id": None, "run_uri": None})


def sentence(problems: Iterable[Problem]) -> str:
    """Return what is wrong, in a few sentences at most."""
    told = [each.sentence for each in problems]
    more = len(told) - _SHOWN_PROBLEMS
    return "; ".join(told[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def waiting_for(seen: Observed) -> Trouble | None:
    """Return the trouble of the first pod that has some: the coordinator's first of all."""
    pods = sorted(seen.pods, key=lambda each: -1 if each.index is None else each.index)
    return next((each.trouble for each in pods if each.trouble is not None and not each.leaving), None)


def milestones(before: api.ParallelRunStepStatus | None, after: api.ParallelRunStepStatus) -> tuple[Event, ...]:
    """Return what is worth an event: a new reason of the condition Succeeded."""
    then, now = before.condition("Succeeded") if before else None, after.condition("Succeeded")
    if now is None or (then is not None and (then.status, then.reason) == (now.status, now.reason)):
        return ()
    bad = now.status == "False" or now.reason in _BAD
    return (Event("Warning" if bad else "Normal", now.reason, now.message or f"the step is {now.reason}"),)


def _starting(seen: Observed) -> Trouble:
    coordinator = seen.coordinator
    if coordinator is None or coordinator.leaving or coordinator.phase != "Running":
        return Trouble("StartingCoordinator", "waiting for the coordinator's pod to run")
    return Trouble("WaitingForCoordinator", "the coordinator's pod runs and does not answer yet")
