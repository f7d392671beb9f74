"""The status of a step: from its coordinator's snapshot, from its pods, or from what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from longshore_api import status as api
from longshore_api.errors import Problem
from longshore_operator.common.actions import Event, S
from longshore_operator.common.pool import Holder
from longshore_operator.steps.observed import Observed, Step, Trouble
from longshore_planner.cluster import ClusterRun
from longshore_planner.ground import shown
from longshore_planner.status import step_status
from longshore_protocol.snapshot import (
    ASSEMBLING,
    DRAINING,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED_WITH_FAILURES,
    Snapshot,
    WorkerCounts,
)

INVALID, LOST, REFUSED = "InvalidInput", "PodLost", "Refused"
_SHOWN_PROBLEMS = 5
_BAD = ("Unschedulable", "ImagePull", "CrashLoopBackOff", "NameTaken", "QuotaExceeded", REFUSED, LOST, INVALID)
_GOES_ON = (RUNNING, DRAINING, ASSEMBLING)


def from_snapshot(seen: Observed, snapshot: Snapshot, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while a coordinator speaks, or has spoken its last."""
    trouble = waiting_for(seen)
    if snapshot.waiting_reason and trouble is not None:
        snapshot = replace(snapshot, waiting_reason=trouble.reason, waiting_message=trouble.message)
    return _told(seen, snapshot, now=now)


def _told(seen: Observed, snapshot: Snapshot, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status that a snapshot means, with places as their users know them."""
    run_uri = shown(snapshot.run_uri)
    message = snapshot.message.replace(snapshot.run_uri, run_uri) if snapshot.run_uri else snapshot.message
    told = replace(snapshot, run_uri=run_uri, output_uri=shown(snapshot.output_uri), message=message)
    status = step_status(told, previous=seen.step.status, now=now, generation=seen.step.generation)
    return _going_on(seen.step.status, status)


def _going_on(
    previous: api.ParallelRunStepStatus | None, status: api.ParallelRunStepStatus
) -> api.ParallelRunStepStatus:
    """Return the status with what an earlier coordinator of the run said, where the present one knows less.

    It began later; and until it has listed the inputs anew it has not counted all that is committed.
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


def before_snapshot(seen: Observed, run: ClusterRun, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while the coordinator cannot be asked: what was known stays, and why it waits is said."""
    trouble = waiting_for(seen) or _starting(seen)
    return _standing(seen, run, trouble, now=now)


def _standing(seen: Observed, run: ClusterRun, trouble: Trouble, *, now: datetime) -> api.ParallelRunStepStatus:
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
    status = from_snapshot(seen, snapshot, now=now)
    if not known or previous is None:
        return status
    return standing_still(previous, status)


def halting(seen: Observed, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status while the pods of a step end that is suspended or cancelled."""
    reason = "Cancelling" if seen.step.control.cancel else "Suspending"
    message = "workers finish the mini-batches that they run, for 90 s at most, and take no more"
    if seen.run is None:
        return not_begun(seen.step, reason=reason, message=message, final=False, now=now)
    if not isinstance(seen.progress, Snapshot):
        return _standing(seen, seen.run, Trouble(reason, message), now=now)
    # A coordinator that was told to end says Interrupted, which for it is the end, and here is not.
    last = replace(seen.progress, state=DRAINING, reason="", waiting_reason=reason, waiting_message=message)
    return _told(seen, last, now=now)


def halted(seen: Observed, *, now: datetime) -> api.ParallelRunStepStatus:
    """Return the status of a step whose pods have ended because it is suspended or cancelled."""
    final, previous = seen.step.control.cancel, seen.step.status
    what = "nothing was started"
    if previous is not None and previous.run_id is not None:
        counts = previous.progress.mini_batches
        what = f"{counts.succeeded} of {'?' if counts.total is None else counts.total} mini-batches are committed"
    how = f"; a step with resumeFrom: {seen.step.name} goes on from there" if final and seen.run is not None else ""
    reason, message = ("Cancelled", f"cancelled: {what}{how}") if final else ("Suspended", f"suspended: {what}")
    status = not_begun(seen.step, reason=reason, message=message, final=final, now=now)
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


def observed_again(status: S, *, generation: int) -> S:
    """Return the status of what has ended, and whose spec was changed since: that was seen, and changes nothing."""
    conditions = [each.model_copy(update={"observed_generation": generation}) for each in status.conditions]
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def refusal(message: str) -> Trouble:
    """Return what the API server's refusal comes from: a ResourceQuota, or a rule such as an admission policy's."""
    return Trouble("QuotaExceeded" if "exceeded quota" in message else REFUSED, message)


def taken(message: str) -> Trouble:
    """Return the trouble of a name that is taken by an object which has none of our labels, or else it was seen."""
    return Trouble("NameTaken", f"{message}, and belongs to somebody else: waiting until it is gone")


def refused(status: S, trouble: Trouble, *, before: S | None, now: datetime) -> S:
    """Return the status when the API server did not make an object, and nothing runs that could be told of.

    A quota may have room again. What a rule of the cluster refuses does not pass by itself: the step is stalled, as its
    status `before` may say already.
    """
    succeeded = status.condition("Succeeded")
    if succeeded is None or succeeded.status != "Unknown" or succeeded.reason in _GOES_ON:
        return status
    told = {"reason": trouble.reason, "message": trouble.message}
    conditions = [each.model_copy(update=told) for each in status.conditions]
    if trouble.reason == REFUSED:
        earlier = before.condition("Stalled") if before else None
        since = earlier.last_transition_time if earlier is not None and earlier.status == "True" else now
        stalled = {"status": "True", "last_transition_time": since}
        conditions = [each.model_copy(update=stalled) if each.type == "Stalled" else each for each in conditions]
    return status.model_copy(update={"conditions": conditions})


def standing_still(previous: api.ParallelRunStepStatus, now: api.ParallelRunStepStatus) -> api.ParallelRunStepStatus:
    """Return what was known of a run, with what is said of it now."""
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
    """Return the trouble of the first pod that has some, the coordinator's first of all; or that there is no node."""
    pods = sorted(seen.pods, key=lambda each: -1 if each.index is None else each.index)
    trouble = next((each.trouble for each in pods if each.trouble is not None and not each.leaving), None)
    step = Holder(seen.step.name)
    if trouble is None and seen.pool is not None and not seen.workers and not seen.pool.allowed(step):
        return Trouble("WaitingForNodes", seen.pool.waiting(step))
    return trouble


def milestones(before: api.ResourceStatus | None, after: api.ResourceStatus) -> tuple[Event, ...]:
    """Return what is worth an event: a new reason of the condition Succeeded, or trouble of a ComputeCluster."""
    about = "Succeeded" if after.condition("Succeeded") else "Ready"
    then, now = before.condition(about) if before else None, after.condition(about)
    if now is None or (then is not None and (then.status, then.reason) == (now.status, now.reason)):
        return ()
    bad = now.status == "False" or now.reason in _BAD or now.reason == SUCCEEDED_WITH_FAILURES
    if about == "Ready" and not bad:
        return ()  # nodes come and go
    return (Event("Warning" if bad else "Normal", now.reason, now.message or f"the step is {now.reason}"),)


def _starting(seen: Observed) -> Trouble:
    coordinator = seen.coordinator
    if coordinator is None or coordinator.leaving or coordinator.phase != "Running":
        return Trouble("StartingCoordinator", "waiting for the coordinator's pod to run")
    return Trouble("WaitingForCoordinator", "the coordinator's pod runs and does not answer yet")
