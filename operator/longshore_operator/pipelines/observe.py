"""Reads a Pipeline, and which of its runs are more than it wants to be kept."""

from __future__ import annotations

from longshore_api.errors import InvalidDocuments
from longshore_api.pipeline import Pipeline
from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.conditions import sentence
from longshore_operator.common.pool import is_finished, number
from longshore_operator.common.references import document, status_of
from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipelines.decide import Template
from longshore_planner.pipelines.check import check
from longshore_planner.pipelines.template import Template as Written


def observe_template(kube: Kube, *, namespace: str, name: str) -> Template | None:
    """Read a Pipeline; None when there is none, or it is being deleted. Raises ApiError."""
    raw = kube.read(names.PIPELINE_KIND, namespace, name)
    if raw is None or "deletionTimestamp" in raw["metadata"]:
        return None
    contents, problem = _looked_at(raw)
    return Template(
        subject=Subject(names.PIPELINE_KIND, namespace, name, raw["metadata"]["uid"]),
        generation=raw["metadata"].get("generation", 1),
        status=status_of(ResourceStatus, raw),
        contents=contents,
        problem=problem,
        surplus=_surplus(kube, raw),
    )


def _looked_at(raw: Manifest) -> tuple[str, str]:
    """Return what is in a Pipeline, and what is wrong with it."""
    try:
        found = document(raw)
    except InvalidDocuments as error:
        return "", sentence(error.problems)
    assert isinstance(found.resource, Pipeline), "its kind says so"
    spec = found.resource.spec
    problems = check(Written(found.name, found, ("spec",), spec))
    counts = {"step": len(spec.steps), "parameter": len(spec.parameters)}
    told = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
    return told, sentence(problems) if problems else ""


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
    runs = kube.list(names.RUN_KIND, namespace, cached=True)
    retried = {each.get("spec", {}).get("retryOf") for each in runs if not is_finished(each)}
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
