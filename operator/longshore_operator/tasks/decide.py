"""Decisions for a task: a ScriptStep or TransferStep. Pure.

finished?  ->  clean up; delete it once its time to live has passed
a result   ->  the last status, then clean up
cancelled? ->  delete its pod; then it is finished
no run?    ->  resolve it; an invalid task fails before anything starts
packages?  ->  have them installed before anything starts; if they cannot be, the task fails
no node?   ->  wait for a node slot before anything starts
a run      ->  one pod; a lost pod is counted in the status first, then the pod with the next number is created
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from longshore_api.task_status import TaskStatus
from longshore_operator.common.actions import Action, Create, Delete, Occupy, Plan
from longshore_operator.common.conditions import blocked_by_object
from longshore_operator.common.environments import Preparation, prepare
from longshore_operator.common.lifecycle import RESYNC, SOON, after_end, not_begun, unresolved
from longshore_operator.common.pods import is_overdue, was_just_rejected, was_rejected
from longshore_operator.common.pool import Holder
from longshore_operator.common.reasons import LOST, UNSCHEDULABLE, WAITING_FOR_NODES
from longshore_operator.common.values import Blocked
from longshore_operator.manifests.tasks import task_map, task_pod
from longshore_operator.settings import Settings
from longshore_operator.tasks import status as task_statuses
from longshore_operator.tasks.observed import PREPARING, RUNNING, ObservedTask, TaskPod
from longshore_planner.cluster.task_runs import TaskRun
from longshore_protocol.script_job import CANCELLED, OUT_OF_MEMORY

TaskPlan = Plan[TaskStatus]

LOSSES = 10  # pods that may be lost, and are followed by another

_LOOK = 30.0  # seconds between reconciles of a running pod, whose end is an event
_LATE = timedelta(seconds=60)  # seconds that a pod of a finished task may take to terminate
_SILENCE = timedelta(seconds=30)  # after the user's container ended badly, until nothing is expected of the others
_SYNC = timedelta(seconds=5)  # until a kubelet has reported all containers that ended together
_NEVER_STARTED = ("StartError", "ContainerCannotRun")  # reasons of container runtimes


def decide_task(seen: ObservedTask, settings: Settings, *, now: datetime) -> TaskPlan:
    """Return what to do next."""
    cancel = seen.control.cancel
    if seen.is_finished:
        return _after_the_end(seen, now=now)
    if seen.foreign and not cancel:
        return _not_begun(seen, blocked_by_object(seen.foreign), final=False, now=now)
    run = seen.run or seen.resolved
    if isinstance(run, TaskRun) and (end := _end(seen, run, now=now)) is not None:
        return _finish(seen, run, end, now=now)
    if cancel:
        return _cancel(seen, now=now)
    if isinstance(run, TaskRun):
        return _go_on(seen, run, settings, now=now)
    blocked, final, requeue_after = unresolved(seen, run, settings, now=now)
    return _not_begun(seen, blocked, final=final, now=now, requeue_after=requeue_after)


# --- its end -----------------------------------------------------------------------------------------------------


def _end(seen: ObservedTask, run: TaskRun, *, now: datetime) -> TaskStatus | None:
    """Return the last status, once the present pod shows that there is nothing more to come."""
    pod, blocked = seen.pod, None
    if pod is None:
        return None
    # A script that was stopped, and not by `cancel`, is lost with its pod: when its node is drained, for example.
    if pod.result is not None and (pod.result.state != CANCELLED or seen.control.cancel):
        if seen.registrations.fault:
            blocked = Blocked("ScriptFailed", f"its registrations cannot be read: {seen.registrations.fault}")
            return task_statuses.failed(seen, run, blocked, now=now)
        return task_statuses.ended(seen, run, pod.result, now=now)
    if pod.script is not None and pod.script.reason in _NEVER_STARTED:
        text = f"container main of pod {pod.name} cannot be started: {pod.script.message}"
        blocked = Blocked("ScriptFailed", text)
    elif pod.script is not None and pod.script.reason == "OOMKilled" and _is_silent(pod, now=now):
        blocked = Blocked(OUT_OF_MEMORY, f"container main of pod {pod.name} was killed because memory ran out")
    elif _is_lost(pod, now=now) and seen.number >= LOSSES:
        blocked = Blocked("LostTooOften", f"{LOSSES + 1} pods were lost; the last: {_how_lost(pod)}")
    return None if blocked is None else task_statuses.failed(seen, run, blocked, now=now)


def _finish(seen: ObservedTask, run: TaskRun, end: TaskStatus, *, now: datetime) -> TaskPlan:
    """Register what the task requests, then write its last status."""
    blocked = seen.registrations.blocked
    status = end if blocked is None else task_statuses.waiting(seen, run, blocked, now=now)
    return Plan(seen.registrations.actions, status, requeue_after=0.0)


def _is_silent(pod: TaskPod, *, now: datetime) -> bool:
    """Return whether a pod without a result will report nothing more."""
    if pod.is_finished or (pod.mute_since is not None and now >= pod.mute_since + _SYNC):
        return True
    return pod.script is not None and now >= pod.script.at + _SILENCE


def _is_lost(pod: TaskPod, *, now: datetime) -> bool:
    """Return whether a pod has no valid result and will have none; wait for pods that are being deleted."""
    return not pod.leaving and not was_rejected(pod) and _is_silent(pod, now=now)


def _how_lost(pod: TaskPod) -> str:
    """Return why a pod has finished, as far as the cluster reports it."""
    why = ": ".join(filter(None, [pod.reason, pod.message]))
    if not why and pod.script is not None:
        detail = f": {pod.script.message}" if pod.script.message else ""
        why = f"container main ended with exit code {pod.script.exit_code}{detail}"
    return f"pod {pod.name} left no result" + (f" ({why})" if why else "")


# --- on its way --------------------------------------------------------------------------------------------------


def _go_on(seen: ObservedTask, run: TaskRun, settings: Settings, *, now: datetime) -> TaskPlan:
    pod = seen.pod
    actions: tuple[Action, ...] = tuple(_clear(seen.earlier, now=now))
    if pod is None or pod.lacks_environment:
        preparation = _prepare(seen, run, settings, now=now)
        actions = (*actions, *preparation.actions)
        if preparation.blocked is not None:
            return _not_prepared(seen, run, preparation, preparation.blocked, actions, now=now)
    if pod is not None and _is_lost(pod, now=now):
        lost = Blocked(LOST, f"{_how_lost(pod)}; another one follows")
        status = task_statuses.waiting(seen, run, lost, now=now, losses=seen.number + 1)
        return Plan(actions, status, requeue_after=0.0)
    blocked = _why_it_waits(seen)
    if pod is None:
        if blocked is not None and seen.run is None:
            status = task_statuses.not_begun(seen, blocked, final=False, now=now)
            return Plan(actions, status, requeue_after=_pause(seen))
        if blocked is None:
            frozen = () if seen.run is not None else (Create(task_map(run)),)  # from now on the run is frozen
            actions = (*actions, *frozen, *_made(seen, run, settings))
    elif is_overdue(pod, now=now):
        actions = (*actions, Delete("Pod", pod.name, pod.uid, at_once=True))
    elif was_rejected(pod) and not pod.leaving and not was_just_rejected(pod, now=now):
        actions = (*actions, Delete("Pod", pod.name, pod.uid))  # nothing ran: it is made again, and is no loss
    status = task_statuses.waiting(seen, run, blocked or _stage(pod), now=now, losses=seen.number)
    return Plan(actions, status, requeue_after=_LOOK if blocked is None and pod is None else _pause(seen))


def _prepare(seen: ObservedTask, run: TaskRun, settings: Settings, *, now: datetime) -> Preparation:
    if seen.environment is None:
        return Preparation()
    is_missing = seen.pod is not None and seen.pod.lacks_environment
    found = prepare(seen.environment, run.provision, settings, status=seen.status, is_missing=is_missing, now=now)
    if seen.pod is None or seen.pod.leaving:
        return found
    return replace(found, actions=(*found.actions, Delete("Pod", seen.pod.name, seen.pod.uid)))


def _not_prepared(
    seen: ObservedTask,
    run: TaskRun,
    preparation: Preparation,
    blocked: Blocked,
    actions: tuple[Action, ...],
    *,
    now: datetime,
) -> TaskPlan:
    """Return the plan of a task without a pod, that waits for its packages or fails without them."""
    if preparation.is_final:
        return Plan(actions, task_statuses.not_begun(seen, blocked, final=True, now=now), requeue_after=0.0)
    begun = seen.status is not None and seen.status.run_id is not None
    status = (
        task_statuses.waiting(seen, run, blocked, now=now, losses=seen.number)
        if begun
        else task_statuses.not_begun(seen, blocked, final=False, now=now)
    )
    return Plan(actions, status, requeue_after=preparation.requeue_after)


_STARTING = Blocked("StartingPod", "waiting for the pod to run")


def _made(seen: ObservedTask, run: TaskRun, settings: Settings) -> Iterator[Action]:
    pod = task_pod(run, settings, seen.number)
    if seen.pool is None:
        yield Create(pod)
    elif seen.pool.max_nodes is not None:
        yield Occupy(seen.pool.compute, seen.pool.max_nodes, (pod,))


def _why_it_waits(seen: ObservedTask) -> Blocked | None:
    """Return what keeps the present pod from being made, or from running; None if nothing does."""
    pod, step = seen.pod, Holder(seen.name, seen.subject.kind)
    if pod is not None:
        if was_rejected(pod):
            return Blocked(UNSCHEDULABLE, f"a node refused pod {pod.name}: {pod.reason}: {pod.message}")
        return None if pod.leaving else pod.blocked
    if going := [each for each in seen.earlier if not each.is_finished]:
        return Blocked(LOST, f"waiting for pod {going[0].name} to end, which counts as lost")
    if seen.pool is not None and not seen.pool.allowed(step):
        return Blocked(WAITING_FOR_NODES, seen.pool.waiting(step))
    return None


def _stage(pod: TaskPod | None) -> Blocked:
    if pod is None:
        return _STARTING
    if pod.leaving:
        return Blocked("StartingPod", "waiting for a pod that is being deleted to end, to make another")
    if pod.stage == PREPARING:
        return Blocked(PREPARING, f"pod {pod.name} is downloading source and inputs")
    # Between the end of the script and that of the pod, what it left is taken away.
    return Blocked(RUNNING, "") if pod.stage == RUNNING or pod.started is not None else _STARTING


def _pause(seen: ObservedTask) -> float:
    pod = seen.pod
    if pod is None:
        return SOON if seen.pool is None or seen.earlier else RESYNC  # a free node requeues the first in line
    is_ending = pod.leaving or pod.script is not None or pod.mute_since is not None
    return SOON if is_ending or was_rejected(pod) else _LOOK


def _cancel(seen: ObservedTask, *, now: datetime) -> TaskPlan:
    """Delete the pod, whose script has a grace period, then write the status."""
    ends = [
        Delete("Pod", each.name, each.uid, at_once=each.leaving)
        for each in seen.pods
        if not each.is_finished and (not each.leaving or is_overdue(each, now=now))
    ]
    if any(not each.is_finished for each in seen.pods):
        message = "the script is being stopped, and its outputs are being uploaded"
        status = task_statuses.not_begun(seen, Blocked("Cancelling", message), final=False, now=now)
        return Plan(tuple(ends), status, requeue_after=SOON)
    begun = seen.status is not None and seen.status.run_id is not None
    message = "cancelled: it left no result" if begun else "cancelled: nothing was started"
    return _not_begun(seen, Blocked("Cancelled", message), final=True, now=now)


# --- after it ----------------------------------------------------------------------------------------------------


def _after_the_end(seen: ObservedTask, *, now: datetime) -> TaskPlan:
    """Keep the pod that ended as a record. Let one end that ends by itself; delete one without a result."""
    end = seen.completion_time or now
    last = [each for each in seen.pods if each.index == seen.number]
    late = [each for each in last if not each.is_finished and (each.result is None or now >= end + _LATE)]
    waits = any(not each.is_finished for each in seen.pods)
    return after_end(seen, clean_up=_clear([*seen.earlier, *late], now=now), waits=waits, now=now)


def _clear(pods: list[TaskPod], *, now: datetime) -> Iterator[Action]:
    for each in pods:
        if not each.leaving or is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=each.leaving)


def _not_begun(
    seen: ObservedTask, blocked: Blocked, *, final: bool, now: datetime, requeue_after: float = SOON
) -> TaskPlan:
    status = task_statuses.not_begun(seen, blocked, final=final, now=now)
    return not_begun(status, final=final, requeue_after=requeue_after)
