"""Carries plans out: each action is safe to repeat, so one that was cut short is simply planned anew."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, assert_never

from longshore_api.status import ParallelRunStepStatus
from longshore_operator.build import names, objects
from longshore_operator.coordinator_client import CoordinatorError, Coordinators, Line
from longshore_operator.credentials import issue
from longshore_operator.kube import Conflict, Kube, Manifest, NotFound
from longshore_operator.plan.actions import Action, Apply, Create, Delete, Event, Issue, TellGone
from longshore_operator.plan.observed import Step
from longshore_planner.cluster import ClusterRun


def apply_action(
    action: Action, kube: Kube, coordinators: Coordinators, *, namespace: str, line: Line | None, now: datetime
) -> None:
    """Carry out one action. Raises kube.Trouble."""
    match action:
        case Create(manifest):
            kube.create(body(manifest))
        case Apply(manifest):
            kube.apply(body(manifest))
        case Issue(run):
            kube.create(body(objects.secret(run, _contents(run, now=now))))
        case Delete(kind, name, uid):
            kube.delete(kind, namespace, name, uid)
        case TellGone(worker):
            _tell(coordinators, line, worker)
        case _:
            assert_never(action)


def apply_status(kube: Kube, step: Step, status: ParallelRunStepStatus) -> None:
    """Write the whole status. A step that is gone needs none. Raises kube.Trouble."""
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.STEP_KIND,
        "metadata": {"name": step.name, "namespace": step.namespace, "uid": step.uid},
        "status": _filled(status.to_dict()),
    }
    try:
        kube.apply(manifest, status=True)
    except NotFound:
        return


def send_event(kube: Kube, step: Step, event: Event, *, now: datetime) -> None:
    """Make an event about the step; one that was made before is well. Raises kube.Trouble."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{step.uid} {event.reason} {event.message} {stamp}".encode()).hexdigest()
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{step.name}.{digest[:16]}", "namespace": step.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.STEP_KIND,
            "name": step.name,
            "namespace": step.namespace,
            "uid": step.uid,
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


def _tell(coordinators: Coordinators, line: Line | None, worker: str) -> None:
    """Tell a coordinator of a dead worker. One that does not hear it takes the leases back when they expire."""
    if line is not None:
        try:
            coordinators.gone(line, worker)
        except CoordinatorError:
            return
