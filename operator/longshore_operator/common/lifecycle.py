"""The life of a step, whichever kind: what is done when the API server refuses something, and when to look again."""

from __future__ import annotations

from datetime import datetime

from longshore_operator.common.actions import Plan
from longshore_operator.common.conditions import with_refusal
from longshore_operator.common.pool import Holder, Pool
from longshore_operator.common.values import Blocked, S

POLL = 2.0  # seconds between looks at a run; its status is written no more often
_LONGEST_POLL = 10.0  # seconds between looks of a step that many others come before
_REFUSED = 5.0  # seconds until what the API server refused is tried again


def after_refusal(plan: Plan[S], before: S | None, refusal: Blocked, *, now: datetime) -> Plan[S]:
    """Return what is left of a step's plan when the API server did not carry out an action: to say so, and try again.

    `before` is the status that the step has.
    """
    if plan.status is None:
        return Plan(requeue_after=_REFUSED)
    status = with_refusal(plan.status, refusal, before=before, now=now)
    return Plan((), status, requeue_after=_REFUSED)


def in_line(pool: Pool, step: Holder) -> float:
    """Return the seconds until a step that waits for a node looks again."""
    return min(_LONGEST_POLL, POLL * (1 + pool.before(step)))
