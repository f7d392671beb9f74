"""Reads all that there is of a step. A read that fails raises, and nothing is decided."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.status import ParallelRunStepStatus
from longshore_api.validation import label
from longshore_client import api
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.cluster.coordinators import CoordinatorError, Coordinators, Endpoint
from longshore_operator.common.continuations import continuations
from longshore_operator.common.environments import observe_environment
from longshore_operator.common.observe import existing, observation
from longshore_operator.common.pods import observed_pod
from longshore_operator.common.pool import Holder, Pool, is_finished
from longshore_operator.common.references import (
    Found,
    digests_of,
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
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names, objects
from longshore_operator.settings import Settings
from longshore_operator.steps.observed import ObservedStep, Unreachable
from longshore_operator.steps.resume import EarlierStep, check_same_folder, run_to_resume
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import ClusterRun, resolve_on_cluster
from longshore_planner.registering import origin_of
from longshore_protocol.snapshot import SUCCEEDED

_PARSED_RUNS = 2048  # kept, of some 20 KiB each: reading one takes a fifth of a reconcile, and it never changes
_SECRET_AGE = 30.0  # seconds until a Secret is read again while a coordinator or a pod is failing


def observe(
    kube: Kube, coordinators: Coordinators, settings: Settings, *, namespace: str, name: str
) -> ObservedStep | None:
    """Read a step and all of its objects; None when there is no such step, or it is being deleted.

    The end of a worker's pod counts once the coordinator was asked after it: it knows what ended the worker. Raises
    ApiError; AnswerPending when the coordinator has not answered yet.
    """
    raw = existing(kube, names.STEP_KIND, namespace, name)
    if raw is None:
        return None
    seen = _observed(raw)
    uid = seen.subject.uid
    beside = {
        "ConfigMap": kube.read("ConfigMap", namespace, names.run_objects(name)),
        "Service": kube.read("Service", namespace, names.coordinator(name)),
        "NetworkPolicy": kube.read("NetworkPolicy", namespace, names.run_objects(name)),
    }
    secret = kube.read("Secret", namespace, names.run_objects(name)) if _may_have_secret(raw, beside) else None
    beside = {"Secret": secret, **beside}  # first, so that it is deleted first
    found = kube.list("Pod", namespace, names.selector(name))
    frozen_map = beside["ConfigMap"]
    is_ours = frozen_map is not None and is_of(frozen_map, raw)
    others = [each for kind, each in beside.items() if each is not None and not (kind == "ConfigMap" and is_ours)]
    strange = foreign([*others, *_named_as_ours(found, name)], uid)
    pods = [each for each in found if owner(each) == uid]
    run = None
    if not strange and frozen_map is not None:
        run = _frozen_run(frozen_map["data"][objects.RUN_KEY])
        run = replace(run, uid=uid, generation=seen.generation)  # a PipelineRun did not know them
    resolved = None
    if run is None and not strange:
        resolved = left_to_pipeline_run(raw) or _resolve(kube, raw, seen, settings)
    endpoint = None if strange or is_finished(raw) else _endpoint(secret, pods, seen)
    seen = replace(seen, pods=tuple(_pod(each, step=name) for each in pods), endpoint=endpoint)
    if endpoint is not None:
        seen = _ask(coordinators, endpoint, seen)
    if secret is not None and (isinstance(seen.progress, Unreachable) or any(each.blocked for each in seen.pods)):
        beside["Secret"] = kube.fetch("Secret", namespace, names.run_objects(name), max_age=_SECRET_AGE)
    frozen = run or resolved
    seen = replace(
        seen,
        run=run,
        resolved=resolved,
        objects={
            kind: each["metadata"]["uid"]
            for kind, each in beside.items()
            if kind != "ConfigMap" and each is not None and owner(each) == uid
        },
        foreign=strange,
        **(_shared_with_others(kube, seen, frozen, pods) if isinstance(frozen, ClusterRun) else {}),
    )
    return replace(seen, registrations=_registrations(kube, seen))


def _registrations(kube: Kube, seen: ObservedStep) -> Registrations:
    last, run = seen.verdict, seen.run
    if last is None or run is None or last.state != SUCCEEDED or not last.registered or seen.is_finished:
        return Registrations()
    job = asdict(run.job)
    origin = origin_of(job, kind="ParallelRunStep", code=last.code, environment=run.provision.image, resource=run.step)
    return observe_registrations(kube, run.namespace, last.registered, job, origin, attempt=last.epoch)


def _may_have_secret(raw: Manifest, beside: Mapping[str, Manifest | None]) -> bool:
    """Return whether to read the run's Secret: once a step has ended, it is deleted before the other objects."""
    if is_finished(raw):
        return bool(beside["Service"] or beside["NetworkPolicy"])
    return beside["ConfigMap"] is not None


@lru_cache(maxsize=_PARSED_RUNS)
def _frozen_run(text: str) -> ClusterRun:
    return ClusterRun.from_json(text)


def _pod(raw: Manifest, *, step: str) -> Pod:
    return observed_pod(raw, index=names.worker_index(step, raw["metadata"]["name"]))


def _named_as_ours(pods: Iterable[Manifest], step: str) -> Iterator[Manifest]:
    for each in pods:  # a debugging copy of a pod has Longshore's labels, but is no obstacle
        name = each["metadata"]["name"]
        if name == names.coordinator(step) or names.worker_index(step, name) is not None:
            yield each


def _endpoint(secret: Manifest | None, pods: Iterable[Manifest], step: ObservedStep) -> Endpoint | None:
    coordinator = next((each for each in pods if each["metadata"]["name"] == names.coordinator(step.name)), None)
    if secret is None or coordinator is None:
        return None
    status = coordinator.get("status", {})
    if status.get("phase") != "Running" or not status.get("podIP"):
        return None
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    namespace = step.subject.namespace
    host = f"[{status['podIP']}]" if ":" in status["podIP"] else status["podIP"]  # no name server is needed
    http = api.Endpoint(
        f"https://{host}:{names.PORT}",
        data[objects.TOKEN],
        data[objects.AUTHORITY],
        names.host(step.name, namespace),
    )
    return Endpoint(namespace, step.name, http)


def _shared_with_others(kube: Kube, seen: ObservedStep, run: ClusterRun, pods: list[Manifest]) -> dict[str, Any]:
    """Return the fields of what a run shares with others: its environment, and the nodes of its ComputeCluster."""
    environment = observe_environment(kube, seen.subject, run.provision)
    return {"environment": environment, "pool": _pool(kube, run, pods)}


def _pool(kube: Kube, run: ClusterRun, pods: list[Manifest]) -> Pool | None:
    """Return the nodes that the step shares with others, if it shares some and has fewer than it may want."""
    compute = run.provision.node.compute
    if not compute or sum(names.worker_index(run.step, each["metadata"]["name"]) is not None for each in pods) >= (
        run.job.workers
    ):
        return None
    return kube.pool(run.namespace, compute, asking=(Holder(run.step), run.job.workers))


def _ask(coordinators: Coordinators, endpoint: Endpoint, seen: ObservedStep) -> ObservedStep:
    """Add the latest snapshot; leave out the ends of pods that came after it. Raises AnswerPending."""
    ended = frozenset(each.uid for each in seen.pods if each.is_finished)
    try:
        polled = coordinators.snapshot(endpoint, generation=seen.generation, ended=ended)
    except CoordinatorError as error:
        return replace(seen, progress=Unreachable(str(error)))
    later = ended - polled.ended
    pods = tuple(replace(each, phase="Running") if each.uid in later else each for each in seen.pods)
    return replace(seen, progress=polled.snapshot, pods=pods)


def _resolve(
    kube: Kube, raw: Manifest, step: ObservedStep, settings: Settings
) -> ClusterRun | tuple[Problem, ...] | Blocked:
    where, resumed, namespace = label(raw), raw.get("spec", {}).get("resumeFrom"), step.subject.namespace
    try:
        earlier = None if resumed is None else _run_to_resume(kube, step, str(resumed), where=where)
        if isinstance(earlier, Blocked):
            return earlier
        run = resolve_on_cluster(
            documents_around(kube, raw),
            namespace=namespace,
            uid=step.subject.uid,
            generation=step.generation,
            host_paths=settings.host_paths,
            images=settings.default_images,
            resumed=None if earlier is None else earlier.job.run_id,
        )
        if earlier is not None:
            check_same_folder(run, earlier, str(resumed), where=where)
    except InvalidDocuments as error:
        return tuple(error.problems)
    if problem := unusable_node(run.provision, settings):
        return (problem,)
    script = {"field": "spec.entryScript", "script": run.job.entry_script}
    found = needed_by(kube, namespace, run.provision)
    problems = tuple(missing(run.provision, found, where=where, **script))
    return problems or replace(run, job=replace(run.job, code=_code(run.provision, found)))


def _code(provision: PodRequirements, found: Found) -> dict[str, str]:
    """Return the digests of the files of a source that is a ConfigMap; {} for any other."""
    return {} if provision.config_map is None else digests_of(found.config_maps[provision.config_map])


def _run_to_resume(kube: Kube, step: ObservedStep, resumed: str, *, where: str) -> ClusterRun | Blocked:
    namespace = step.subject.namespace
    earlier = None if resumed == step.name else _earlier_step(kube, namespace, resumed)
    everyone = continuations(kube, names.STEP_KIND, namespace)
    return run_to_resume(step.name, resumed, earlier, everyone, where=where)


def _earlier_step(kube: Kube, namespace: str, name: str) -> EarlierStep | None:
    raw = kube.read(names.STEP_KIND, namespace, name)
    if raw is None:
        return None
    frozen = kube.read("ConfigMap", namespace, names.run_objects(name))
    is_ours = frozen is not None and is_of(frozen, raw)
    run = ClusterRun.from_json(frozen["data"][objects.RUN_KEY]) if is_ours and frozen is not None else None
    return EarlierStep(name, is_finished(raw), run)


def _observed(raw: Manifest) -> ObservedStep:
    return ObservedStep(**observation(raw, ParallelRunStepStatus))
