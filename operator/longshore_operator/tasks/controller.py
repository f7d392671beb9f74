"""The controller of tasks: of ScriptSteps and TransferSteps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore_operator.cluster.api import Kube
from longshore_operator.common.lifecycle import after_refusal
from longshore_operator.common.values import Blocked
from longshore_operator.settings import Settings
from longshore_operator.tasks.decide import TaskPlan, decide_task
from longshore_operator.tasks.observe import observe_task
from longshore_operator.tasks.observed import ObservedTask


@dataclass(frozen=True)
class TaskController:
    """Runs a task in one pod, until that leaves a result."""

    kube: Kube
    settings: Settings

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> ObservedTask | None:
        return observe_task(self.kube, self.settings, kind=kind, namespace=namespace, name=name)

    def decide(self, seen: ObservedTask, *, now: datetime) -> TaskPlan:
        return decide_task(seen, self.settings, now=now)

    def refused(self, seen: ObservedTask, plan: TaskPlan, refusal: Blocked, *, now: datetime) -> TaskPlan:
        return after_refusal(plan, seen.status, refusal, now=now)
