"""The controller of ParallelRunSteps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore_operator.cluster.api import Kube
from longshore_operator.cluster.coordinators import Coordinators
from longshore_operator.common.lifecycle import after_refusal
from longshore_operator.common.values import Blocked
from longshore_operator.settings import Settings
from longshore_operator.steps.decide import StepPlan, decide
from longshore_operator.steps.observe import observe
from longshore_operator.steps.observed import ObservedStep


@dataclass(frozen=True)
class StepController:
    """Runs a step: a coordinator and workers, until the coordinator's verdict."""

    kube: Kube
    coordinators: Coordinators
    settings: Settings

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> ObservedStep | None:
        return observe(self.kube, self.coordinators, self.settings, namespace=namespace, name=name)

    def decide(self, seen: ObservedStep, *, now: datetime) -> StepPlan:
        return decide(seen, self.settings, now=now)

    def refused(self, seen: ObservedStep, plan: StepPlan, refusal: Blocked, *, now: datetime) -> StepPlan:
        return after_refusal(plan, seen.status, refusal, now=now)
