"""Data that a script may ask for by name: the Datastores that it may use, and the Models and Datasets that exist.

Both are frozen with the run. The agent compares them when a script asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from longshore_api.base import Resource
from longshore_api.data import Dataset, Datastore
from longshore_api.errors import InvalidDocuments
from longshore_api.resources import Model
from longshore_planner.catalogue import Document, Documents
from longshore_planner.locations import is_url, locate
from longshore_planner.pod_locations import is_below, pod_location
from longshore_planner.references import References
from longshore_planner.step_data import ALL, datastores_of, listed_datastores, outputs_of
from longshore_planner.tables import tabular_format
from longshore_protocol import catalogue, job

_MACHINE = job.Datastore("", "/")  # the files of the machine, which a local run's documents may name by their paths


def usable_datastores(documents: Documents, step: Document[Resource], *, in_pods: bool) -> tuple[job.Datastore, ...]:
    """Return the Datastores that a step's script may use: those of spec.datastores, or those that the step uses.

    Args:
        documents: The step and everything that it refers to; `in_pods`, with locations in the form of pods.
        step: A ParallelRunStep or ScriptStep.
        in_pods: Whether the step runs in pods.

    Raises:
        InvalidDocuments: A listed Datastore does not exist, or is a database.
    """
    references = References(documents, step)
    for index, name in enumerate(listed_datastores(step.resource) or ()):
        if name != ALL:
            references.datastore(name, step, f"spec.datastores[{index}]")
    if references.problems:
        raise InvalidDocuments(references.problems)
    root_of = _root_in_pods if in_pods else _local_root
    found = []
    for each in datastores_of(documents, step.resource):
        root, default = root_of(each), each.resource.spec.default
        if root is not None:
            read_only = in_pods and "://" not in root and not _is_written(each, step.resource)
            found.append(job.Datastore(each.name, root, default, read_only))
    return tuple(found if in_pods else [*found, _MACHINE])


def named_data(documents: Documents, *, in_pods: bool) -> str:
    """Return the catalogue of all Models and Datasets of the documents, packed; `in_pods` if the run is in pods."""
    return catalogue.pack(_Lister(documents, in_pods=in_pods).assets(), documents.names(Datastore))


def _is_written(store: Document[Datastore], step: Resource) -> bool:
    """Return whether a step writes to a Datastore by its outputs, or may by its spec.datastores.

    The claim of another one may allow no more than reading.
    """
    if listed_datastores(step) is not None:
        return True
    written = {name for name, _ in outputs_of(step)} or {None}
    return store.name in written or (store.resource.spec.default and None in written)


class _Lister:
    """Lister of the Models and Datasets of documents, with their locations relative to Datastores."""

    def __init__(self, documents: Documents, *, in_pods: bool) -> None:
        self._documents, self._in_pods = documents, in_pods
        stores = documents.of(Datastore)
        find = _location_in_pods if in_pods else _local_root
        self._roots = {each.name: root for each in stores if (root := find(each)) is not None}
        self._default = next((each.name for each in stores if each.resource.spec.default), None)

    def assets(self) -> Iterator[catalogue.Asset]:
        for model in self._documents.of(Model):
            spec = model.resource.spec
            yield catalogue.Asset(
                catalogue.MODEL,
                spec.name or model.name,
                spec.version,
                model.name,
                (self._place(model, spec.datastore, spec.path),),
                spec.description,
                spec.tags,
                spec.properties,
            )
        for dataset in self._documents.of(Dataset):
            yield self._dataset(dataset)

    def _dataset(self, document: Document[Dataset]) -> catalogue.Asset:
        spec = document.resource.spec
        data = spec.file or spec.tabular
        assert data is not None, "the model requires exactly one of the two"
        store = data.datastore
        tabular: dict[str, Any] | None = None
        if spec.tabular is not None:
            database = store or self._default or "" if spec.tabular.query is not None else ""
            table = asdict(tabular_format(spec.tabular, database))
            plain = asdict(job.TabularFormat(spec.tabular.format))
            tabular = {name: value for name, value in table.items() if name == "format" or value != plain[name]}
        return catalogue.Asset(
            catalogue.DATASET,
            spec.name or document.name,
            spec.version,
            document.name,
            tuple(self._place(document, store, each) for each in data.paths) or ((store or self._default or "", ""),),
            spec.description,
            spec.tags,
            tabular=tabular,
        )

    def _place(self, document: Document[Any], datastore: str | None, path: str) -> tuple[str, str]:
        """Return a location as Datastore and path below its root, or as "" and the whole location."""
        if is_url(path) or (path.startswith("/") and datastore is None):
            return self._inside(path if self._in_pods else _located(path, document.folder) or path)
        name = datastore or self._default
        if name is not None:
            return name, path.lstrip("/")
        return "", path if self._in_pods else locate(path, folder=document.folder)

    def _inside(self, location: str) -> tuple[str, str]:
        holding = [name for name, root in self._roots.items() if is_below(location, root)]
        if not holding:
            return "", location
        name = max(holding, key=lambda each: len(self._roots[each]))
        return name, pod_location(location).removeprefix(self._roots[name].rstrip("/")).strip("/")


def _root_in_pods(store: Document[Datastore]) -> str | None:
    """Return the root of a Datastore in the form of pods; None if it is on a volume that is not mounted."""
    uri = store.resource.spec.uri
    return None if uri.startswith(("pvc:", "file:")) else uri


def _location_in_pods(store: Document[Datastore]) -> str:
    return pod_location(store.resource.spec.uri)


def _local_root(store: Document[Datastore]) -> str | None:
    """Return the root of a Datastore as a local path or URL; None if a local run cannot access it."""
    return _located(store.resource.spec.uri, store.folder)


def _located(location: str, folder: str) -> str | None:
    try:
        return locate(location, folder=folder)
    except ValueError:
        return None
