"""Carries plans out: each action is safe to repeat, so one that was cut short is simply planned anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Conflict, Kube, Manifest, NotFound
from longshore_operator.cluster.coordinators import CoordinatorError, Coordinators, Endpoint
from longshore_operator.common.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Event,
    Issue,
    Occupy,
    Resume,
    TellGone,
)
from longshore_operator.common.pool import is_finished, nodes_among
from longshore_operator.manifests import names, objects
from longshore_operator.manifests.credentials import issue
from longshore_operator.manifests.objects import body
from longshore_operator.manifests.subject import Subject
from longshore_operator.reconcile.apply_runs import apply_run_action
from longshore_operator.reconcile.locks import Locks
from longshore_planner.cluster import ClusterRun


@dataclass(frozen=True)
class Hands:
    """What actions are carried out with."""

    kube: Kube
    coordinators: Coordinators
    locks: Locks = field(default_factory=Locks)


def apply_action(action: Action, hands: Hands, *, namespace: str, endpoint: Endpoint | None, now: datetime) -> None:
    """Carry out one action. Raises ApiError."""
    kube = hands.kube
    match action:
        case Create(manifest):
            kube.create(body(manifest))
        case Resume(run):
            with hands.locks.of("run", namespace, run.job.run_id):
                if rival := resumed_by(kube, run.job.run_id, namespace=namespace, step=run.step):
                    raise Conflict(f"run {run.job.run_id} is resumed by {rival}")
                kube.create(body(objects.config_map(run)))
        case Occupy(compute, max_nodes, pods):
            with hands.locks.of(names.COMPUTE_KIND, namespace, compute):
                taken = len(nodes_among(kube.list("Pod", namespace, names.compute_selector(compute, names.WORKER))))
                for pod in pods[: max(0, max_nodes - taken)]:
                    kube.create(body(pod))
        case Issue(run):
            kube.create(body(objects.secret(run, _contents(run, now=now))))
        case Delete(kind, name, uid, at_once):
            kube.delete(kind, namespace, name, uid, at_once=at_once)
        case TellGone(worker):
            _tell(hands.coordinators.gone, endpoint, worker)
        case Drain(worker):
            _tell(hands.coordinators.drain, endpoint, worker)
        case _:
            apply_run_action(action, kube, hands.locks, namespace=namespace)


def resumed_by(kube: Kube, run_id: str, *, namespace: str, step: str) -> str:
    """Return another step that has begun to go on with the run and has not ended; "" when there is none."""
    for each in kube.list(names.STEP_KIND, namespace):
        name = each["metadata"]["name"]
        if name == step or is_finished(each) or not each.get("spec", {}).get("resumeFrom"):
            continue
        frozen = kube.read("ConfigMap", namespace, names.run_objects(name))
        text = frozen.get("data", {}).get(objects.RUN_KEY) if frozen else None  # None: it is somebody else's
        if text is not None and ClusterRun.from_json(text).job.run_id == run_id:
            return str(name)
    return ""


def apply_status(kube: Kube, subject: Subject, status: ResourceStatus) -> None:
    """Write the whole status. A resource that is gone needs none. Raises ApiError."""
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": subject.kind,
        "metadata": {"name": subject.name, "namespace": subject.namespace, "uid": subject.uid},
        "status": _filled(status),
    }
    try:
        kube.write_status(manifest)
    except NotFound:
        return


def send_event(kube: Kube, subject: Subject, event: Event, *, now: datetime) -> None:
    """Make an event about a resource; one that was made before is well. Raises ApiError."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{subject.uid} {event.reason} {event.message} {stamp}".encode()).hexdigest()
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{names.label_value(subject.name)}.{digest[:16]}", "namespace": subject.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],  # what the API takes
        "source": {"component": names.OPERATOR},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    try:
        kube.create(manifest)
    except Conflict:
        return


def _filled(model: BaseModel) -> dict[str, Any]:
    """Return a status as JSON without empty strings, which mean what their absence does; free-form values stay whole.

    Kubernetes 1.20 takes an empty string in a field of an applied status for a null, and refuses that.
    """
    whole = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, field_ in type(model).model_fields.items():
        key, value = field_.alias or name, getattr(model, name)
        if isinstance(value, BaseModel):
            whole[key] = _filled(value)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            whole[key] = list(map(_filled, value))
        elif value == "":
            del whole[key]
    return whole


def _contents(run: ClusterRun, *, now: datetime) -> dict[str, str]:
    made = issue(names.host(run.step, run.namespace), now=now)
    return {
        objects.TOKEN: made.token,
        objects.CERTIFICATE: made.certificate,
        objects.KEY: made.key,
        objects.AUTHORITY: made.authority,
    }


def _tell(call: Callable[[Endpoint, str], None], endpoint: Endpoint | None, worker: str) -> None:
    """Tell a coordinator something of a worker. One that does not hear it is told again, or finds out itself."""
    if endpoint is not None:
        try:
            call(endpoint, worker)
        except CoordinatorError:
            return
