"""What steps and runs refer to: documents, ConfigMaps and Secrets, and who owns an object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_api.tasks import ScriptStep
from longshore_api.validation import label, parse
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.reasons import NOT_FROZEN
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names, placement
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.step_data import inputs_of

_OPEN = ("Dataset", "Datastore", "Model")  # are referred to by default, or by the names that they have for scripts
AROUND = ("Dataset", "Datastore", "Environment", "Model", "ComputeCluster")
STORE_FIELD = "a Datastore's spec.secretRef.name"
INDEX_FIELD = "an Environment's spec.packages.secretRef.name"
_DIGITS = 32  # hexadecimal, of a file's digest
_METADATA = ("name", "namespace", "labels", "annotations")  # of an object's metadata, what its author wrote


def controller(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reference to the resource that an object goes with; an empty one when there is none."""
    owners: Iterable[Mapping[str, Any]] = metadata.get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller")), {})


def owner(raw: Manifest) -> str:
    """Return the uid of the resource that an object goes with; "" when there is none."""
    return str(controller(raw["metadata"]).get("uid", ""))


def pipeline_run(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference to the PipelineRun that a step belongs to; None for one that was applied by itself."""
    found = controller(metadata)
    return found if found.get("kind") == names.RUN_KIND else None


def is_of(frozen: Manifest, step: Manifest) -> bool:
    """Return whether a frozen run is the step's own, or was frozen by the PipelineRun that created the step."""
    run = pipeline_run(step["metadata"])
    return owner(frozen) in {step["metadata"]["uid"], *([run["uid"]] if run else [])}


def left_to_pipeline_run(step: Manifest) -> Blocked | None:
    """Return what a step waits for whose run is frozen by its PipelineRun; None for one that freezes its own."""
    run = pipeline_run(step["metadata"])
    if run is None:
        return None
    return Blocked(NOT_FROZEN, f"waiting for PipelineRun {run['name']} to freeze the run")


def documents_around(kube: Kube, raw: Manifest) -> Documents:
    """Return a step and what it may refer to.

    Raises InvalidDocuments for what it does refer to and is not valid, ApiError.
    """
    namespace, step = raw["metadata"]["namespace"], document(raw)
    referred = (kube.read(kind, namespace, name) for kind, name in sorted(_referred(step.resource)))
    documents = [step, *(document(each) for each in referred if each is not None)]
    known = {(each.resource.kind, each.name) for each in documents}
    for each in (each for kind in _OPEN for each in kube.list(kind, namespace)):
        with suppress(InvalidDocuments):
            if (each["kind"], each["metadata"]["name"]) not in known:
                documents.append(document(each))
    return gather(documents)


def _referred(step: Resource) -> set[tuple[str, str]]:
    if not isinstance(step, ParallelRunStep | ScriptStep):
        return set()
    spec = step.spec
    referred = {("Dataset", each.dataset) for _, each in inputs_of(step) if each.dataset}
    referred |= {("Environment", spec.environment.name)} if spec.environment else set()
    return referred | ({(names.COMPUTE_KIND, spec.compute_target)} if spec.compute_target else set())


def foreign(found: Iterable[Manifest], uid: str) -> str:
    """Return the first object that has no owner, or another one than the resource `uid`; "" if there is none."""
    strange = (each for each in found if owner(each) != uid)
    return next((f"{each['kind']} {each['metadata']['name']}" for each in strange), "")


def document(raw: Manifest) -> Document[Resource]:
    """Return a custom resource as a document of the planner. Raises InvalidDocuments."""
    written = {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "metadata": {key: value for key, value in raw["metadata"].items() if key in _METADATA},
        "spec": raw.get("spec", {}),
    }
    return Document(label(raw), "/", parse(written))


@dataclass(frozen=True)
class Found:
    """The ConfigMaps and Secrets of users that exist, of those that a run needs."""

    config_maps: Mapping[str, Manifest] = field(default_factory=dict)  # by name
    secrets: AbstractSet[str] = frozenset()  # names


def fetch(kube: Kube, namespace: str, config_maps: Iterable[str], secrets: Iterable[str]) -> Found:
    """Fetch ConfigMaps and look for Secrets, by their names. Raises ApiError."""
    fetched = ((name, kube.fetch("ConfigMap", namespace, name)) for name in sorted(config_maps))
    return Found(
        config_maps={name: each for name, each in fetched if each is not None},
        secrets={name for name in sorted(secrets) if kube.fetch("Secret", namespace, name) is not None},
    )


def needed_by(kube: Kube, namespace: str, provision: PodRequirements) -> Found:
    """Return what exists of the ConfigMap and the Secrets that a run's pods need. Raises ApiError."""
    return fetch(
        kube,
        namespace,
        filter(None, [provision.config_map]),
        filter(None, [*provision.secrets, provision.index_secret]),
    )


def missing(provision: PodRequirements, found: Found, *, where: str, field: str, script: str) -> Iterator[Problem]:
    """Yield what a run's pods would wait for although it does not exist; `field` names the script."""
    name = provision.config_map
    if name is not None:
        source = found.config_maps.get(name)
        if source is None:
            yield Problem(where, "spec.source.configMap", f"is {name!r}: there is no such ConfigMap", "ConfigMap")
        elif script not in {**source.get("data", {}), **source.get("binaryData", {})}:
            yield Problem(where, field, f"is {script!r}: ConfigMap {name} has no such key")
    yield from missing_secrets(provision.secrets, found, where=where)
    yield from missing_secrets(filter(None, [provision.index_secret]), found, field=INDEX_FIELD, where=where)


def missing_secrets(secrets: Iterable[str], found: Found, *, field: str = STORE_FIELD, where: str) -> Iterator[Problem]:
    """Yield the Secrets that do not exist: pods would never start. `field` names them."""
    for name in secrets:
        if name not in found.secrets:
            yield Problem(where, "", f"{field} is {name!r}: there is no such Secret", missing="Secret")


def unusable_node(provision: PodRequirements, settings: Settings) -> Problem | None:
    """Return what is wrong with the free parts of the node's template; None if they are parts of a pod."""
    problem, compute = placement.unreadable(provision.node, settings), provision.node.compute
    return (
        Problem(f"{names.COMPUTE_KIND}/{compute}", "spec.podTemplate.spec", f"is wrong: {problem}") if problem else None
    )


def digests_of(source: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each file of a ConfigMap."""
    texts = {name: text.encode() for name, text in (source.get("data") or {}).items()}
    others = {name: base64.b64decode(packed) for name, packed in (source.get("binaryData") or {}).items()}
    return {name: hashlib.sha256(content).hexdigest()[:_DIGITS] for name, content in {**texts, **others}.items()}
