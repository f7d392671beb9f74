"""The status of a step: from its coordinator's snapshot, from its pods, or from what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from longshore_api import status as api
from longshore_operator.common.pool import Holder
from longshore_operator.common.reasons import WAITING_FOR_NODES
from longshore_operator.common.values import Blocked
from longshore_operator.steps.observed import ObservedStep
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.pod_locations import user_location
from longshore_planner.status import step_status
from longshore_protocol.snapshot import (
    DRAINING,
    FAILED,
    PENDING,
    Snapshot,
    WorkerCounts,
)


def from_snapshot(seen: ObservedStep, snapshot: Snapshot, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status from a snapshot: while a coordinator answers, or its last one."""
    blocked = waiting_for(seen)
    if snapshot.waiting_reason and blocked is not None:
        snapshot = replace(snapshot, waiting_reason=blocked.reason, waiting_message=blocked.message)
    return _status(seen, snapshot, now=now)


def _status(seen: ObservedStep, snapshot: Snapshot, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status of a snapshot, with locations as users know them."""
    run_uri = user_location(snapshot.run_uri)
    message = snapshot.message.replace(snapshot.run_uri, run_uri) if snapshot.run_uri else snapshot.message
    shown = replace(snapshot, run_uri=run_uri, output_uri=user_location(snapshot.output_uri), message=message)
    status = step_status(shown, previous=seen.status, now=now, generation=seen.generation)
    return _going_on(seen.status, status)


def _going_on(
    previous: api.ParallelRunStepStatus | None, status: api.ParallelRunStepStatus
) -> api.ParallelRunStepStatus:
    """Return the status with what an earlier coordinator reported, where the present one knows less.

    It started later, and until it has listed the inputs again it has not counted all that is committed.
    """
    if previous is None or previous.run_id != status.run_id or previous.start_time is None:
        return status
    kept: dict[str, object] = {"start_time": previous.start_time}
    then, now = previous.progress, status.progress
    counts = then.mini_batches, now.mini_batches
    committed_then, committed_now = (each.succeeded + each.failed for each in counts)
    if now.mini_batches.total is None and committed_then > committed_now and not status.completion_time:
        columns = {"done": then.columns.done, "failed": then.columns.failed}
        known = {"mini_batches": then.mini_batches, "items": then.items}
        kept["progress"] = now.model_copy(update={**known, "columns": now.columns.model_copy(update=columns)})
    return status.model_copy(update=kept)


def before_snapshot(seen: ObservedStep, run: ClusterRun, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while the coordinator cannot be asked: what was known stays, with why it waits."""
    blocked = waiting_for(seen) or _starting(seen)
    return standing(seen, run, blocked, now=now)


def standing(seen: ObservedStep, run: ClusterRun, blocked: Blocked, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while nothing of a run can be asked: what was known stays, with why it waits."""
    previous = seen.status
    known = previous is not None and previous.run_id == run.job.run_id and previous.start_time is not None
    snapshot = Snapshot(
        state=PENDING,
        run_id=run.job.run_id,
        run_uri=run.job.run_uri,
        output_uri=run.job.output.uri,
        epoch=0,
        waiting_reason=blocked.reason,
        waiting_message=blocked.message,
        workers=WorkerCounts(wanted=run.job.workers),
    )
    status = from_snapshot(seen, snapshot, now=now)
    if not known or previous is None:
        return status
    return standing_still(previous, status)


def halting(seen: ObservedStep, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while the pods of a step end that is suspended or cancelled."""
    reason = "Cancelling" if seen.control.cancel else "Suspending"
    message = "workers finish the mini-batches that they run, for 90 s at most, and take no more"
    if seen.run is None:
        return not_begun(seen, Blocked(reason, message), final=False, now=now)
    if not isinstance(seen.progress, Snapshot):
        return standing(seen, seen.run, Blocked(reason, message), now=now)
    # A coordinator that is stopped reports Interrupted, which ends the coordinator and not the step.
    last = replace(seen.progress, state=DRAINING, reason="", waiting_reason=reason, waiting_message=message)
    return _status(seen, last, now=now)


def halted(seen: ObservedStep, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status of a step whose pods have ended because it is suspended or cancelled."""
    final, previous = seen.control.cancel, seen.status
    what = "nothing was started"
    if previous is not None and previous.run_id is not None:
        counts = previous.progress.mini_batches
        what = f"{counts.succeeded} of {'?' if counts.total is None else counts.total} mini-batches are committed"
    how = f"; a step with resumeFrom: {seen.name} goes on from there" if final and seen.run is not None else ""
    reason, message = ("Cancelled", f"cancelled: {what}{how}") if final else ("Suspended", f"suspended: {what}")
    status = not_begun(seen, Blocked(reason, message), final=final, now=now)
    if previous is None or previous.run_id is None:
        return status
    return previous.model_copy(
        update={
            "conditions": status.conditions,
            "observed_generation": status.observed_generation,
            "completion_time": status.completion_time,
            "progress": _at_rest(previous.progress),
        }
    )


def standing_still(previous: api.ParallelRunStepStatus, now: api.ParallelRunStepStatus) -> api.ParallelRunStepStatus:
    """Return the previous status with the present conditions."""
    return previous.model_copy(update={"conditions": now.conditions, "observed_generation": now.observed_generation})


def _at_rest(progress: api.Progress) -> api.Progress:
    """Return the progress of a step that has no worker: what is committed stays."""
    columns = progress.columns.model_copy(update={"rate": "", "eta": "", "workers": "0/0"})
    return progress.model_copy(
        update={
            "columns": columns,
            "workers": api.WorkerCounts(),
            "mini_batches": progress.mini_batches.model_copy(update={"running": 0}),
            "rate_per_minute": None,
            "estimated_remaining_seconds": None,
        }
    )


def not_begun(seen: ObservedStep, blocked: Blocked, *, final: bool, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status of a step of which nothing was started."""
    state = FAILED if final else PENDING
    snapshot = Snapshot(
        state=state,
        run_id="",
        run_uri="",
        output_uri="",
        epoch=0,
        reason=blocked.reason,
        message=blocked.message,
        finished=now.timestamp() if final else None,
    )
    status = step_status(snapshot, previous=seen.status, now=now, generation=seen.generation)
    return status.model_copy(update={"output": None, "run_id": None, "run_uri": None})


def waiting_for(seen: ObservedStep) -> Blocked | None:
    """Return why the first blocked pod is, the coordinator's before workers'; or that no node is free."""
    pods = sorted(seen.pods, key=lambda each: -1 if each.index is None else each.index)
    blocked = next((each.blocked for each in pods if each.blocked is not None and not each.leaving), None)
    step = Holder(seen.name)
    if blocked is None and seen.pool is not None and not seen.workers and not seen.pool.allowed(step):
        return Blocked(WAITING_FOR_NODES, seen.pool.waiting(step))
    return blocked


def _starting(seen: ObservedStep) -> Blocked:
    coordinator = seen.coordinator
    if coordinator is None or coordinator.leaving or coordinator.phase != "Running":
        return Blocked("StartingCoordinator", "waiting for the coordinator's pod to run")
    return Blocked("WaitingForCoordinator", "the coordinator's pod runs and does not answer yet")
