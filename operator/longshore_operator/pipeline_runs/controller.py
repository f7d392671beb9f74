"""The controller of PipelineRuns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore_operator.cluster.api import Kube
from longshore_operator.common.values import Blocked
from longshore_operator.pipeline_runs.decide import ObservedRun, RunPlan, decide_run, refused
from longshore_operator.pipeline_runs.observe import observe_run
from longshore_operator.settings import Settings


@dataclass(frozen=True)
class RunController:
    """Runs the steps of a pipeline, each as a resource of its own."""

    kube: Kube
    settings: Settings

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> ObservedRun | None:
        return observe_run(self.kube, self.settings, namespace=namespace, name=name, now=now)

    def decide(self, seen: ObservedRun, *, now: datetime) -> RunPlan:
        return decide_run(seen, self.settings, now=now)

    def refused(self, seen: ObservedRun, plan: RunPlan, refusal: Blocked, *, now: datetime) -> RunPlan:
        return refused(seen, plan, refusal, now=now)
