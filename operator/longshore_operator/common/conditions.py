"""Why something is blocked, in one sentence; how conditions show that; what deserves an event."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from longshore_api import status as api
from longshore_api.errors import Problem
from longshore_operator.common.actions import Event
from longshore_operator.common.reasons import INVALID, MISSING, NAME_TAKEN, QUOTA, REFUSED, WARNINGS
from longshore_operator.common.values import Blocked, S
from longshore_protocol.snapshot import ASSEMBLING, DRAINING, RUNNING

_SHOWN_PROBLEMS = 5
_GOES_ON = (RUNNING, DRAINING, ASSEMBLING)
_MAY_PASS = re.compile("not found|no [A-Za-z]+ with name .* was found|is being terminated")


def sentence(problems: Iterable[Problem]) -> str:
    """Return what is wrong, in a few sentences at most."""
    sentences = [each.sentence for each in problems]
    more = len(sentences) - _SHOWN_PROBLEMS
    return "; ".join(sentences[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def milestones(before: api.ResourceStatus | None, after: api.ResourceStatus) -> tuple[Event, ...]:
    """Return what is worth an event: a new reason of Succeeded, or why a ComputeCluster is blocked."""
    about = "Succeeded" if after.condition("Succeeded") else "Ready"
    then, now = before.condition(about) if before else None, after.condition(about)
    if now is None or (then is not None and (then.status, then.reason) == (now.status, now.reason)):
        return ()
    bad = now.status == "False" or now.reason in WARNINGS
    if about == "Ready" and not bad:
        return ()  # nodes come and go
    return (Event("Warning" if bad else "Normal", now.reason, now.message or f"the step is {now.reason}"),)


def observed_again(status: S, *, generation: int) -> S:
    """Return the status of a finished resource whose spec was changed since: observed, without effect."""
    conditions = [each.model_copy(update={"observed_generation": generation}) for each in status.conditions]
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def blocked_by_problems(resolved: tuple[Problem, ...] | Blocked | None) -> Blocked:
    """Return why a resource that could not be resolved does not begin: what is wrong with it, or what it waits for."""
    if isinstance(resolved, Blocked):
        return resolved
    problems = resolved or ()
    is_missing = bool(problems) and all(each.missing for each in problems)
    return Blocked(MISSING if is_missing else INVALID, sentence(problems))


def blocked_by_object(foreign: str) -> Blocked:
    """Return the blocker for a name that an object of another owner has."""
    return Blocked(NAME_TAKEN, f"{foreign} belongs to another owner; delete or rename it")


def blocked_by_refusal(message: str) -> Blocked:
    """Return what the API server's refusal comes from: a ResourceQuota, or a rule such as an admission policy's."""
    return Blocked(QUOTA if "exceeded quota" in message else REFUSED, message)


def blocked_by_name(message: str) -> Blocked:
    """Return that a name is taken by an object without our labels; one with them would have been observed."""
    return Blocked(NAME_TAKEN, f"{message} and belongs to another owner; delete or rename it")


def is_stalled_by(blocked: Blocked) -> bool:
    """Return whether only a change of the object or of the cluster's rules helps.

    A quota may have room again, and what a pod names (ServiceAccount, PriorityClass) may be created in a moment.
    """
    return blocked.reason == REFUSED and not _MAY_PASS.search(blocked.message)


def with_refusal(status: S, blocked: Blocked, *, before: S | None, now: datetime) -> S:
    """Return the status after the API server refused an object; that of a run in progress stays."""
    succeeded = status.condition("Succeeded")
    if succeeded is None or succeeded.status != "Unknown" or succeeded.reason in _GOES_ON:
        return status
    return with_blocked(status, blocked, stalled=is_stalled_by(blocked), before=before, now=now)


def with_blocked(status: S, blocked: Blocked, *, stalled: bool, before: S | None, now: datetime) -> S:
    """Return the status of a resource that cannot proceed.

    `stalled` states that only a change by the user helps; if `before` is stalled, too, its transition time is kept.
    """
    update = {"reason": blocked.reason, "message": blocked.message}
    conditions = [each.model_copy(update=update) for each in status.conditions]
    if stalled:
        earlier = before.condition("Stalled") if before else None
        since = earlier.last_transition_time if earlier is not None and earlier.status == "True" else now
        is_stalled = {"status": "True", "last_transition_time": since}
        conditions = [each.model_copy(update=is_stalled) if each.type == "Stalled" else each for each in conditions]
    return status.model_copy(update={"conditions": conditions})
