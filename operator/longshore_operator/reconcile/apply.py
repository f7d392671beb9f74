"""Carries plans out: calls the API server and coordinators."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from pydantic import BaseModel

from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Conflict, Kube, Manifest, NotFound
from longshore_operator.cluster.coordinators import Coordinators
from longshore_operator.common.actions import (
    Begin,
    Command,
    Continue,
    Create,
    Delete,
    Drain,
    Ensure,
    Event,
    Issue,
    Occupy,
    Register,
    ReportGone,
    Switch,
)
from longshore_operator.common.continuations import continuations, holder
from longshore_operator.common.references import owner
from longshore_operator.common.registering import find_registered, has_origin
from longshore_operator.manifests import names, objects
from longshore_operator.manifests.credentials import issue
from longshore_operator.manifests.objects import body
from longshore_operator.manifests.subject import Subject
from longshore_operator.reconcile.locks import Locks, Reservations
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.registering import Request, next_version


@dataclass(frozen=True)
class Executor:
    """Carries plans out. Each action is safe to repeat, so one that was cut short is simply decided again.

    `locks` and `reservations` hold for one process: two operators at a time could give a ComputeCluster more nodes than
    it may have.
    """

    kube: Kube
    coordinators: Coordinators
    locks: Locks = field(default_factory=Locks)
    reservations: Reservations = field(default_factory=Reservations)

    def execute(self, action: Command, *, namespace: str, now: datetime) -> None:
        """Carry out one action. Raises ApiError."""
        kube = self.kube
        match action:
            case Create(manifest):
                kube.create(body(manifest))
            case Ensure(manifest):
                self._ensure(body(manifest))
            case Begin(frozen, resource):
                self._ensure(body(frozen))
                kube.create(resource)
            case Occupy() | Continue() | Register():
                self._compete(action, namespace, now=now)
            case Issue(run):
                kube.create(body(objects.secret(run, _contents(run, now=now))))
            case Switch(kind, name, uid, switch, value):
                with suppress(NotFound):  # it was deleted meanwhile; the next reconcile observes that
                    kube.change(kind, namespace, name, uid, {switch: value})
            case Delete(kind, name, uid, at_once):
                kube.delete(kind, namespace, name, uid, at_once=at_once)
            case Drain(worker, endpoint):
                self.coordinators.drain(endpoint, worker)
            case _:
                assert_never(action)

    def report(self, action: ReportGone) -> bool:
        """Report a worker as gone; return whether its coordinator knows it by now."""
        return self.coordinators.gone(action.endpoint, action.worker)

    def write_status(self, subject: Subject, status: ResourceStatus) -> None:
        """Write the complete status of a resource, unless it does not exist; raise ApiError."""
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": subject.kind,
            "metadata": {"name": subject.name, "namespace": subject.namespace, "uid": subject.uid},
            "status": _filled(status),
        }
        try:
            self.kube.write_status(manifest)
        except NotFound:
            return

    def create_event(self, subject: Subject, event: Event, *, now: datetime) -> None:
        """Create an Event for a resource; leave an existing one alone. Raises ApiError."""
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
            self.kube.create(manifest)
        except Conflict:
            return

    def _compete(self, action: Occupy | Continue | Register, namespace: str, *, now: datetime) -> None:
        """Carry out an action whose result depends on those of other resources."""
        match action:
            case Occupy():
                self._occupy(action, namespace)
            case Continue():
                self._continue(action, namespace)
            case Register(request):
                self._register(request, namespace, now=now)
            case _:
                assert_never(action)

    def _occupy(self, action: Occupy, namespace: str) -> None:
        """Create the pods that the ComputeCluster has node slots for, which other steps may want, too."""

        def free() -> int:
            return action.max_nodes - self.kube.pool(namespace, action.compute).held

        wanted = len(action.pods)
        with self.reservations.reserve(namespace, action.compute, wanted=wanted, free=free) as granted:
            for pod in action.pods[:granted]:
                self.kube.create(body(pod))

    def _continue(self, action: Continue, namespace: str) -> None:
        """Create the frozen run unless another resource continues the same run. Raises Conflict."""
        with self.locks.of("run", namespace, action.run_id):
            if other := holder(continuations(self.kube, action.kind, namespace), action.run_id, but=action.name):
                raise Conflict(f"run {action.run_id} is continued by {other}")
            self.kube.create(body(action.manifest))

    def _register(self, request: Request, namespace: str, *, now: datetime) -> None:
        """Create a registration's resource and its status. Raises Conflict if another run took the version."""
        kube = self.kube
        with self.locks.of(request.kind, namespace, request.name):
            found = find_registered(kube, namespace, request)
            if found is None:
                version = next_version(request, kube.list(request.kind, namespace))
                kube.create(request.manifest(version, namespace=namespace))
                found = find_registered(kube, namespace, request)
            if found is not None and not has_origin(found):
                metadata = found["metadata"]
                subject = Subject(request.kind, namespace, metadata["name"], metadata["uid"])
                self.write_status(subject, request.status(now))

    def _ensure(self, manifest: Manifest) -> None:
        """Create an object that is never changed, unless that very one exists. Raises Taken."""
        if self._exists(manifest):
            return
        try:
            self.kube.create(manifest)
        except Conflict:
            if not self._exists(manifest):
                raise

    def _exists(self, manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        found = self.kube.read(manifest["kind"], metadata["namespace"], metadata["name"])
        return found is not None and owner(found) == owner(manifest)


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
