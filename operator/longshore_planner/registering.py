"""The Models and Datasets that a succeeded step registers, as manifests with their origin."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from longshore_api.base import API_VERSION
from longshore_api.registrations import AssetStatus, Origin, OriginInput
from longshore_api.status import Condition, Registered
from longshore_api.task_status import GitState
from longshore_planner.locations import is_url, join
from longshore_planner.pod_locations import is_below, user_location
from longshore_protocol.registrations import MODEL, OUTPUT, RUN, Registration, unpack
from longshore_storage.redaction import recorded

REGISTRATION = "longshore.dev/registration"  # label: identifies one registration of one run
ORIGIN_RUN, ORIGIN_STEP = "longshore.dev/origin-run", "longshore.dev/origin-step"  # labels

_LONGEST_SLUG, _DIGITS, _KEY_DIGITS, _LABEL = 200, 8, 40, 63  # characters


@dataclass(frozen=True)
class Request:
    """One Model or Dataset to create, except for its version, which is one above the highest of its name."""

    kind: Literal["Model", "Dataset"]
    name: str
    key: str  # identifies the registration, whichever process carries it out
    spec: Mapping[str, Any]  # without name and version
    origin: Origin

    def manifest(self, version: int, *, namespace: str | None = None) -> dict[str, Any]:
        """Return the manifest of this version; `namespace` is None in a local run."""
        labels = {
            "app.kubernetes.io/managed-by": "longshore",
            REGISTRATION: self.key,
            ORIGIN_RUN: _label(self.origin.run_id),
            ORIGIN_STEP: _label(self.origin.step),
        }
        about = {"name": resource_name(self.name, version), "labels": labels}
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": about if namespace is None else {**about, "namespace": namespace},
            "spec": {"name": self.name, "version": version, **self.spec},
        }

    def status(self, now: datetime) -> AssetStatus:
        """Return the status of what was registered."""
        message = f"registered by step {self.origin.step} of run {self.origin.run_id}"
        ready = Condition(
            type="Ready",
            status="True",
            reason="Registered",
            message=message,
            last_transition_time=now,
            observed_generation=1,
        )
        return AssetStatus(observed_generation=1, conditions=[ready], origin=self.origin)


def requests(
    packed: str, job: Mapping[str, Any], origin: Origin, *, attempt: int = 0, datastores: Mapping[str, str]
) -> list[Request]:
    """Return what a succeeded step registers.

    Args:
        packed: The registrations of its result.
        job: Its ScriptJob or Job as JSON.
        origin: The run.
        attempt: Distinguishes several successes of one run, such as retries of failed mini-batches.
        datastores: Locations of the Datastores by name, in the form of users.

    Raises:
        ValueError: The registrations cannot be read.
    """
    about = f"{job['run_id']}\0{job['run_uri']}\0{attempt}"
    found = []
    for index, each in enumerate(unpack(packed)):
        key = hashlib.sha256(f"{about}\0{index}".encode()).hexdigest()[:_KEY_DIGITS]
        kind: Literal["Model", "Dataset"] = "Model" if each.kind == MODEL else "Dataset"
        found.append(Request(kind, each.name, key, _spec(each, job, datastores), origin))
    return found


def origin_of(
    job: Mapping[str, Any],
    *,
    kind: Literal["ParallelRunStep", "ScriptStep"],
    code: str = "",
    git: Mapping[str, Any] | None = None,
    environment: str = "",
    resource: str = "",
) -> Origin:
    """Return the origin of what a step registers.

    Args:
        job: Its ScriptJob or Job as JSON.
        kind: Kind of the step.
        code: Digest of its source.
        git: Git state of its source.
        environment: Its image or interpreter.
        resource: Name of its resource on a cluster.
    """
    pipeline = job.get("experiment", "")
    step = posixpath.basename(job["run_uri"]) if pipeline else job["name"]
    inputs = [*job.get("inputs", ()), *job.get("side_inputs", ())]
    parameters = {**job.get("pipeline_parameters", {}), **job.get("params", {})}
    return Origin(
        run_id=job.get("parent_id") or job["run_id"],
        run_uri=user_location(job["run_uri"]),
        kind=kind,
        step=step,
        pipeline=pipeline,
        resource=resource,
        code=code,
        git=None if git is None else GitState.model_validate(git),
        environment=environment,
        arguments=[recorded(each) for each in job.get("arguments", ())],
        parameters={name: recorded(value) for name, value in parameters.items()},
        inputs=[
            OriginInput(
                name=each["name"],
                uris=[recorded(user_location(uri)) for uri in each.get("paths") or each.get("uris", ())],
            )
            for each in inputs
        ],
        models=[f"{each['name']} {each['version']}" for each in job.get("models", ())],
    )


def next_version(request: Request, known: Sequence[Mapping[str, Any]]) -> int:
    """Return one above the highest version of a request's name among the manifests of its kind."""
    versions = [
        int(each["spec"].get("version", 1))
        for each in known
        if (each["spec"].get("name") or each["metadata"]["name"]) == request.name
    ]
    version, taken = max(versions, default=0) + 1, {each["metadata"]["name"] for each in known}
    while resource_name(request.name, version) in taken:  # by a resource that calls its version differently
        version += 1
    return version


def registered(manifest: Mapping[str, Any]) -> Registered:
    """Return how a run's status lists a Model or Dataset that it registered."""
    spec = manifest["spec"]
    return Registered(
        kind=manifest["kind"],
        name=spec["name"],
        version=int(spec["version"]),
        resource=manifest["metadata"]["name"],
    )


def key_of(manifest: Mapping[str, Any]) -> str:
    """Return the key of the registration that a manifest is the result of; "" for one that a user wrote."""
    return str((manifest["metadata"].get("labels") or {}).get(REGISTRATION, ""))


def resource_name(name: str, version: int) -> str:
    """Return the resource's name for a version: "mnist-3"; a name that Kubernetes does not allow gets a digest."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_SLUG]
    if slug != name:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        slug = f"{slug}-{digest}".lstrip("-")
    return f"{slug}-{version}"


def _label(text: str) -> str:
    """Return a text as the value of a label."""
    value = re.sub(r"[^-A-Za-z0-9_.]+", "-", text).strip("-_.")
    if len(value) <= _LABEL:
        return value
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{value[: _LABEL - _DIGITS - 1].rstrip('-_.')}-{digest}"


def _spec(given: Registration, job: Mapping[str, Any], datastores: Mapping[str, str]) -> dict[str, Any]:
    datastore, paths = _placed(given, job, datastores)
    place = {} if datastore is None else {"datastore": datastore}
    texts = {"description": given.description, "tags": given.tags, "properties": given.properties}
    spec: dict[str, Any] = {name: value for name, value in texts.items() if value}
    if given.kind == MODEL:
        return {**spec, **place, "path": paths[0]}
    spec.pop("properties", None)
    if given.tabular is None:
        return {**spec, "file": {**place, "paths": paths}}
    return {**spec, "tabular": {**place, "paths": paths, **given.tabular}}


def _placed(given: Registration, job: Mapping[str, Any], datastores: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Return Datastore and paths of a registration; a location in no Datastore stays a full one."""
    whole = [_location(each, job) for each in given.paths]
    if not all(map(_is_full, whole)):
        return given.datastore or None, whole
    holding = [name for name, uri in datastores.items() if all(is_below(each, uri) for each in whole)]
    if not holding:
        return None, whole
    name = max(holding, key=lambda each: len(datastores[each]))
    root = datastores[name].rstrip("/")
    return name, [each.removeprefix(root).lstrip("/") or "." for each in whole]


def _location(path: str, job: Mapping[str, Any]) -> str:
    if path.startswith(RUN):
        return user_location(join(job["run_uri"], path.removeprefix(RUN)))
    if path.startswith(OUTPUT):
        name, _, below = path.removeprefix(OUTPUT).partition("/")
        uri = next(each["uri"] for each in _outputs(job) if each["name"] == name)
        return user_location(join(uri, below) if below else uri)
    return path


def _outputs(job: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return [job["output"]] if "output" in job else job.get("outputs", ())


def _is_full(location: str) -> bool:
    return is_url(location) or location.startswith("/")


def parameter_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a pipeline's parameters as texts."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
