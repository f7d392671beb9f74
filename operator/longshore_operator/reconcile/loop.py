"""One reconcile of one resource: observe, plan, apply, status once, events. The same call, whatever happened."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Kube, Refused, Taken
from longshore_operator.cluster.coordinators import Coordinators, Endpoint
from longshore_operator.common.actions import Action, Plan
from longshore_operator.common.conditions import blocked_by_name, blocked_by_refusal
from longshore_operator.common.lifecycle import POLL, after_refusal
from longshore_operator.common.values import Blocked
from longshore_operator.compute_clusters.decide import after_refusal_of_nodes, decide_nodes
from longshore_operator.compute_clusters.observe import observe_nodes
from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.decide import after_refusal_of_run, decide_run, refused_to_begin, wants_history
from longshore_operator.pipeline_runs.observe import history, observe_run
from longshore_operator.pipelines.decide import decide_template
from longshore_operator.pipelines.observe import observe_template
from longshore_operator.reconcile.apply import Hands, apply_action, apply_status, send_event
from longshore_operator.reconcile.locks import Locks
from longshore_operator.settings import Settings
from longshore_operator.steps.decide import decide
from longshore_operator.steps.observe import observe
from longshore_operator.tasks.decide import decide_task
from longshore_operator.tasks.observe import observe_task

_log = logging.getLogger("longshore.operator")

S = TypeVar("S", bound=ResourceStatus)

_RESYNC = 60.0  # seconds between looks at a ComputeCluster of which nothing is heard


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass
class Reconciler:
    """Reconciles resources of all kinds that have something to do.

    What it remembers only spares the API server writes; nothing depends on it. `locks` hold for one process: two
    operators at a time could give a ComputeCluster more nodes than it may have.
    """

    kube: Kube
    coordinators: Coordinators
    settings: Settings
    now: Callable[[], datetime] = _utc
    monotonic: Callable[[], float] = time.monotonic
    locks: Locks = field(default_factory=Locks)
    _troubles: dict[tuple[str, str, str], Blocked] = field(default_factory=dict)  # what a run's status keeps saying
    _written: dict[tuple[str, str, str], float] = field(default_factory=dict)  # when each one's status was

    def reconcile(self, kind: str, namespace: str, name: str) -> float | None:
        """Bring one resource further; return the seconds until it wants to be looked at again, None: when it changes.

        Raises ApiError when the API does not do something: then it is to be called again, later.
        """
        kinds: Mapping[str, Callable[[str, str], float | None]] = {
            names.STEP_KIND: self._step,
            names.SCRIPT_KIND: partial(self._task, names.SCRIPT_KIND),
            names.TRANSFER_KIND: partial(self._task, names.TRANSFER_KIND),
            names.COMPUTE_KIND: self._nodes,
            names.RUN_KIND: self._run,
            names.PIPELINE_KIND: self._pipeline,
        }
        return kinds[kind](namespace, name)

    def _step(self, namespace: str, name: str) -> float | None:
        sight = observe(self.kube, self.coordinators, self.settings, namespace=namespace, name=name)
        if sight is None:
            self._written.pop((names.STEP_KIND, namespace, name), None)
            return None  # its objects go with it: they name it as their owner
        step, now = sight.observed.step, self.now()
        plan = decide(sight.observed, self.settings, now=now)
        try:
            self._act(step.subject, plan.actions, endpoint=sight.endpoint, now=now)
        except (Refused, Taken) as error:
            plan = after_refusal(plan, step.status, _blocked(error), now=now)
        return self._tell(step.subject, plan, before=step.status, now=now)

    def _task(self, kind: str, namespace: str, name: str) -> float | None:
        seen = observe_task(self.kube, self.settings, kind=kind, namespace=namespace, name=name)
        if seen is None:
            self._written.pop((kind, namespace, name), None)
            return None  # its objects go with it: they name it as their owner
        task, now = seen.task, self.now()
        plan = decide_task(seen, self.settings, now=now)
        try:
            self._act(task.subject, plan.actions, endpoint=None, now=now)
        except (Refused, Taken) as error:
            plan = after_refusal(plan, task.status, _blocked(error), now=now)
        return self._tell(task.subject, plan, before=task.status, now=now)

    def _nodes(self, namespace: str, name: str) -> float | None:
        seen = observe_nodes(self.kube, self.settings, namespace=namespace, name=name)
        if seen is None:
            self._written.pop((names.COMPUTE_KIND, namespace, name), None)
            return None  # its objects go with it: they name it as their owner
        now = self.now()
        plan = decide_nodes(seen, self.settings, now=now)
        try:
            self._act(seen.subject, plan.actions, endpoint=None, now=now)
        except (Refused, Taken) as error:
            plan = after_refusal_of_nodes(seen, plan, _blocked(error), now=now)
        again = self._tell(seen.subject, plan, before=seen.status, now=now)
        # Who claims nodes may have been a moment old, and no further event may come.
        return _RESYNC if again is None else min(again, _RESYNC)

    def _run(self, namespace: str, name: str) -> float | None:
        key = (names.RUN_KIND, namespace, name)
        blocked = self._troubles.get(key)
        seen = observe_run(self.kube, self.settings, namespace=namespace, name=name, blocked=blocked)
        if seen is None:
            self._written.pop(key, None)
            self._troubles.pop(key, None)
            return None
        now = self.now()
        if wants_history(seen, now=now):
            seen = replace(seen, history=history(self.kube, seen))
        plan = decide_run(seen, self.settings, now=now)
        try:
            self._act(seen.subject, plan.actions, endpoint=None, now=now)
        except (Refused, Taken) as error:
            plan = refused_to_begin(seen, plan, _blocked(error), now=now)
            return self._tell(seen.subject, plan, before=seen.status, now=now)
        again = self._tell(seen.subject, plan, before=seen.status, now=now)
        try:
            self._act(seen.subject, plan.after, endpoint=None, now=now)
        except (Refused, Taken) as error:
            self._troubles[key] = _blocked(error)
            refused = after_refusal_of_run(seen, plan, self._troubles[key], now=now)
            return self._tell(seen.subject, refused, before=plan.status, now=now)
        return 0.0 if self._troubles.pop(key, None) is not None else again

    def _pipeline(self, namespace: str, name: str) -> float | None:
        seen = observe_template(self.kube, namespace=namespace, name=name)
        if seen is None:
            self._written.pop((names.PIPELINE_KIND, namespace, name), None)
            return None
        now = self.now()
        plan = decide_template(seen, now=now)
        self._act(seen.subject, plan.actions, endpoint=None, now=now)
        return self._tell(seen.subject, plan, before=seen.status, now=now)

    def _act(self, subject: Subject, actions: tuple[Action, ...], *, endpoint: Endpoint | None, now: datetime) -> None:
        hands = Hands(self.kube, self.coordinators, self.locks)
        for action in actions:
            _log.info("%s", _told(action))
            apply_action(action, hands, namespace=subject.namespace, endpoint=endpoint, now=now)

    def _tell(self, subject: Subject, plan: Plan[S], *, before: S | None, now: datetime) -> float | None:
        """Write the status if it changed, and the events; return the seconds until the next look.

        A status of progress only is too early sometimes: then it is written at the next look.
        """
        if plan.status is None or _same(before, plan.status):
            return plan.requeue_after
        key, clock = (subject.kind, subject.namespace, subject.name), self.monotonic()
        if not plan.events and not plan.after and (early := self._written.get(key, clock - POLL) + POLL - clock) > 0:
            return early
        apply_status(self.kube, subject, plan.status)
        self._written[key] = clock
        for event in plan.events:
            _log.info("%s: %s", event.reason, event.message)
            send_event(self.kube, subject, event, now=now)
        return plan.requeue_after


def _blocked(error: Refused | Taken) -> Blocked:
    _log.warning("the API server refused it: %s", error)
    return blocked_by_name(str(error)) if isinstance(error, Taken) else blocked_by_refusal(str(error))


def _same(before: ResourceStatus | None, after: ResourceStatus) -> bool:
    return before is not None and before.to_dict() == after.to_dict()


def _told(action: object) -> str:
    manifests = [each for each in (getattr(action, "manifest", None), *getattr(action, "pods", ())) if each is not None]
    if manifests:
        made = ", ".join(f"{each.kind} {each.metadata.name}" for each in manifests)
        return f"{type(action).__name__} {made}"
    name = getattr(action, "name", "") or getattr(action, "worker", "")
    return " ".join(filter(None, [type(action).__name__, getattr(action, "kind", ""), name]))
