"""One reconcile of one resource of any kind; the same call for every event.

observe --> decide --> actions --> status, once, if it changed --> events --> actions that the status must precede
                          |                                                         |
                          `-- refused by the API server: the status reports it, and the key is requeued
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from longshore_api.status import ParallelRunStepStatus, ResourceStatus
from longshore_operator.cluster.api import Refused, Taken
from longshore_operator.cluster.coordinators import AnswerPending
from longshore_operator.common.actions import Action, Create, Occupy, Plan, ReportGone
from longshore_operator.common.conditions import blocked_by_name, blocked_by_refusal, milestones
from longshore_operator.common.lifecycle import POLL
from longshore_operator.common.values import Blocked, Observation, S
from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject
from longshore_operator.reconcile.apply import Executor

_log = logging.getLogger("longshore.operator")

_UNANSWERED = 30.0  # seconds until a resource is reconciled whose coordinator's answer has not requeued it
_SLACK = 0.8  # of the interval of polls: a write that is due a little later need not wait for another reconcile
_RENEWED = timedelta(seconds=30)  # age at which an unchanged status is written again

O = TypeVar("O", bound=Observation[Any])  # noqa: E741  (O for observation, as S for status)


class Controller(Protocol[O, S]):
    """All that is particular to a kind of resource. `decide` and `refused` are pure."""

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> O | None:
        """Read a resource and all that concerns it; None when it does not exist or is being deleted.

        Raises ApiError, AnswerPending: then nothing is decided.
        """

    def decide(self, seen: O, *, now: datetime) -> Plan[S]:
        """Return what to do next."""

    def refused(self, seen: O, plan: Plan[S], refusal: Blocked, *, now: datetime) -> Plan[S]:
        """Return the rest of a plan after the API server refused an action: a status with the refusal, and a retry.

        `plan` has no actions when they were carried out and one of `after` was refused.
        """


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass
class Reconciler:
    """Reconciles resources of all kinds, each by the controller of its kind.

    It remembers when statuses were written, which spares the API server writes; nothing depends on that.
    """

    controllers: Mapping[str, Controller[Any, Any]]
    executor: Executor
    now: Callable[[], datetime] = _utc
    monotonic: Callable[[], float] = time.monotonic
    _written: dict[tuple[str, str, str], float] = field(default_factory=dict, init=False)  # when each one's status was

    def reconcile(self, kind: str, namespace: str, name: str) -> float | None:
        """Reconcile one resource; return the requeue delay in seconds, or None to wait for the next event.

        Raises ApiError when a call of the API server fails: the caller retries later.
        """
        controller, now = self.controllers[kind], self.now()
        try:
            seen = controller.observe(kind, namespace, name, now=now)
        except AnswerPending:
            return _UNANSWERED
        if seen is None:  # its objects are deleted with it: they name it as their owner
            self._written.pop((kind, namespace, name), None)
            return None
        plan = controller.decide(seen, now=now)
        try:
            self._execute(plan.actions, namespace, now=now)
        except (Refused, Taken) as error:
            plan = controller.refused(seen, plan, _blocked(error), now=now)
            return self._report(seen.subject, plan, before=seen.status, now=now)
        requeue_after = self._report(seen.subject, plan, before=seen.status, now=now)
        try:
            self._execute(plan.after, namespace, now=now)
        except (Refused, Taken) as error:
            refused = controller.refused(seen, replace(plan, actions=()), _blocked(error), now=now)
            return self._report(seen.subject, refused, before=plan.status, now=now)
        return requeue_after

    def _execute(self, actions: tuple[Action, ...], namespace: str, *, now: datetime) -> None:
        unreported: set[str] = set()
        for planned in actions:
            action = _without(planned, unreported)
            if action is None:
                continue
            _log.info("%s", _describe(action))
            if isinstance(action, ReportGone):
                unreported |= set() if self.executor.report(action) else {action.worker}
            else:
                self.executor.execute(action, namespace=namespace, now=now)

    def _report(self, subject: Subject, plan: Plan[S], *, before: S | None, now: datetime) -> float | None:
        """Write the status and create the events if the status changed; return the requeue delay.

        A status that differs in progress only may come too early after the last: then it is left to the next reconcile.
        """
        if plan.status is None or _same(before, plan.status):
            return plan.requeue_after
        events = (*plan.events, *milestones(before, plan.status))
        key, clock = (subject.kind, subject.namespace, subject.name), self.monotonic()
        if not events and not plan.after and (early := self._next_write(key) - clock) > 0:
            return early
        self.executor.write_status(subject, plan.status)
        self._written[key] = clock
        for event in events:
            _log.info("%s: %s", event.reason, event.message)
            self.executor.create_event(subject, event, now=now)
        return plan.requeue_after

    def _next_write(self, key: tuple[str, str, str]) -> float:
        """Return when a status may be written that differs in progress only."""
        between = _SLACK * self.executor.coordinators.interval if key[0] == names.STEP_KIND else POLL
        return self._written.get(key, float("-inf")) + between


def _without(action: Action, unreported: set[str]) -> Action | None:
    """Return an action without the pods of workers whose coordinators have not learned of the predecessor's end.

    A later reconcile creates them, because a coordinator would regard the new worker as dead.
    """
    match action:
        case Create(manifest) if _name(manifest) in unreported:
            return None
        case Occupy(_, _, pods):
            allowed = tuple(each for each in pods if _name(each) not in unreported)
            return replace(action, pods=allowed) if allowed else None
        case _:
            return action


def _name(manifest: Any) -> str:
    return str(manifest.metadata.name)


def _blocked(error: Refused | Taken) -> Blocked:
    _log.warning("the API server refused it: %s", error)
    return blocked_by_name(str(error)) if isinstance(error, Taken) else blocked_by_refusal(str(error))


def _same(before: ResourceStatus | None, after: ResourceStatus) -> bool:
    """Return whether two statuses are equal and describe about the same time."""
    if before is None:
        return False
    if isinstance(before, ParallelRunStepStatus) and isinstance(after, ParallelRunStepStatus):
        then, now = before.progress.observed_time, after.progress.observed_time
        if then is not None and now is not None and now - then < _RENEWED:
            after = after.model_copy(update={"progress": after.progress.model_copy(update={"observed_time": then})})
    return before.to_dict() == after.to_dict()


def _describe(action: object) -> str:
    """Return an action as a log line has it: "Create Pod score-worker-0"."""
    manifests = [each for each in (getattr(action, "manifest", None), *getattr(action, "pods", ())) if each is not None]
    if manifests:
        made = ", ".join(f"{each.kind} {each.metadata.name}" for each in manifests)
        return f"{type(action).__name__} {made}"
    name = getattr(action, "name", "") or getattr(action, "worker", "")
    return " ".join(filter(None, [type(action).__name__, getattr(action, "kind", ""), name]))
