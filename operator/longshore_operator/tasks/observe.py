"""Reads all that there is of a task. A read that fails raises, and nothing is decided."""

from __future__ import annotations

from dataclasses import replace

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.task_status import TaskStatus
from longshore_api.validation import label
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.environments import observe_environment
from longshore_operator.common.observe import existing, observation
from longshore_operator.common.pool import Holder
from longshore_operator.common.references import (
    documents_around,
    foreign,
    is_of,
    left_to_pipeline_run,
    missing,
    needed_by,
    owner,
    unusable_node,
)
from longshore_operator.common.registering import Registrations, observe_registrations
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names, objects
from longshore_operator.settings import Settings
from longshore_operator.tasks.observed import ObservedTask
from longshore_operator.tasks.pods import task_pod
from longshore_planner.cluster.task_runs import TaskRun, resolve_task_on_cluster
from longshore_planner.registering import origin_of
from longshore_protocol.script_job import SUCCEEDED


def observe_task(kube: Kube, settings: Settings, *, kind: str, namespace: str, name: str) -> ObservedTask | None:
    """Read a task and all of its objects; None when there is no such task, or it is being deleted.

    Raises ApiError.
    """
    raw = existing(kube, kind, namespace, name)
    if raw is None:
        return None
    seen = ObservedTask(**observation(raw, TaskStatus))
    uid = seen.subject.uid
    frozen = kube.read("ConfigMap", namespace, names.task_objects(name))
    pods = [
        each
        for each in kube.list("Pod", namespace, names.task_selector(name))
        if names.task_number(name, each["metadata"]["name"]) is not None
    ]
    seen = replace(
        seen,
        pods=tuple(task_pod(each, step=name) for each in pods if owner(each) == uid),
        foreign=foreign([*([frozen] if frozen is not None and not is_of(frozen, raw) else []), *pods], uid),
    )
    if seen.foreign:
        return seen
    if frozen is None:
        resolved = left_to_pipeline_run(raw) or _resolve(kube, raw, seen, settings)
        seen = replace(seen, resolved=resolved)
    else:
        run = TaskRun.from_json(frozen["data"][objects.RUN_KEY])
        seen = replace(seen, run=replace(run, uid=uid, generation=seen.generation))  # a PipelineRun knew neither
    frozen_run = seen.run or seen.resolved
    if isinstance(frozen_run, TaskRun):
        seen = replace(seen, registrations=_registrations(kube, seen, frozen_run))
        seen = replace(seen, environment=observe_environment(kube, seen.subject, frozen_run.provision))
    if not isinstance(frozen_run, TaskRun) or seen.pod is not None or not frozen_run.provision.node.compute:
        return seen
    compute = frozen_run.provision.node.compute
    return replace(seen, pool=kube.pool(namespace, compute, asking=(Holder(name, kind), 1)))


def _registrations(kube: Kube, seen: ObservedTask, run: TaskRun) -> Registrations:
    result = seen.pod.result if seen.pod is not None else None
    if result is None or result.state != SUCCEEDED or not result.registered or seen.is_finished:
        return Registrations()
    origin = origin_of(
        run.job,
        kind="ScriptStep",
        code=result.code,
        git=result.git,
        environment=run.provision.image,
        resource=run.step,
    )
    return observe_registrations(kube, run.namespace, result.registered, run.job, origin)


def _resolve(
    kube: Kube, raw: Manifest, seen: ObservedTask, settings: Settings
) -> TaskRun | tuple[Problem, ...] | Blocked:
    try:
        run = resolve_task_on_cluster(
            documents_around(kube, raw),
            namespace=seen.subject.namespace,
            uid=seen.subject.uid,
            generation=seen.generation,
            host_paths=settings.host_paths,
            images=settings.default_images,
        )
    except InvalidDocuments as error:
        return tuple(error.problems)
    if problem := unusable_node(run.provision, settings):
        return (problem,)
    script = {"field": "spec.scriptName", "script": run.job.get("script", "")}
    found = needed_by(kube, seen.subject.namespace, run.provision)
    return tuple(missing(run.provision, found, where=label(raw), **script)) or run
