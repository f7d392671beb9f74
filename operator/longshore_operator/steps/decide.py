"""Decisions for a ParallelRunStep. Pure.

finished?  ->  clean up; delete it once its time to live has passed
halted?    ->  drain its workers, then delete its coordinator; it waits if suspended, and is finished if cancelled
no run?    ->  resolve it; an invalid step fails before anything starts
packages?  ->  have them installed before anything starts; if they cannot be, the step fails
no node?   ->  wait for a node slot before anything starts
a run      ->  create coordinator and workers; replace those that ended; report the progress
verdict    ->  the last status, then clean up
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from longshore_api.status import ParallelRunStepStatus
from longshore_operator.common.actions import Action, Continue, Create, Delete, Issue, Plan
from longshore_operator.common.conditions import blocked_by_object
from longshore_operator.common.environments import Preparation, prepare
from longshore_operator.common.lifecycle import RESYNC, SOON, after_end, not_begun, unresolved
from longshore_operator.common.pods import is_overdue
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names, objects
from longshore_operator.settings import Settings
from longshore_operator.steps import status as statuses
from longshore_operator.steps.observed import ObservedStep
from longshore_operator.steps.workers import allowed, coordinator, workers
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_protocol.snapshot import ASSEMBLING, ENDED, FAILED, Snapshot

StepPlan = Plan[ParallelRunStepStatus]

_WHILE_CHANGING = 10.0  # seconds: pods become overdue, rejected ones are replaced, a lost Secret is created again


def decide(seen: ObservedStep, settings: Settings, *, now: datetime) -> StepPlan:
    """Return what to do next."""
    if seen.is_finished:
        return after_end(
            seen, clean_up=_clean_up(seen, now=now), waits=any(each.leaving for each in seen.pods), now=now
        )
    if seen.foreign and not seen.control.cancel:
        return _not_begun(seen, blocked_by_object(seen.foreign), final=False, now=now)
    run = seen.run or seen.resolved
    if seen.verdict is not None and isinstance(run, ClusterRun):
        return _finish(seen, seen.verdict, now=now)
    if _is_halted(seen):
        return _halt(seen, now=now)
    if isinstance(run, ClusterRun):
        return _go_on(seen, run, settings, now=now)
    blocked, final, requeue_after = unresolved(seen, run, settings, now=now)
    return _not_begun(seen, blocked, final=final, now=now, requeue_after=requeue_after)


def _finish(seen: ObservedStep, last: Snapshot, *, now: datetime) -> StepPlan:
    """Register what the run requests, then write its last status."""
    registrations = seen.registrations
    if registrations.blocked is not None:
        blocked = registrations.blocked
        last = replace(
            last, state=ASSEMBLING, reason="", waiting_reason=blocked.reason, waiting_message=blocked.message
        )
    elif registrations.fault:
        message = f"its registrations cannot be read: {registrations.fault}"
        last = replace(last, state=FAILED, reason="RegistrationFailed", message=message)
    status = statuses.from_snapshot(seen, last, now=now)
    status = status.model_copy(update={"registered": list(registrations.made) or None})
    return Plan(registrations.actions, status, requeue_after=0.0)


def _go_on(seen: ObservedStep, run: ClusterRun, settings: Settings, *, now: datetime) -> StepPlan:
    preparation = _prepare(seen, run, settings, now=now)
    if preparation.blocked is not None and not seen.pods:
        return _not_prepared(seen, run, preparation, preparation.blocked, now=now)
    if seen.run is None and not allowed(seen, run):
        # A node that becomes free requeues the step when it is the first in line.
        return Plan(preparation.actions, statuses.before_snapshot(seen, run, now=now), requeue_after=RESYNC)
    actions = (
        *preparation.actions,
        *_foundations(seen, run),
        *coordinator(seen, run, settings, now=now),
        *workers(seen, run, settings, is_prepared=preparation.blocked is None, now=now),
    )
    if isinstance(seen.progress, Snapshot) and seen.progress.state not in ENDED:
        status = statuses.from_snapshot(seen, seen.progress, now=now)
    else:
        status = statuses.before_snapshot(seen, run, now=now)
    return Plan(actions, status, requeue_after=SOON if actions else _patience(seen))


def _prepare(seen: ObservedStep, run: ClusterRun, settings: Settings, *, now: datetime) -> Preparation:
    if seen.environment is None:
        return Preparation()
    is_missing = any(each.lacks_environment for each in seen.workers)
    return prepare(seen.environment, run.provision, settings, status=seen.status, is_missing=is_missing, now=now)


def _not_prepared(
    seen: ObservedStep, run: ClusterRun, preparation: Preparation, blocked: Blocked, *, now: datetime
) -> StepPlan:
    """Return the plan of a step that has no pods and waits for its packages, or fails without them."""
    begun = seen.status is not None and seen.status.run_id is not None
    if begun and not preparation.is_final:
        status = statuses.standing(seen, run, blocked, now=now)
    else:
        status = statuses.not_begun(seen, blocked, final=preparation.is_final, now=now)
    requeue_after = 0.0 if preparation.is_final else preparation.requeue_after
    return Plan(preparation.actions, status, requeue_after=requeue_after)


def _patience(seen: ObservedStep) -> float:
    """Return the requeue delay in seconds of a run whose pods and snapshot are unchanged."""
    is_changing = any(each.leaving or each.is_finished or each.blocked for each in seen.pods)
    return RESYNC if isinstance(seen.progress, Snapshot) and not is_changing else _WHILE_CHANGING


def _is_halted(seen: ObservedStep) -> bool:
    """Return whether the step must stop; a step that already assembles its output finishes instead."""
    writes = isinstance(seen.progress, Snapshot) and seen.progress.state == ASSEMBLING
    return (seen.control.cancel or seen.control.suspend) and not writes


def _halt(seen: ObservedStep, *, now: datetime) -> StepPlan:
    """Drain the workers, then delete the coordinator, which commits their results; then write the status."""
    ends = [
        Delete("Pod", each.name, each.uid, at_once=each.leaving)
        for each in seen.workers
        if not each.leaving or is_overdue(each, now=now)
    ]
    last = seen.coordinator
    if not seen.workers and last is not None and (not last.leaving or is_overdue(last, now=now)):
        ends.append(Delete("Pod", last.name, last.uid, at_once=last.leaving))
    if seen.pods:
        return Plan(tuple(ends), statuses.halting(seen, now=now), requeue_after=SOON)
    status = statuses.halted(seen, now=now)
    return Plan(tuple(_clean_up(seen, now=now)), status, requeue_after=0.0 if seen.control.cancel else None)


def _not_begun(
    seen: ObservedStep, blocked: Blocked, *, final: bool, now: datetime, requeue_after: float = SOON
) -> StepPlan:
    status = statuses.not_begun(seen, blocked, final=final, now=now)
    if seen.foreign and seen.status is not None and seen.run_id is not None:
        status = statuses.standing_still(seen.status, status)
    return not_begun(status, final=final, requeue_after=requeue_after)


def _clean_up(seen: ObservedStep, *, now: datetime) -> Iterator[Action]:
    """Delete what costs or grants something. The frozen run and the coordinator's ended pod stay as records."""
    for each in seen.pods:
        if is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=True)
        elif not each.leaving and (each.index is not None or each.phase not in ("Succeeded", "Running")):
            yield Delete("Pod", each.name, each.uid)
    for kind, uid in seen.objects.items():
        name = names.coordinator(seen.name) if kind == "Service" else names.run_objects(seen.name)
        yield Delete(kind, name, uid)


def _foundations(seen: ObservedStep, run: ClusterRun) -> Iterator[Action]:
    if seen.run is None:
        # First of all: from now on the run is frozen.
        frozen = objects.config_map(run)
        yield Continue(names.STEP_KIND, run.step, run.job.run_id, frozen) if run.is_resumed else Create(frozen)
    if "Secret" not in seen.objects:
        yield Issue(run)
    if "Service" not in seen.objects:
        yield Create(objects.service(run))
    if "NetworkPolicy" not in seen.objects:
        yield Create(objects.network_policy(run))
