"""The life of a step, a task or a PipelineRun, as far as it is the same for all: not begun, refused, finished."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from longshore_api.errors import Problem
from longshore_operator.common.actions import Action, Delete, Plan
from longshore_operator.common.conditions import blocked_by_problems, observed_again, with_refusal
from longshore_operator.common.reasons import INVALID, MISSING
from longshore_operator.common.values import Blocked, Observation, S
from longshore_operator.settings import Settings

POLL = 2.0  # seconds between reconciles of a run; its status is written no more often
SOON = 1.0  # seconds until a reconcile after something that changes in a moment
RESYNC = 300.0  # seconds between reconciles of what waits for a change that requeues it
LATE = 60.0  # seconds until a reconcile in case that no event comes
REFUSED_AGAIN = 5.0  # seconds until what the API server refused is tried again

_GRACE = timedelta(seconds=10)  # for what is invalid: a change that was applied with it may come a moment later
_NOT_WATCHED = frozenset({"ConfigMap", "Secret"})  # of users: looked up by name, while something waits for them,
_SHARE, _LONGEST_PAUSE = 0.5, 30.0  # after this share of the time that it has waited, and this many seconds at most


class Unresolved(NamedTuple):
    """Why a resource does not begin that could not be resolved."""

    blocked: Blocked
    is_final: bool
    requeue_after: float


def unresolved(
    seen: Observation[S], resolved: tuple[Problem, ...] | Blocked | None, settings: Settings, *, now: datetime
) -> Unresolved:
    """Return why a resource does not begin, whether that ends it, and the requeue delay.

    What is missing may still be created: GitOps tools apply objects in any order, minutes apart. It ends the resource
    after a grace period; a document that is invalid does so in seconds.
    """
    blocked = blocked_by_problems(resolved)
    if blocked.reason == INVALID:
        is_final = now - seen.created >= _GRACE
        return Unresolved(blocked, is_final, 0.0 if is_final else SOON)
    if blocked.reason != MISSING:
        return Unresolved(blocked, is_final=False, requeue_after=LATE)  # what it waits for requeues it
    condition = seen.status.condition("Succeeded") if seen.status else None
    waited = now - condition.last_transition_time if condition and condition.status == "Unknown" else timedelta(0)
    left = (timedelta(seconds=settings.missing_reference_grace_seconds) - waited).total_seconds()
    if left <= 0:
        return Unresolved(Blocked(INVALID, blocked.message), is_final=True, requeue_after=0.0)
    missing = {each.missing for each in resolved} if isinstance(resolved, tuple) else set()
    is_looked_up = bool(missing & _NOT_WATCHED)
    pause = min(_LONGEST_PAUSE, max(SOON, waited.total_seconds() * _SHARE)) if is_looked_up else LATE
    return Unresolved(blocked, is_final=False, requeue_after=min(left, pause))


def not_begun(status: S, *, final: bool, requeue_after: float = SOON, actions: Iterable[Action] = ()) -> Plan[S]:
    """Return the plan for a resource that cannot begin: report why; retry unless that is final."""
    return Plan(tuple(actions), status, requeue_after=0.0 if final else requeue_after)


def after_refusal(plan: Plan[S], before: S | None, refusal: Blocked, *, now: datetime) -> Plan[S]:
    """Return the rest of a plan after the API server refused an action: a status with the refusal, and a retry.

    `before` is the status that the resource has.
    """
    if plan.status is None:
        return Plan(requeue_after=REFUSED_AGAIN)
    return Plan((), with_refusal(plan.status, refusal, before=before, now=now), requeue_after=REFUSED_AGAIN)


def after_end(seen: Observation[S], *, clean_up: Iterable[Action] = (), waits: bool = False, now: datetime) -> Plan[S]:
    """Return the plan for a finished resource: delete it once its time to live has passed; until then, clean up.

    With `waits`, pods are still ending. Changes of the spec have no effect any more; the status records that they were
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
