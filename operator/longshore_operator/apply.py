"""Carries plans out: each action is safe to repeat, so one that was cut short is simply planned anew."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from longshore_api.status import ResourceStatus
from longshore_operator.build import names, objects
from longshore_operator.coordinator_client import CoordinatorError, Coordinators, Line
from longshore_operator.credentials import issue
from longshore_operator.kube import Conflict, Kube, Manifest, NotFound
from longshore_operator.plan.actions import Action, Create, Delete, Drain, Event, Issue, Occupy, Resume, TellGone
from longshore_operator.plan.observed import Subject
from longshore_operator.plan.slots import nodes_among
from longshore_planner.cluster import ClusterRun


class Locks:
    """A lock for each thing that steps compete for: the nodes of a ComputeCluster, a run to go on with."""

    def __init__(self) -> None:
        self._all = threading.Lock()
        self._each: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)

    def of(self, kind: str, namespace: str, name: str) -> threading.Lock:
        """Return the lock of one of them."""
        with self._all:
            return self._each[kind, namespace, name]


@dataclass(frozen=True)
class Hands:
    """What actions are carried out with."""

    kube: Kube
    coordinators: Coordinators
    locks: Locks = field(default_factory=Locks)


def apply_action(action: Action, hands: Hands, *, namespace: str, line: Line | None, now: datetime) -> None:
    """Carry out one action. Raises kube.Trouble."""
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
            _tell(hands.coordinators.gone, line, worker)
        case Drain(worker):
            _tell(hands.coordinators.drain, line, worker)
        case _:
            assert_never(action)


def resumed_by(kube: Kube, run_id: str, *, namespace: str, step: str) -> str:
    """Return another step that has begun to go on with the run and has not ended; "" when there is none."""
    for each in kube.list(names.STEP_KIND, namespace):
        name, conditions = each["metadata"]["name"], each.get("status", {}).get("conditions", [])
        over = any((condition["type"], condition["status"]) == ("Finished", "True") for condition in conditions)
        if name == step or over or not each.get("spec", {}).get("resumeFrom"):
            continue
        settled = kube.read("ConfigMap", namespace, names.run_objects(name))
        text = settled.get("data", {}).get(objects.RUN_KEY) if settled else None  # None: it is somebody else's
        if text is not None and ClusterRun.from_json(text).job.run_id == run_id:
            return str(name)
    return ""


def apply_status(kube: Kube, subject: Subject, status: ResourceStatus) -> None:
    """Write the whole status. A resource that is gone needs none. Raises kube.Trouble."""
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": subject.kind,
        "metadata": {"name": subject.name, "namespace": subject.namespace, "uid": subject.uid},
        "status": _filled(status.to_dict()),
    }
    try:
        kube.write_status(manifest)
    except NotFound:
        return


def send_event(kube: Kube, subject: Subject, event: Event, *, now: datetime) -> None:
    """Make an event about a resource; one that was made before is well. Raises kube.Trouble."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{subject.uid} {event.reason} {event.message} {stamp}".encode()).hexdigest()
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.name}.{digest[:16]}", "namespace": subject.namespace},
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


def _filled(value: Any) -> Any:
    """Return a JSON value without empty strings, which mean what their absence does.

    Kubernetes 1.20 takes an empty string in an applied status for a null, and refuses that.
    """
    match value:
        case dict():
            return {key: _filled(each) for key, each in value.items() if each != ""}
        case list():
            return [_filled(each) for each in value]
        case _:
            return value


def body(model: Any) -> Manifest:
    """Return a model of the Kubernetes client as the API takes it: its own spelling, nothing that is absent."""
    dumped: Manifest = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _contents(run: ClusterRun, *, now: datetime) -> dict[str, str]:
    made = issue(names.host(run.step, run.namespace), now=now)
    return {
        objects.TOKEN: made.token,
        objects.CERTIFICATE: made.certificate,
        objects.KEY: made.key,
        objects.AUTHORITY: made.authority,
    }


def _tell(call: Callable[[Line, str], None], line: Line | None, worker: str) -> None:
    """Tell a coordinator something of a worker. One that does not hear it is told again, or finds out itself."""
    if line is not None:
        try:
            call(line, worker)
        except CoordinatorError:
            return
