"""The next steps of a ParallelRunStep, from all that is known of it.

finished?  ->  clean up; delete it when its time has come
halted?    ->  end its workers, then its coordinator; suspended it waits, cancelled it is over
no run?    ->  resolve; what is wrong ends it, with nothing started
no node?   ->  wait in line, with nothing started
a run      ->  what it needs, coordinator and workers together; replace what is gone; say how far it is
verdict    ->  the last status, then clean up
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from longshore_api.status import ParallelRunStepStatus
from longshore_operator.common.actions import Action, Create, Delete, Issue, Plan, Resume
from longshore_operator.common.conditions import INVALID, observed_again, sentence
from longshore_operator.common.lifecycle import POLL, in_line
from longshore_operator.common.pods import is_overdue
from longshore_operator.common.pool import Holder
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names, objects
from longshore_operator.settings import Settings
from longshore_operator.steps import status as statuses
from longshore_operator.steps.observed import ObservedStep
from longshore_operator.steps.workers import allowed, coordinator, workers
from longshore_planner.cluster import ClusterRun
from longshore_protocol.snapshot import ASSEMBLING, ENDED, Snapshot

StepPlan = Plan[ParallelRunStepStatus]

_SOON = 1.0
_LATE = 60.0  # seconds between looks at pods that do not go
_GRACE = timedelta(seconds=10)  # for what a step refers to: applied together, it may come a moment later
_NO_VERDICT = ("Interrupted", "Superseded")  # another coordinator goes on


def decide(seen: ObservedStep, settings: Settings, *, now: datetime) -> StepPlan:
    """Return what to do next."""
    if seen.is_finished:
        return _after_the_end(seen, now=now)
    if seen.foreign and not seen.control.cancel:
        message = f"{seen.foreign} belongs to somebody else: waiting until it is gone"
        return _not_begun(seen, "NameTaken", message, final=False, now=now)
    run = seen.run or seen.resolved
    verdict = _verdict(seen)
    if verdict is not None and isinstance(run, ClusterRun):
        return Plan((), statuses.from_snapshot(seen, verdict, now=now), requeue_after=0.0)
    if _is_halted(seen):
        return _halt(seen, now=now)
    if isinstance(run, ClusterRun):
        return _go_on(seen, run, settings, now=now)
    if not isinstance(run, Blocked):
        run = Blocked(INVALID, sentence(run or ()))
    final = run.reason == INVALID and now - seen.created >= _GRACE
    return _not_begun(seen, run.reason, run.message, final=final, now=now)


def _go_on(seen: ObservedStep, run: ClusterRun, settings: Settings, *, now: datetime) -> StepPlan:
    if seen.run is None and not allowed(seen, run):
        requeue_after = POLL if seen.pool is None else in_line(seen.pool, Holder(run.step))
        return Plan((), statuses.before_snapshot(seen, run, now=now), requeue_after=requeue_after)
    actions = (
        *_foundations(seen, run),
        *coordinator(seen, run, settings, now=now),
        *workers(seen, run, settings, now=now),
    )
    if isinstance(seen.progress, Snapshot) and seen.progress.state not in ENDED:
        status = statuses.from_snapshot(seen, seen.progress, now=now)
    else:
        status = statuses.before_snapshot(seen, run, now=now)
    return Plan(actions, status, requeue_after=POLL if isinstance(seen.progress, Snapshot) else _SOON)


def _after_the_end(seen: ObservedStep, *, now: datetime) -> StepPlan:
    status, ttl = seen.status, seen.control.ttl_seconds
    assert status is not None, "or it had not ended"
    left: float | None = _LATE if any(each.leaving for each in seen.pods) else None
    if ttl is not None and status.completion_time is not None:
        left = (status.completion_time + timedelta(seconds=ttl) - now).total_seconds()
        if left <= 0:
            return Plan((Delete(names.STEP_KIND, seen.name, seen.subject.uid),))
    told = None  # a change of the spec after the end changes nothing: that it was seen is all there is to say
    if status.observed_generation != seen.generation:
        told = observed_again(status, generation=seen.generation)
    return Plan(tuple(_clean_up(seen, now=now)), told, requeue_after=left)


def _is_halted(seen: ObservedStep) -> bool:
    """Tell whether the step is to stop. One that writes its output has nothing more to stop: it is let end."""
    writes = isinstance(seen.progress, Snapshot) and seen.progress.state == ASSEMBLING
    return (seen.control.cancel or seen.control.suspend) and not writes


def _halt(seen: ObservedStep, *, now: datetime) -> StepPlan:
    """End workers, which may finish what they run, then the coordinator, which commits it; then say so."""
    ends = [
        Delete("Pod", each.name, each.uid, at_once=each.leaving)
        for each in seen.workers
        if not each.leaving or is_overdue(each, now=now)
    ]
    last = seen.coordinator
    if not seen.workers and last is not None and (not last.leaving or is_overdue(last, now=now)):
        ends.append(Delete("Pod", last.name, last.uid, at_once=last.leaving))
    if seen.pods:
        return Plan(tuple(ends), statuses.halting(seen, now=now), requeue_after=_SOON)
    status = statuses.halted(seen, now=now)
    return Plan(tuple(_clean_up(seen, now=now)), status, requeue_after=0.0 if seen.control.cancel else None)


def _not_begun(seen: ObservedStep, reason: str, message: str, *, final: bool, now: datetime) -> StepPlan:
    status = statuses.not_begun(seen, reason=reason, message=message, final=final, now=now)
    if seen.foreign and seen.status is not None and seen.status.run_id is not None:
        status = statuses.standing_still(seen.status, status)
    return Plan((), status, requeue_after=0.0 if final else _SOON)


def _clean_up(seen: ObservedStep, *, now: datetime) -> Iterator[Action]:
    """Delete what costs or grants something. The run written down and the coordinator's ended pod stay, as records."""
    for each in seen.pods:
        if is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=True)
        elif not each.leaving and (each.index is not None or each.phase not in ("Succeeded", "Running")):
            yield Delete("Pod", each.name, each.uid)
    for kind, uid in seen.objects.items():
        name = names.coordinator(seen.name) if kind == "Service" else names.run_objects(seen.name)
        yield Delete(kind, name, uid)


def _verdict(seen: ObservedStep) -> Snapshot | None:
    """Return the last snapshot of a run that is over: as asked for, or as its coordinator left it behind."""
    last = seen.progress
    coordinator = seen.coordinator
    if not isinstance(last, Snapshot) and coordinator is not None and coordinator.phase == "Succeeded":
        try:
            last = Snapshot.from_json(coordinator.last_words)
        except (ValueError, KeyError, TypeError):
            return None
    if isinstance(last, Snapshot) and last.state in ENDED and last.reason not in _NO_VERDICT:
        return last
    return None


def _foundations(seen: ObservedStep, run: ClusterRun) -> Iterator[Action]:
    if seen.run is None:
        # First of all: from now on the run is frozen.
        yield Resume(run) if run.is_resumed else Create(objects.config_map(run))
    if "Secret" not in seen.objects:
        yield Issue(run)
    if "Service" not in seen.objects:
        yield Create(objects.service(run))
    if "NetworkPolicy" not in seen.objects:
        yield Create(objects.network_policy(run))
