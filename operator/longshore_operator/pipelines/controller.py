"""The controller of Pipelines: whether one could be run, as far as that shows without parameters, and its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore_api.errors import InvalidDocuments
from longshore_api.pipeline import Pipeline
from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.actions import Action, Delete, Plan
from longshore_operator.common.conditions import sentence
from longshore_operator.common.lifecycle import REFUSED_AGAIN
from longshore_operator.common.observe import existing, observation
from longshore_operator.common.pool import is_finished, number
from longshore_operator.common.reasons import INVALID
from longshore_operator.common.references import document
from longshore_operator.common.values import Blocked, Observation
from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject
from longshore_planner.pipelines.check import check
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.status import condition

VALID = "Valid"

PipelinePlan = Plan[ResourceStatus]


@dataclass(frozen=True)
class ObservedPipeline(Observation[ResourceStatus]):
    """All that one reconcile of a Pipeline knows."""

    contents: str  # "3 steps, 2 parameters"
    problem: str = ""  # what is wrong with it
    surplus: tuple[Subject, ...] = ()  # its ended runs beyond what its history limits keep


@dataclass(frozen=True)
class PipelineController:
    """Controller of Pipelines: validates them, and deletes the oldest runs beyond their history limits."""

    kube: Kube

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> ObservedPipeline | None:
        raw = existing(self.kube, kind, namespace, name)
        if raw is None:
            return None
        contents, problem = _examine(raw)
        fields = observation(raw, ResourceStatus)
        return ObservedPipeline(**fields, contents=contents, problem=problem, surplus=_surplus(self.kube, raw))

    def decide(self, seen: ObservedPipeline, *, now: datetime) -> PipelinePlan:
        actions: tuple[Action, ...] = tuple(Delete(each.kind, each.name, each.uid) for each in seen.surplus)
        ready = condition(
            "Ready",
            "False" if seen.problem else "True",
            reason=INVALID if seen.problem else VALID,
            message=seen.problem or seen.contents,
            previous=seen.status,
            generation=seen.generation,
            now=now,
        )
        return Plan(actions, ResourceStatus(observed_generation=seen.generation, conditions=[ready]))

    def refused(self, seen: ObservedPipeline, plan: PipelinePlan, refusal: Blocked, *, now: datetime) -> PipelinePlan:
        return Plan((), plan.status, requeue_after=REFUSED_AGAIN)


def _examine(raw: Manifest) -> tuple[str, str]:
    """Return what is in a Pipeline, and what is wrong with it."""
    try:
        found = document(raw)
    except InvalidDocuments as error:
        return "", sentence(error.problems)
    assert isinstance(found.resource, Pipeline), "the kind determines the model"
    spec = found.resource.spec
    problems = check(PipelineDocument(found.name, found, ("spec",), spec))
    counts = {"step": len(spec.steps), "parameter": len(spec.parameters)}
    text = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
    return text, sentence(problems) if problems else ""


def _surplus(kube: Kube, raw: Manifest) -> tuple[Subject, ...]:
    """Return the ended PipelineRuns of a Pipeline that are more than its history limits keep, the oldest ones.

    One that an active run retries stays.
    """
    spec, namespace, name = raw.get("spec", {}), raw["metadata"]["namespace"], raw["metadata"]["name"]
    limits = {
        "True": number(spec.get("successfulRunsHistoryLimit"), -1),
        "False": number(spec.get("failedRunsHistoryLimit"), -1),
    }
    if all(each < 0 for each in limits.values()):
        return ()
    runs = kube.having(names.RUN_KIND, namespace, "pipeline", name)
    retries = kube.having(names.RUN_KIND, namespace, "retryOf")
    retried = {each["spec"]["retryOf"] for each in retries if not is_finished(each)}
    surplus = []
    for truth, limit in limits.items():
        ended = [each for each in runs if _ended_as(each, truth) and _is_of(each, name)]
        ended.sort(key=lambda each: (each["status"].get("completionTime", ""), each["metadata"]["name"]), reverse=True)
        surplus += [each for each in ended[limit:] if limit >= 0 and each["metadata"]["name"] not in retried]
    return tuple(
        Subject(names.RUN_KIND, namespace, each["metadata"]["name"], each["metadata"]["uid"])
        for each in surplus
        if "deletionTimestamp" not in each["metadata"]
    )


def _is_of(run: Manifest, pipeline: str) -> bool:
    spec = run.get("spec", {})
    if spec.get("retryOf"):
        return bool(run.get("status", {}).get("pipeline") == pipeline)
    return bool(spec.get("pipelineRef", {}).get("name") == pipeline)


def _ended_as(run: Manifest, truth: str) -> bool:
    conditions = run.get("status", {}).get("conditions", [])
    return is_finished(run) and any((each["type"], each["status"]) == ("Succeeded", truth) for each in conditions)
