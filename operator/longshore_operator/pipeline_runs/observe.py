"""Reads all that there is of a PipelineRun: itself, how it was frozen, the resources of its steps, earlier runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus
from longshore_api.status import ParallelRunStepStatus
from longshore_api.task_status import TaskStatus
from longshore_api.validation import label
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.continuations import continuations
from longshore_operator.common.observe import existing, observation, status_of
from longshore_operator.common.pool import is_finished, is_set
from longshore_operator.common.references import AROUND, fetch, owner
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names
from longshore_operator.manifests.pipeline_runs import RUN_ID_KEY, frozen_from
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.children import Child
from longshore_operator.pipeline_runs.decide import ObservedRun, wants_history
from longshore_operator.pipeline_runs.freeze import (
    Draft,
    EarlierRun,
    ResolvedRun,
    complete,
    draft_retry,
    draft_run,
)
from longshore_operator.pipeline_runs.surveys import pod_of_survey
from longshore_operator.settings import Settings
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import EarlierStep, History
from longshore_planner.pipelines.on_cluster import resource_kind
from longshore_planner.pipelines.records import PENDING, RUNNING, SUSPENDED
from longshore_planner.pipelines.status import earlier_steps

_STATUSES: Mapping[str, type[ParallelRunStepStatus | TaskStatus]] = {
    names.STEP_KIND: ParallelRunStepStatus,
    names.SCRIPT_KIND: TaskStatus,
    names.TRANSFER_KIND: TaskStatus,
}


def observe_run(kube: Kube, settings: Settings, *, namespace: str, name: str, now: datetime) -> ObservedRun | None:
    """Read a PipelineRun and all of its resources; None when there is none, or it is being deleted. Raises ApiError."""
    raw = existing(kube, names.RUN_KIND, namespace, name)
    if raw is None:
        return None
    seen = _observed(kube, raw, settings)
    return replace(seen, history=_history(kube, seen)) if wants_history(seen, now=now) else seen


def _observed(kube: Kube, raw: Manifest, settings: Settings) -> ObservedRun:
    fields, spec = observation(raw, PipelineRunStatus), raw.get("spec", {})
    subject, status = fields["subject"], fields["status"]
    namespace, name = subject.namespace, subject.name
    seen = ObservedRun(**fields, pipeline=_pipeline(spec, name, status), options=_options(spec))
    if seen.is_finished:
        return seen
    found = kube.read("ConfigMap", namespace, names.pipeline_run(name))
    if found is not None and owner(found) != subject.uid:
        return replace(seen, foreign=f"ConfigMap {names.pipeline_run(name)}")
    frozen = None if found is None else frozen_from(found)
    if frozen is None or frozen.was_surveyed:
        seen = replace(seen, surveys=tuple(_surveys(kube, subject)))
    if frozen is None:
        rests = seen.control.cancel or seen.control.suspend
        return seen if rests else replace(seen, resolved=_resolve(kube, raw, seen, settings))
    steps = status.steps if status is not None else []
    children = (_child(kube, resource_kind(frozen.pipeline.step(each.name)), each, subject) for each in steps)
    return replace(seen, frozen=frozen, children={each.name: each for each in children if each is not None})


def _resolve(
    kube: Kube, raw: Manifest, seen: ObservedRun, settings: Settings
) -> ResolvedRun | tuple[Problem, ...] | Blocked:
    """Return the run as it would begin now, what is wrong with it, or what it waits for."""
    namespace = seen.subject.namespace
    try:
        draft = _draft(kube, raw, seen, settings)
        if isinstance(draft, Blocked):
            return draft
        found = fetch(kube, namespace, draft.config_maps, draft.secrets | draft.index_secrets)
        return complete(draft, found, seen.surveys)
    except InvalidDocuments as error:
        return tuple(error.problems)


def _draft(kube: Kube, raw: Manifest, seen: ObservedRun, settings: Settings) -> Draft | Blocked:
    subject, spec = seen.subject, raw.get("spec", {})
    namespace = subject.namespace
    if (retries := spec.get("retryOf")) is not None:
        earlier = None if retries == subject.name else _earlier_run(kube, namespace, str(retries))
        everyone = continuations(kube, names.RUN_KIND, namespace)
        return draft_retry(subject, str(retries), earlier, everyone, seen.options, where=label(raw))
    reference = spec.get("pipelineRef")
    pipeline = None if reference is None else kube.read(names.PIPELINE_KIND, namespace, str(reference["name"]))
    around = [each for kind in AROUND for each in kube.list(kind, namespace)]
    return draft_run(subject, raw, pipeline, around, settings)


def _earlier_run(kube: Kube, namespace: str, name: str) -> EarlierRun | None:
    raw = kube.read(names.RUN_KIND, namespace, name)
    if raw is None:
        return None
    frozen = kube.read("ConfigMap", namespace, names.pipeline_run(name))
    if frozen is None or owner(frozen) != raw["metadata"]["uid"]:
        return EarlierRun(is_finished(raw))
    return EarlierRun(
        is_finished(raw), frozen["data"][RUN_ID_KEY], frozen_from(frozen), status_of(PipelineRunStatus, raw)
    )


def _surveys(kube: Kube, run: Subject) -> Iterator[Pod]:
    for raw in kube.list("Pod", run.namespace, names.run_selector(run.name)):
        if owner(raw) == run.uid:
            yield pod_of_survey(raw)


def _history(kube: Kube, seen: ObservedRun) -> History:
    """Return the steps of other runs of the namespace that have succeeded. Raises ApiError."""
    return History(_earlier(kube, seen))


def _earlier(kube: Kube, seen: ObservedRun) -> Iterator[EarlierStep]:
    for raw in kube.list(names.RUN_KIND, seen.subject.namespace):
        status = None if raw["metadata"]["uid"] == seen.subject.uid else status_of(PipelineRunStatus, raw)
        if status is not None and status.run_id is not None:
            yield from earlier_steps(status)


def _options(spec: Mapping[str, Any]) -> Options:
    """Read what counts at any time, whatever the rest of the spec is."""
    return Options(
        continue_on_step_failure=is_set(spec, "continueOnStepFailure"),
        regenerate_outputs=is_set(spec, "regenerateOutputs"),
        cancel=is_set(spec, "cancel"),
        suspend=is_set(spec, "suspend"),
        accept_changed_code=is_set(spec, "acceptChangedCode"),
    )


def _pipeline(spec: Mapping[str, Any], run: str, status: PipelineRunStatus | None) -> str:
    """Return what the run's pipeline is called: a retry learns it when it begins."""
    return str(spec.get("pipelineRef", {}).get("name") or (status.pipeline if status else "") or run)


def _child(kube: Kube, kind: str, step: PipelineStepStatus, run: Subject) -> Child | None:
    """Return the resource of a step's attempt that runs, or rests; None where there is none.

    It is read by its name: to find it by a label, an API server would look through all resources of the namespace.
    """
    rests = step.state == PENDING and (step.attempts > 0 or step.reason == SUSPENDED)
    if step.state != RUNNING and not rests:
        return None
    raw = kube.read(kind, run.namespace, names.child(run.name, step.name, step.attempts + rests))
    if raw is None or owner(raw) != run.uid:
        return None
    spec, metadata = raw.get("spec", {}), raw["metadata"]
    return Child(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        suspends=is_set(spec, "suspend"),
        cancels=is_set(spec, "cancel"),
        leaving="deletionTimestamp" in metadata,
        status=status_of(_STATUSES[kind], raw),
    )
