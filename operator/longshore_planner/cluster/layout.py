"""Locations inside a step's pods, and the volumes and credentials that these need.

Every location in the documents becomes one that a pod can access. The step is then resolved as on one machine.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from longshore_api.base import Resource
from longshore_api.data import Dataset, Datastore, DatastoreSpec, FileDataset, TabularDataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec, Source
from longshore_api.resources import ComputeCluster, Environment, Model
from longshore_api.tasks import ScriptStep, ScriptStepSpec, TransferStep
from longshore_planner.catalogue import Document, Documents
from longshore_planner.cluster.environments import (
    ARCHITECTURE,
    NO_DEFAULTS,
    DefaultImages,
    PackedEnvironment,
    packed_environment,
)
from longshore_planner.cluster.nodes import NodeShape, node_shape
from longshore_planner.cluster.pod_requirements import RUNS, SOURCE, PodRequirements, Volume
from longshore_planner.locations import is_of_machine, is_url, join
from longshore_planner.packages.freeze import freeze_packages
from longshore_planner.pod_locations import MOUNTS, is_below
from longshore_planner.step_data import (
    data_of,
    datasets_of,
    datastores_of,
    described_in,
    is_used,
    listed_datastores,
    models_of,
    outputs_of,
)
from longshore_protocol.package_set import PackageSet

_READ_ONLY = ("http://", "https://", "postgresql://", "mssql://")
_NO_PARENT_FOLDER = "must not contain .., because it must stay below its Datastore"


def _source_places(step: Resource) -> list[str]:
    source = step.spec.source if isinstance(step, ParallelRunStep | ScriptStep) else None
    return [source.uri] if source is not None and source.uri is not None else []


def default_store(documents: Documents) -> str | None:
    """Return the location of the default Datastore in the user's form, or None."""
    stores = (each.resource.spec for each in documents.of(Datastore))
    return next((spec.uri for spec in stores if spec.default), None)


class PodLayout:
    """Mapping of one step's documents to locations in its pods; collects unsupported values in `problems`.

    Args:
        documents: The step and everything that it refers to.
        step: The step.
        host_paths: Allow Datastores that are folders of the nodes.
        images: Images of Environments without one.
        datastores: Further Datastores that the step reads, those of other steps' outputs; None is the default one.
        locations: Further full locations that the step reads.
    """

    def __init__(
        self,
        documents: Documents,
        step: Document[Resource],
        *,
        host_paths: bool,
        images: DefaultImages = NO_DEFAULTS,
        datastores: Iterable[str | None] = (),
        locations: Iterable[str] = (),
    ) -> None:
        self._documents = documents
        self._step = step
        self._host_paths = host_paths
        self._images = images
        self._has_default = any(each.resource.spec.default for each in documents.of(Datastore))
        self._named, self._places = data_of(documents, step.resource)
        self._named |= set(datastores)
        self._places += [*locations, *_source_places(step.resource)]
        self._datasets = {each.name for each in datasets_of(documents, step.resource)}
        self._models = {each.name for each in models_of(documents, step.resource)}
        self._usable = {each.name for each in datastores_of(documents, step.resource) if self._is_allowed(each)}
        self._volumes: set[Volume] = set()
        self._folders: set[str] = set()
        self._secrets: set[str] = set()
        self._account: tuple[str, Document[Resource]] | None = None  # and the Datastore that names it first
        self._source_uri: str | None = None
        self.problems: list[Problem] = []

    def documents_in_pods(self) -> Documents:
        """Return the documents with every location in the form of the pods."""
        return Documents(tuple(self._in_pods(each) for each in self._documents))

    def provision(self, run_store: str | None) -> PodRequirements:
        """Return the requirements of the pods, after `documents_in_pods`; raise InvalidDocuments with all problems.

        `run_store` is the location of the Datastore for the run's folder, in the form of pods.
        """
        spec = self._step.resource
        if isinstance(spec, TransferStep):
            self._raise()
            return self._provided(PodRequirements())
        assert isinstance(spec, ParallelRunStep | ScriptStep), "there are no other steps"
        node, source = self._node(spec.spec), spec.spec.source
        image, interpreter, environment = self._environment(spec.spec, node, run_store)
        self._raise()
        return self._provided(
            PodRequirements(
                image=image,
                interpreter=interpreter,
                environment=environment,
                config_map=source.config_map if source else None,
                source_uri=self._source_uri,
                source_image=source.image if source else None,
                node=node,
            )
        )

    def run_store(self, mounted: Documents) -> str | None:
        """Return the location of the Datastore for the run's folder: that of the first output, or the default one."""
        outputs = list(outputs_of(self._step.resource))
        name, path = outputs[0] if outputs else (None, "spec.output.datastore")
        if name is None:
            stores = [each for each in mounted.of(Datastore) if each.resource.spec.default]
            if not stores:
                text = "is missing, and no Datastore is the default; a run stores its ledger, logs and output in one"
                self.problems.append(self._step.problem(path, text, missing=Datastore.__name__))
                return None
            store = stores[0]  # resolution reports several defaults
        else:
            found = mounted.find(Datastore, name)
            if found is None:
                self.problems.append(
                    self._step.wrong(path, name, "there is no such Datastore", missing=Datastore.__name__)
                )
                return None
            store = found
        uri = store.resource.spec.uri
        if uri.startswith(_READ_ONLY):
            rule = "is read-only, but must store the run's folder; use an object store or pvc:CLAIM/FOLDER"
            self.problems.append(store.wrong("spec.uri", uri, rule))
            return None
        return uri

    def _raise(self) -> None:
        if self.problems:
            raise InvalidDocuments(self.problems)

    def _provided(self, provision: PodRequirements) -> PodRequirements:
        volumes = tuple(sorted(self._volumes, key=lambda each: each.uri))
        return replace(
            provision,
            volumes=volumes,
            folders=tuple(sorted(self._folders)),
            secrets=tuple(sorted(self._secrets)),
            service_account=self._account[0] if self._account else None,
        )

    def _is_used(self, store: Datastore) -> bool:
        """Return whether the run needs a Datastore's volume and credentials; its pods receive no others."""
        return store.metadata.name in self._usable or is_used(store, self._named, self._places)

    def _is_allowed(self, store: Document[Datastore]) -> bool:
        """Return whether pods may use a Datastore; of all Datastores, those that they may not use are left out."""
        return self._host_paths or not store.resource.spec.uri.startswith("file:") or self._is_listed(store.name)

    def _is_listed(self, name: str) -> bool:
        return name in (listed_datastores(self._step.resource) or ())

    def _environment(
        self, spec: ParallelRunStepSpec | ScriptStepSpec, node: NodeShape, run_store: str | None
    ) -> tuple[str, str, PackedEnvironment | None]:
        """Return the image, its interpreter, and the packages on top of it."""
        found = self._named_environment(spec)
        if found is None:
            return "", "", None
        given = found.resource.spec
        image, interpreter = given.image or self._images.image(gpus=node.gpus), given.python or "python"
        if not image:
            text = "is missing; set the script's image, or defaultImage in the values of Longshore's chart"
            self.problems.append(found.problem("spec.image", text))
        packages = self._packages(found)
        if packages is None or run_store is None:
            return image, interpreter, None
        packed = packed_environment(
            found.name,
            packages,
            image=image,
            interpreter=interpreter,
            architecture=node.node_selector.get(ARCHITECTURE, ""),
            runs=join(run_store, RUNS),
        )
        return image, interpreter, packed

    def _packages(self, environment: Document[Environment]) -> PackageSet | None:
        try:
            return freeze_packages(environment)
        except InvalidDocuments as error:
            self.problems += error.problems
            return None

    def _named_environment(self, spec: ParallelRunStepSpec | ScriptStepSpec) -> Document[Environment] | None:
        given = spec.environment
        if given is None:
            text = "is missing; a cluster needs an Environment with the script's image or packages"
            self.problems.append(self._step.problem("spec.environment", text))
            return None
        found = self._documents.find(Environment, given.name)
        if found is None:
            rule = "there is no such Environment"
            problem = self._step.wrong("spec.environment.name", given.name, rule, missing=Environment.__name__)
            self.problems.append(problem)
        return found

    def _node(self, spec: ParallelRunStepSpec | ScriptStepSpec) -> NodeShape:
        """Return the shape of one node; resolution reports a ParallelRunStep's missing ComputeCluster."""
        name = spec.compute_target
        cluster = self._documents.find(ComputeCluster, name) if name else None
        if name and cluster is None and isinstance(spec, ScriptStepSpec):
            known = listed(self._documents.names(ComputeCluster))
            rule = f"there is no such ComputeCluster; the documents have {known}"
            self.problems.append(self._step.wrong("spec.computeTarget", name, rule, missing=ComputeCluster.__name__))
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
            case ParallelRunStep() | ScriptStep() as step:
                for path, data in described_in(step):
                    self._check(document, data, path)
                spec_ = step.spec.model_copy(update={"source": self._source(step.spec.source)})
                return replace(document, resource=step.model_copy(update={"spec": spec_}))
            case TransferStep() as transfer:
                for name, location in (("source", transfer.spec.source), ("destination", transfer.spec.destination)):
                    self._check_location(document, location.path, location.datastore, f"spec.{name}.path")
            case Dataset() as dataset if dataset.metadata.name in self._datasets:
                self._check(document, dataset.spec.file or dataset.spec.tabular, "spec")
            case Model() as model if model.metadata.name in self._models:
                self._check_location(document, model.spec.path, model.spec.datastore, "spec.path")
            case _:
                pass
        return document

    def _datastore(self, document: Document[Resource], spec: DatastoreSpec) -> DatastoreSpec:
        uri = self._pod_location(document, spec.uri, "spec.uri")
        if not is_url(uri):
            self._folders.add(uri)
        elif spec.secret_ref is not None:  # volumes need no credentials, so pods do not receive them
            self._secrets.add(spec.secret_ref.name)
        if (account := spec.service_account_name) is not None:
            self._account = self._account or (account, document)
            taken, first = self._account
            if account != taken:
                rule = f"must be {taken!r}, as in {first.where}, or left out: the pods of a run have one account"
                self.problems.append(document.wrong("spec.serviceAccountName", account, rule))
        return spec.model_copy(update={"uri": uri})

    def _pod_location(self, document: Document[Any], uri: str, path: str) -> str:
        """Return a URL unchanged; map a location on a volume to its path inside the pods, and require the volume."""
        if uri.startswith("pvc:"):
            claim, _, folder = uri.removeprefix("pvc:").lstrip("/").partition("/")
            if not claim:
                self.problems.append(document.wrong(path, uri, "must name a claim: pvc:CLAIM/FOLDER"))
            if ".." in folder.split("/"):
                self.problems.append(document.wrong(path, uri, _NO_PARENT_FOLDER))
            return self._on(Volume(claim=claim), folder)
        if uri.startswith("file:"):
            folder = posixpath.normpath("/" + uri.removeprefix("file:").lstrip("/"))
            if not self._host_paths:
                rule = "is a folder of the cluster's nodes, which this operator does not allow; use pvc:CLAIM"
                self.problems.append(document.wrong(path, uri, rule))
            elif not uri.startswith("file:///"):
                self.problems.append(document.wrong(path, uri, "must be absolute: file:///FOLDER"))
            return self._on(Volume(host_path=folder), "")
        if "://" not in uri or is_of_machine(uri):
            self.problems.append(document.wrong(path, uri, "must be a URL of a store, or pvc:CLAIM/FOLDER"))
        return uri

    def _on(self, volume: Volume, folder: str) -> str:
        self._volumes.add(volume)
        return join(volume.mount_path, folder) if folder else volume.mount_path

    def _source(self, source: Source | None) -> Source | None:
        path = "spec.source"
        if source is None:
            text = "is missing; on a cluster, set configMap, image (a folder of the image) or uri"
            self.problems.append(self._step.problem(path, text))
            return None
        if source.uri is not None:
            if source.uri.startswith("file:"):
                rule = "must be a URL of a store or pvc:CLAIM/FOLDER on a cluster; or set configMap or image instead"
                self.problems.append(self._step.wrong(f"{path}.uri", source.uri, rule))
            elif self._is_on_foreign_claim(source.uri):
                claim = source.uri.removeprefix("pvc:").lstrip("/").partition("/")[0]
                rule = f"is in no Datastore; create one with spec.uri pvc:{claim}, or move the source into one"
                self.problems.append(self._step.wrong(f"{path}.uri", source.uri, rule, missing=Datastore.__name__))
            else:
                self._source_uri = self._pod_location(self._step, source.uri, f"{path}.uri")
        return Source(uri=source.image or SOURCE)

    def _is_on_foreign_claim(self, uri: str) -> bool:
        """Return whether a location is on a claim outside every Datastore; pods may mount claims of Datastores only."""
        stores = self._documents.of(Datastore)
        return uri.startswith("pvc:") and not any(is_below(uri, each.resource.spec.uri) for each in stores)

    def _check(self, document: Document[Resource], data: FileDataset | TabularDataset | None, path: str) -> None:
        if data is not None:
            kind = "tabular" if isinstance(data, TabularDataset) else "file"
            for index, location in enumerate(data.paths):
                self._check_location(document, location, data.datastore, f"{path}.{kind}.paths[{index}]")

    def _check_location(self, document: Document[Resource], location: str, datastore: str | None, path: str) -> None:
        if ".." in location.split("/"):
            self.problems.append(document.wrong(path, location, _NO_PARENT_FOLDER))
        elif is_url(location):
            if location.startswith("pvc:") or is_of_machine(location):
                rule = "must be relative to a Datastore, which defines the volume"
                self.problems.append(document.wrong(path, location, rule))
        elif datastore is None and not self._has_default:
            rule = "is relative to a Datastore, but none is named and none is the default"
            self.problems.append(document.wrong(path, location, rule, missing=Datastore.__name__))
        elif location.startswith("/") and datastore is None and not location.startswith(MOUNTS + "/"):
            rule = "must be relative to a Datastore, without a leading /"
            self.problems.append(document.wrong(path, location, rule))
