"""Reads all that there is of a step. A read that fails raises, and nothing is decided."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_api.status import ParallelRunStepStatus
from longshore_api.validation import label, parse
from longshore_api.values import INT_MAX
from longshore_operator.build import names, objects, placement
from longshore_operator.coordinator_client import CoordinatorError, Coordinators, Line
from longshore_operator.kube import Kube, Manifest
from longshore_operator.plan.observed import Control, Observed, Step, Trouble, Unreachable
from longshore_operator.plan.pods import pod
from longshore_operator.plan.slots import Pool, is_set, number
from longshore_operator.plan.slots import pool as pool_of
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.cluster import ClusterRun, resolve_on_cluster
from longshore_planner.ground import shown
from longshore_protocol.snapshot import Snapshot

AROUND = ("Dataset", "Datastore", "Environment", "Model", "ComputeCluster")
_RESUME = "spec.resumeFrom"
_METADATA = ("name", "namespace", "labels", "annotations")  # of an object's metadata, what its author wrote


@dataclass(frozen=True)
class Sight:
    """What was observed, and how the coordinator can be told something."""

    observed: Observed
    line: Line | None = None


def observe(kube: Kube, coordinators: Coordinators, settings: Settings, *, namespace: str, name: str) -> Sight | None:
    """Read a step and all of its objects; None when there is no such step, or it is being deleted.

    Raises kube.Trouble. Pods are read before their coordinator is asked: it knows what ended them.
    """
    raw = kube.read(names.STEP_KIND, namespace, name)
    if raw is None or "deletionTimestamp" in raw["metadata"]:
        return None
    step = _step(raw)
    beside = {
        "ConfigMap": kube.read("ConfigMap", namespace, names.run_objects(name)),
        "Secret": kube.read("Secret", namespace, names.run_objects(name)),
        "Service": kube.read("Service", namespace, names.coordinator(name)),
        "NetworkPolicy": kube.read("NetworkPolicy", namespace, names.run_objects(name)),
    }
    found = kube.list("Pod", namespace, names.selector(name))
    foreign = _foreign([*filter(None, beside.values()), *_named_as_ours(found, name)], step.uid)
    pods = [each for each in found if owner(each) == step.uid]
    run = None
    if not foreign and beside["ConfigMap"] is not None:
        run = ClusterRun.from_json(beside["ConfigMap"]["data"][objects.RUN_KEY])
    resolved = None
    if run is None and not foreign:
        resolved = _resolve(kube, raw, step, settings)
    line = None if foreign else _line(beside["Secret"], pods, step)
    settled = run or resolved
    seen = Observed(
        step=step,
        run=run,
        resolved=resolved,
        objects={
            kind: each["metadata"]["uid"]
            for kind, each in beside.items()
            if kind != "ConfigMap" and each is not None and owner(each) == step.uid
        },
        pods=tuple(pod(each, step=name) for each in pods),
        foreign=foreign,
        progress=None if line is None else _ask(coordinators, line),
        pool=_pool(kube, settled, pods) if isinstance(settled, ClusterRun) else None,
    )
    return Sight(seen, line)


def _step(raw: Manifest) -> Step:
    metadata = raw["metadata"]
    try:
        status = ParallelRunStepStatus.model_validate(raw["status"]) if raw.get("status") else None
    except ValidationError:
        status = None  # of another version: made anew
    return Step(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        status=status,
        control=_control(raw.get("spec", {})),
    )


def _control(spec: Mapping[str, Any]) -> Control:
    """Read what counts at any time, whatever the rest of the spec is: the schema has seen to the types.

    It has not seen to numbers in strings: one that is out of range deletes nothing.
    """
    ttl = number(spec.get("ttlSecondsAfterFinished"), -1)
    return Control(
        suspend=is_set(spec, "suspend"),
        cancel=is_set(spec, "cancel"),
        ttl_seconds=ttl if 0 <= ttl <= INT_MAX else None,
    )


def owner(raw: Mapping[str, Manifest]) -> str:
    """Return the uid of the resource that an object goes with; "" when there is none."""
    owners = raw["metadata"].get("ownerReferences", [])
    return next((str(each["uid"]) for each in owners if each.get("controller")), "")


def _named_as_ours(pods: Iterable[Manifest], step: str) -> Iterator[Manifest]:
    for each in pods:  # a copy of a pod that somebody made to look into it has our labels, and is not in our way
        name = each["metadata"]["name"]
        if name == names.coordinator(step) or names.worker_index(step, name) is not None:
            yield each


def _foreign(found: Iterable[Manifest], uid: str) -> str:
    """Return the first object that has one of our names and another owner: an earlier step of this name, or nobody."""
    for each in found:
        if owner(each) != uid:
            return f"{each.get('kind', 'object')} {each['metadata']['name']}"
    return ""


def _line(secret: Manifest | None, pods: Iterable[Manifest], step: Step) -> Line | None:
    coordinator = next((each for each in pods if each["metadata"]["name"] == names.coordinator(step.name)), None)
    if secret is None or coordinator is None:
        return None
    status = coordinator.get("status", {})
    if status.get("phase") != "Running" or not status.get("podIP"):
        return None
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    host = names.host(step.name, step.namespace)
    return Line(status["podIP"], names.PORT, host, authority=data[objects.AUTHORITY], token=data[objects.TOKEN])


def _pool(kube: Kube, run: ClusterRun, pods: list[Manifest]) -> Pool | None:
    """Return the nodes that the step shares with others, if it shares some and has fewer than it may want."""
    compute = run.provision.node.compute
    if not compute or sum(names.worker_index(run.step, each["metadata"]["name"]) is not None for each in pods) >= (
        run.job.workers
    ):
        return None
    cluster = kube.read(names.COMPUTE_KIND, run.namespace, compute)
    workers = kube.list("Pod", run.namespace, names.compute_selector(compute, names.WORKER))
    steps = kube.list(names.STEP_KIND, run.namespace)
    return pool_of(compute, cluster, steps, workers, asking=(run.step, run.job.workers))


def _ask(coordinators: Coordinators, line: Line) -> Snapshot | Unreachable:
    try:
        return coordinators.snapshot(line)
    except CoordinatorError as error:
        return Unreachable(str(error))


def _resolve(kube: Kube, raw: Manifest, step: Step, settings: Settings) -> ClusterRun | tuple[Problem, ...] | Trouble:
    where, resumed = label(raw), raw.get("spec", {}).get("resumeFrom")
    try:
        earlier = None if resumed is None else _earlier_run(kube, step, str(resumed), where=where)
        if isinstance(earlier, Trouble):
            return earlier
        around = [each for kind in AROUND for each in kube.list(kind, step.namespace)]
        run = resolve_on_cluster(
            _documents(raw, around),
            namespace=step.namespace,
            uid=step.uid,
            generation=step.generation,
            host_paths=settings.host_paths,
            resumed=None if earlier is None else earlier.job.run_id,
        )
    except InvalidDocuments as error:
        return tuple(error.problems)
    if node_problem := placement.unreadable(run.provision.node, settings):
        return (
            Problem(
                f"{names.COMPUTE_KIND}/{run.provision.node.compute}",
                "spec.podTemplate.spec",
                f"is wrong: {node_problem}",
            ),
        )
    if earlier is not None and earlier.job.run_uri != run.job.run_uri:
        text = f"is {resumed!r}, whose run is in another Datastore: {shown(earlier.job.run_uri)}"
        return (Problem(where, _RESUME, text),)
    return tuple(_missing(kube, run, where=where)) or run


def _earlier_run(kube: Kube, step: Step, name: str, *, where: str) -> ClusterRun | Trouble:
    """Return the run to go on with. Raises InvalidDocuments when there is none."""
    earlier = None if name == step.name else kube.read(names.STEP_KIND, step.namespace, name)
    if earlier is None:
        raise InvalidDocuments(
            [Problem(where, _RESUME, f"is {name!r}: there is no other ParallelRunStep of that name")]
        )
    status = _step(earlier).status
    finished = status.condition("Finished") if status else None
    if finished is None or finished.status != "True":
        return Trouble("WaitingForStep", f"waiting for {name} to end, whose run this step resumes")
    settled = kube.read("ConfigMap", step.namespace, names.run_objects(name))
    if settled is None or owner(settled) != earlier["metadata"]["uid"]:
        raise InvalidDocuments([Problem(where, _RESUME, f"is {name!r}, which never began: there is nothing to resume")])
    run = ClusterRun.from_json(settled["data"][objects.RUN_KEY])
    rival = _rival(kube, step, name, run.job.run_id)
    return Trouble("WaitingForStep", f"waiting for {rival} to end, which resumes the same run") if rival else run


def _rival(kube: Kube, step: Step, resumed: str, run_id: str) -> str:
    """Return the step that goes on with the same run before this one may; "" when there is none.

    Two coordinators in one run folder would displace each other for ever.
    """
    steps = {each["metadata"]["name"]: each for each in kube.list(names.STEP_KIND, step.namespace)}
    of_run = {resumed, *(name for name, each in steps.items() if each.get("status", {}).get("runId") == run_id)}
    rivals = [_step(each) for each in steps.values() if each.get("spec", {}).get("resumeFrom") in of_run]
    for rival in sorted(rivals, key=_age):
        finished = rival.status.condition("Finished") if rival.status else None
        if rival.uid == step.uid or (finished is not None and finished.status == "True"):
            continue
        if _age(rival) < _age(step) or kube.read("ConfigMap", step.namespace, names.run_objects(rival.name)):
            return rival.name
    return ""


def _age(step: Step) -> tuple[datetime, str]:
    return step.created, step.name


def _missing(kube: Kube, run: ClusterRun, *, where: str) -> Iterator[Problem]:
    """Yield what the run's pods would wait for in vain."""
    if run.provision.config_map is not None:
        source = kube.read("ConfigMap", run.namespace, run.provision.config_map)
        script = run.job.entry_script
        if source is None:
            yield Problem(
                where, "spec.source.configMap", f"is {run.provision.config_map!r}: there is no such ConfigMap"
            )
        elif script not in {**source.get("data", {}), **source.get("binaryData", {})}:
            yield Problem(
                where, "spec.entryScript", f"is {script!r}: ConfigMap {run.provision.config_map} has no such key"
            )
    for name in run.provision.secrets:
        if kube.read("Secret", run.namespace, name) is None:
            yield Problem(where, "", f"a Datastore's spec.secretRef.name is {name!r}: there is no such Secret")


def _documents(raw: Manifest, around: Iterable[Manifest]) -> Documents:
    """Return the step and what it may refer to. Raises InvalidDocuments for what it does refer to and is not valid."""
    step = document(raw)
    assert isinstance(step.resource, ParallelRunStep), "its kind says so"
    spec = step.resource.spec
    referred = {("Dataset", each.dataset) for each in spec.inputs if each.dataset}
    referred |= {("Environment", spec.environment.name)} if spec.environment else set()
    referred |= {("ComputeCluster", spec.compute_target)} if spec.compute_target else set()
    documents: list[Document[Resource]] = [step]
    for each in around:
        is_open = each["kind"] in ("Datastore", "Model")  # by default, or by their names for scripts
        if not is_open and (each["kind"], each["metadata"]["name"]) not in referred:
            continue
        try:
            documents.append(document(each))
        except InvalidDocuments:
            if not is_open:
                raise
    return gather(documents)


def document(raw: Manifest) -> Document[Resource]:
    """Return a custom resource as a document of the planner. Raises InvalidDocuments."""
    written = {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "metadata": {key: value for key, value in raw["metadata"].items() if key in _METADATA},
        "spec": raw.get("spec", {}),
    }
    return Document(label(raw), "/", parse(written))
