"""The life of a step, a task or a PipelineRun, as far as it is the same for all: not begun, refused, finished."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from longshore_operator.common.actions import Action, Delete, Plan
from longshore_operator.common.conditions import INVALID, observed_again, with_refusal
from longshore_operator.common.values import Blocked, Observation, S

POLL = 2.0  # seconds between reconciles of a run; its status is written no more often
SOON = 1.0  # seconds until a reconcile after something that changes in a moment
RESYNC = 300.0  # seconds between reconciles of what waits for a change that requeues it
LATE = 60.0  # seconds until a reconcile in case that no event comes
REFUSED_AGAIN = 5.0  # seconds until what the API server refused is tried again

_GRACE = timedelta(seconds=10)  # for what a resource refers to: applied together, it may come a moment later


def is_final(seen: Observation[S], blocked: Blocked, *, now: datetime) -> bool:
    """Return whether what is wrong with a resource that has not begun ends it."""
    return blocked.reason == INVALID and now - seen.created >= _GRACE


def not_begun(status: S, *, final: bool, actions: Iterable[Action] = ()) -> Plan[S]:
    """Return the plan for a resource that cannot begin: report why; retry unless that is final."""
    return Plan(tuple(actions), status, requeue_after=0.0 if final else SOON)


def after_refusal(plan: Plan[S], before: S | None, refusal: Blocked, *, now: datetime) -> Plan[S]:
    """Return what is left of a plan when the API server refused an action: a status that says so, and a retry.

    `before` is the status that the resource has.
    """
    if plan.status is None:
        return Plan(requeue_after=REFUSED_AGAIN)
    return Plan((), with_refusal(plan.status, refusal, before=before, now=now), requeue_after=REFUSED_AGAIN)


def after_end(seen: Observation[S], *, clean_up: Iterable[Action] = (), waits: bool = False, now: datetime) -> Plan[S]:
    """Return the plan for a finished resource: delete it once its time to live has passed; until then, clean up.

    `waits` says that pods are still ending. A change of the spec has no effect any more; the status says that it was
    observed.
    """
    assert seen.status is not None, "or it had not finished"
    pauses = [LATE] if waits else []
    if seen.control.ttl_seconds is not None and seen.completion_time is not None:
        left = (seen.completion_time + timedelta(seconds=seen.control.ttl_seconds) - now).total_seconds()
        if left <= 0:
            return Plan((Delete(seen.subject.kind, seen.name, seen.subject.uid),))
        pauses.append(left)
    is_changed = seen.status.observed_generation != seen.generation
    status = observed_again(seen.status, generation=seen.generation) if is_changed else None
    return Plan(tuple(clean_up), status, requeue_after=min(pauses, default=None))
