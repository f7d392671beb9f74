"""From a step and the objects around it on a cluster to one run: a resolved job, and what its pods must be given.

A cluster run is resolved as a local one is, once its documents speak of places inside its pods: volumes are mounted
below MOUNTS, the source folder lies at SOURCE.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longshore_api.base import Resource
from longshore_api.data import Dataset, Datastore, DatastoreSpec
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.parallel_run_step import ParallelRunStep, Source
from longshore_api.resources import ComputeCluster, Environment, Model
from longshore_planner.catalogue import Document, Documents
from longshore_planner.nodes import NodeShape, node_shape
from longshore_planner.places import is_url, join
from longshore_planner.resolve import resolve
from longshore_protocol.job import Job

MOUNTS = "/mnt/longshore"
SOURCE = "/longshore/source"

_READ_ONLY = ("http://", "https://")
_NO_WAY_UP = "must stay below its Datastore: no .. in it"


@dataclass(frozen=True)
class Volume:
    """A volume that a Datastore lies on: a claim, or a folder of the node."""

    claim: str | None = None
    host_path: str | None = None

    @property
    def mount_path(self) -> str:
        """Where the pods of a run see it."""
        return f"{MOUNTS}/claim/{self.claim}" if self.claim else f"{MOUNTS}/host{self.host_path}"

    @property
    def uri(self) -> str:
        """What its Datastore calls it."""
        return f"pvc:{self.claim}" if self.claim else f"file://{self.host_path}"


@dataclass(frozen=True)
class ClusterRun:
    """One run of a step on a cluster: everything that its objects are made from, settled when it begins."""

    namespace: str
    step: str
    uid: str  # of the step
    generation: int  # of the spec that it was made from
    job: Job
    image: str
    interpreter: str  # inside the image
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[str, ...] = ()  # names of Secrets with credentials of stores: for coordinator and agents
    config_map: str | None = None  # the source folder, if it is one
    source_uri: str | None = None  # where else the source is to be fetched from: a URL, or a place inside the pods
    node: NodeShape = field(default_factory=NodeShape)  # of one worker

    @property
    def is_resumed(self) -> bool:
        """Whether the run is another step's, which this one goes on with."""
        return self.job.run_id != own_run_id(self.step, self.uid)

    def shown(self, uri: str) -> str:
        """Return a place in the run's pods as its users know it: on the Datastore's volume."""
        for volume in self.volumes:
            if uri == volume.mount_path or uri.startswith(volume.mount_path + "/"):
                return volume.uri + uri.removeprefix(volume.mount_path)
        return uri

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ClusterRun:
        """Read what `to_json` wrote. Raises ValueError, TypeError, KeyError for something else."""
        raw: dict[str, Any] = json.loads(text)
        raw["job"] = Job.from_json(json.dumps(raw["job"]))
        raw["volumes"] = tuple(Volume(**each) for each in raw["volumes"])
        raw["secrets"] = tuple(raw["secrets"])
        raw["node"] = NodeShape.from_dict(raw["node"])
        return ClusterRun(**raw)


def resolve_on_cluster(
    documents: Documents,
    *,
    namespace: str,
    uid: str,
    generation: int,
    host_paths: bool,
    resumed: str | None = None,
) -> ClusterRun:
    """Resolve the one ParallelRunStep of the documents for the cluster they come from.

    `uid` and `generation` are the step's; `host_paths` allows Datastores on folders of the nodes; `resumed` is the id
    of the run that this one goes on with. Raises InvalidDocuments with every problem found.
    """
    steps = documents.of(ParallelRunStep)
    assert len(steps) == 1, "the step, and what is around it"
    (step,) = steps
    ground = _Ground(documents, step, host_paths=host_paths)
    grounded = ground.documents_in_pods()
    store = ground.output_store(grounded)
    environment = ground.environment()
    node = ground.node()
    if ground.problems:
        raise InvalidDocuments(ground.problems)
    assert store is not None, "or there is a problem"
    assert environment is not None, "or there is a problem"
    run_id = resumed or own_run_id(step.name, uid)
    job = resolve(grounded, run_uri=join(store, f"longshore/{run_id}"), run_id=run_id, cores=1).job
    if step.resource.spec.process_count_per_node == "auto":
        job = replace(job, processes_per_worker=node.processes)
    job = replace(job, gpus_per_worker=node.gpus)
    source = step.resource.spec.source
    spec = environment.resource.spec
    assert spec.image is not None, "or there is a problem"
    return ClusterRun(
        namespace=namespace,
        step=step.name,
        uid=uid,
        generation=generation,
        job=job,
        image=spec.image,
        interpreter=spec.python or "python",
        volumes=tuple(sorted(ground.volumes, key=lambda each: each.uri)),
        secrets=tuple(sorted(ground.secrets)),
        config_map=source.config_map if source else None,
        source_uri=ground.source_uri,
        node=node,
    )


def own_run_id(step: str, uid: str) -> str:
    """Return the id of the run that a step begins."""
    return f"{step}-{uid[:8]}"


class _Ground:
    """What of the documents means something else inside the pods; `problems` is what means nothing there."""

    def __init__(self, documents: Documents, step: Document[ParallelRunStep], *, host_paths: bool) -> None:
        self._documents = documents
        self._step = step
        self._host_paths = host_paths
        self._has_default = any(each.resource.spec.default for each in documents.of(Datastore))
        self._named, self._places = self._references()
        self.problems: list[Problem] = []
        self.volumes: set[Volume] = set()
        self.secrets: set[str] = set()
        self.source_uri: str | None = None

    def documents_in_pods(self) -> Documents:
        return Documents(tuple(self._in_pods(each) for each in self._documents))

    def _references(self) -> tuple[set[str | None], list[str]]:
        """Return the names of the Datastores that the step's data is in, None for the default one, and full places."""
        spec = self._step.resource.spec
        datasets = [self._documents.find(Dataset, each.dataset) for each in spec.inputs if each.dataset]
        pairs = [(each.file, each.tabular) for each in spec.inputs]
        pairs += [(each.resource.spec.file, each.resource.spec.tabular) for each in datasets if each is not None]
        data = [each for pair in pairs for each in pair if each is not None]
        wanted = {each.name for each in spec.models}
        models = [
            each.resource.spec
            for each in self._documents.of(Model)
            if not wanted.isdisjoint({each.resource.spec.name, each.name})
        ]
        named = {spec.output.datastore if spec.output else None, *(each.datastore for each in (*data, *models))}
        places = [*(path for each in data for path in each.paths), *(each.path for each in models)]
        return named, [*places, (spec.source and spec.source.uri) or ""]

    def _is_used(self, store: Datastore) -> bool:
        """Tell whether the run is to have a Datastore's volume and credentials: it gets no others of its namespace."""
        spec = store.spec
        if store.metadata.name in self._named or (spec.default and None in self._named):
            return True
        root = spec.uri.rstrip("/")
        return any(place == root or place.startswith(root + "/") for place in self._places)

    def output_store(self, grounded: Documents) -> str | None:
        """Return the place of the Datastore that the run's folder is in: on a volume, or in an object store."""
        output = self._step.resource.spec.output
        name = output.datastore if output else None
        path = "spec.output.datastore"
        if name is None:
            stores = [each for each in grounded.of(Datastore) if each.resource.spec.default]
            if not stores:
                text = "is missing, and no Datastore is the default: a run keeps its ledger, logs and output in one"
                self.problems.append(self._step.problem(path, text))
                return None
            store = stores[0]  # several defaults are told of where they are resolved
        else:
            found = grounded.find(Datastore, name)
            if found is None:
                self.problems.append(self._step.wrong(path, name, "there is no such Datastore"))
                return None
            store = found
        uri = store.resource.spec.uri
        if uri.startswith(_READ_ONLY):
            rule = "is read-only, and the run's folder is to be in it: take an object store, or pvc:CLAIM/FOLDER"
            self.problems.append(store.wrong("spec.uri", uri, rule))
            return None
        return uri

    def environment(self) -> Document[Environment] | None:
        given = self._step.resource.spec.environment
        if given is None:
            text = "is missing: on a cluster an Environment says which image the script runs in"
            self.problems.append(self._step.problem("spec.environment", text))
            return None
        found = self._documents.find(Environment, given.name)
        if found is None:
            rule = "there is no such Environment"
            self.problems.append(self._step.wrong("spec.environment.name", given.name, rule))
        elif found.resource.spec.image is None:
            text = "is missing: on a cluster the script runs in an image"
            self.problems.append(found.problem("spec.image", text))
        return found

    def node(self) -> NodeShape:
        """Return what one worker gets; a ComputeCluster that is not there is told of where it is resolved."""
        name = self._step.resource.spec.compute_target
        cluster = self._documents.find(ComputeCluster, name) if name else None
        try:
            return node_shape(cluster) if cluster else NodeShape()
        except InvalidDocuments as error:
            self.problems += error.problems
            return NodeShape()

    def _in_pods(self, document: Document[Resource]) -> Document[Resource]:
        match document.resource:
            case Datastore() as store if self._is_used(store):
                spec = self._datastore(document, store.spec)
                return replace(document, resource=store.model_copy(update={"spec": spec}))
            case ParallelRunStep() as step:
                for index, given in enumerate(step.spec.inputs):
                    self._check(document, given.file or given.tabular, f"spec.inputs[{index}]")
                spec_ = step.spec.model_copy(update={"source": self._source(step.spec.source)})
                return replace(document, resource=step.model_copy(update={"spec": spec_}))
            case Dataset() as dataset:
                self._check(document, dataset.spec.file or dataset.spec.tabular, "spec")
            case Model() as model:
                self._check_place(document, model.spec.path, model.spec.datastore, "spec.path")
            case _:
                pass
        return document

    def _datastore(self, document: Document[Resource], spec: DatastoreSpec) -> DatastoreSpec:
        if spec.secret_ref is not None:
            self.secrets.add(spec.secret_ref.name)
        return spec.model_copy(update={"uri": self._place_in_pods(document, spec.uri, "spec.uri")})

    def _place_in_pods(self, document: Document[Any], uri: str, path: str) -> str:
        """Return a URL as it is, and a place on a volume, which the run then has, as the path inside its pods."""
        if uri.startswith("pvc:"):
            claim, _, folder = uri.removeprefix("pvc:").lstrip("/").partition("/")
            if not claim:
                self.problems.append(document.wrong(path, uri, "must name a claim: pvc:CLAIM/FOLDER"))
            if ".." in folder.split("/"):
                self.problems.append(document.wrong(path, uri, _NO_WAY_UP))
            return self._on(Volume(claim=claim), folder)
        if uri.startswith("file:"):
            folder = posixpath.normpath("/" + uri.removeprefix("file:").lstrip("/"))
            if not self._host_paths:
                rule = "is a folder of the cluster's nodes, which this operator does not give to pods: use pvc:CLAIM"
                self.problems.append(document.wrong(path, uri, rule))
            elif not uri.startswith("file:///"):
                self.problems.append(document.wrong(path, uri, "must be absolute: file:///FOLDER"))
            return self._on(Volume(host_path=folder), "")
        if "://" not in uri:
            self.problems.append(document.wrong(path, uri, "must be a URL, or pvc:CLAIM/FOLDER"))
        return uri

    def _on(self, volume: Volume, folder: str) -> str:
        self.volumes.add(volume)
        return join(volume.mount_path, folder) if folder else volume.mount_path

    def _source(self, source: Source | None) -> Source | None:
        path = "spec.source"
        if source is None:
            text = "is missing: on a cluster the script is in a ConfigMap (configMap), in the image (image) or at a URL"
            self.problems.append(self._step.problem(path, text))
            return None
        if source.uri is not None:
            if source.uri.startswith("file:"):
                rule = "must be a URL of a store or pvc:CLAIM/FOLDER, or configMap or image instead, on a cluster"
                self.problems.append(self._step.wrong(f"{path}.uri", source.uri, rule))
            else:
                self.source_uri = self._place_in_pods(self._step, source.uri, f"{path}.uri")
        return Source(uri=source.image or SOURCE)

    def _check(self, document: Document[Resource], data: Any, path: str) -> None:
        if data is not None:
            kind = "tabular" if hasattr(data, "format") else "file"
            for index, place in enumerate(data.paths):
                self._check_place(document, place, data.datastore, f"{path}.{kind}.paths[{index}]")

    def _check_place(self, document: Document[Resource], place: str, datastore: str | None, path: str) -> None:
        if ".." in place.split("/"):
            self.problems.append(document.wrong(path, place, _NO_WAY_UP))
        elif is_url(place):
            if place.startswith(("file:", "pvc:")):
                rule = "must be relative to a Datastore, which says what volume it is on"
                self.problems.append(document.wrong(path, place, rule))
        elif datastore is None and not self._has_default:
            rule = "is relative to a Datastore, and neither is one named nor is one the default"
            self.problems.append(document.wrong(path, place, rule))
        elif place.startswith("/") and datastore is None:
            rule = "must be relative to a Datastore, without a leading /"
            self.problems.append(document.wrong(path, place, rule))
