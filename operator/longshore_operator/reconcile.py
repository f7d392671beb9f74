"""One reconcile of one step: observe, plan, apply, status once, events. The same call, whatever happened."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from longshore_api.status import ParallelRunStepStatus
from longshore_operator.apply import apply_action, apply_status, send_event
from longshore_operator.coordinator_client import Coordinators
from longshore_operator.kube import Kube
from longshore_operator.observe import observe
from longshore_operator.plan.actions import Plan
from longshore_operator.plan.decide import POLL, decide
from longshore_operator.plan.observed import Step
from longshore_operator.settings import Settings

_log = logging.getLogger("longshore.operator")


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass
class Reconciler:
    """Reconciles steps. What it remembers only spares the API server writes; nothing depends on it."""

    kube: Kube
    coordinators: Coordinators
    settings: Settings
    now: Callable[[], datetime] = _utc
    monotonic: Callable[[], float] = time.monotonic
    _written: dict[tuple[str, str], float] = field(default_factory=dict)  # when each step's status was

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Bring one step further; return the seconds until it wants to be looked at again, None: when it changes.

        Raises kube.Trouble when the API does not do something: then it is to be called again, later.
        """
        sight = observe(self.kube, self.coordinators, self.settings, namespace=namespace, name=name)
        if sight is None:
            self._written.pop((namespace, name), None)
            return None  # its objects go with it: they name it as their owner
        step, now = sight.observed.step, self.now()
        plan = decide(sight.observed, self.settings, now=now)
        for action in plan.actions:
            _log.info("%s", _told(action))
            apply_action(action, self.kube, self.coordinators, namespace=namespace, line=sight.line, now=now)
        waits = self._status(step, plan, now=now)
        if waits is not None:
            return waits
        return plan.look_again

    def _status(self, step: Step, plan: Plan, *, now: datetime) -> float | None:
        """Write the status if it changed; return the seconds to wait when it is too early for one of progress only."""
        if plan.status is None or _same(step.status, plan.status):
            return None
        key, clock = (step.namespace, step.name), self.monotonic()
        if not plan.events and (early := self._written.get(key, clock - POLL) + POLL - clock) > 0:
            return early
        apply_status(self.kube, step, plan.status)
        self._written[key] = clock
        for event in plan.events:
            _log.info("%s: %s", event.reason, event.message)
            send_event(self.kube, step, event, now=now)
        return None


def _same(before: ParallelRunStepStatus | None, after: ParallelRunStepStatus) -> bool:
    return before is not None and before.to_dict() == after.to_dict()


def _told(action: object) -> str:
    manifest = getattr(action, "manifest", None)
    if manifest is not None:
        return f"{type(action).__name__} {manifest.kind} {manifest.metadata.name}"
    name = getattr(action, "name", "") or getattr(action, "worker", "")
    return " ".join(filter(None, [type(action).__name__, getattr(action, "kind", ""), name]))
