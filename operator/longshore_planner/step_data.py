"""Data that a step names, which determines the volumes and credentials of its pods, and what its script may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from longshore_api.base import Resource
from longshore_api.data import Dataset, Datastore, FileDataset, TabularDataset
from longshore_api.inputs import ScriptInput
from longshore_api.parallel_run_step import ParallelRunStep, StepInput
from longshore_api.resources import Model
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_planner.catalogue import Document, Documents
from longshore_planner.locations import is_database, is_url
from longshore_planner.pod_locations import is_below

ALL = "*"  # in spec.datastores: every Datastore


def datastores_of(documents: Documents, step: Resource) -> list[Document[Datastore]]:
    """Return the Datastores with files that a script may use by name: those listed, or those that the step uses."""
    listed = listed_datastores(step)
    stores = [each for each in documents.of(Datastore) if not is_database(each.resource.spec.uri)]
    if listed is not None:
        return [each for each in stores if ALL in listed or each.name in listed]
    named, places = data_of(documents, step)
    return [each for each in stores if is_used(each.resource, named, places)]


def listed_datastores(step: Resource) -> list[str] | None:
    """Return a step's spec.datastores; None if it has none."""
    return step.spec.datastores if isinstance(step, ParallelRunStep | ScriptStep) else None


def is_used(store: Datastore, named: AbstractSet[str | None], places: Iterable[str]) -> bool:
    """Return whether data, by the names of its Datastores (None is the default one) and its places, uses a store."""
    if store.metadata.name in named or (store.spec.default and None in named):
        return True
    return any(is_below(place, store.spec.uri) for place in places)


def data_of(documents: Documents, step: Resource) -> tuple[set[str | None], list[str]]:
    """Return the Datastores of a step's data by name, None for the default one, and the data's full locations.

    The source is not part of the data.
    """
    if isinstance(step, TransferStep):
        ends = (step.spec.source, step.spec.destination)
        return {each.datastore for each in ends if not is_url(each.path)}, [each.path for each in ends]
    assert isinstance(step, ParallelRunStep | ScriptStep), "there are no other steps"
    datasets = [each.resource.spec for each in datasets_of(documents, step)]
    models = [each.resource.spec for each in models_of(documents, step)]
    data = [each for _, each in described_in(step)]
    data += [each for dataset in datasets if (each := dataset.file or dataset.tabular) is not None]
    named: set[str | None] = {name for name, _ in outputs_of(step)} or {None}
    named |= {each.datastore for each in (*data, *models)}
    locations = [*(path for each in data for path in each.paths), *(each.path for each in models)]
    locations += (each.rpartition("=")[2] for each in step.spec.arguments)  # an argument may hold a location
    return named, locations


def datasets_of(documents: Documents, step: Resource) -> list[Document[Dataset]]:
    """Return the Datasets that a step names."""
    if not isinstance(step, ParallelRunStep | ScriptStep):
        return []
    found = (documents.find(Dataset, each.dataset) for _, each in inputs_of(step) if each.dataset)
    return [each for each in found if each is not None]


def models_of(documents: Documents, step: Resource) -> list[Document[Model]]:
    """Return the Models of the names that a step names, in all versions."""
    if not isinstance(step, ParallelRunStep | ScriptStep):
        return []
    wanted = {each.name for each in step.spec.models}
    models = documents.of(Model)
    return [each for each in models if not wanted.isdisjoint({each.resource.spec.name, each.name})]


def described_in(step: ParallelRunStep | ScriptStep) -> Iterator[tuple[str, FileDataset | TabularDataset]]:
    """Yield the files or rows that a step's inputs describe in place, each with the path of its input."""
    for path, each in inputs_of(step):
        data = each.file or (each.tabular if isinstance(each, StepInput) else None)
        if data is not None:
            yield path, data


def outputs_of(step: Resource) -> Iterator[tuple[str | None, str]]:
    """Yield the Datastore of each of a step's outputs, and the path of the field that names it."""
    if isinstance(step, ParallelRunStep) and step.spec.output:
        yield step.spec.output.datastore, "spec.output.datastore"
    if isinstance(step, ScriptStep):
        for index, each in enumerate(step.spec.outputs):
            yield each.datastore, f"spec.outputs[{index}].datastore"


def inputs_of(step: ParallelRunStep | ScriptStep) -> Iterator[tuple[str, StepInput | ScriptInput]]:
    """Yield a step's inputs and side inputs, each with its path."""
    inputs: Sequence[StepInput | ScriptInput] = step.spec.inputs
    for index, given in enumerate(inputs):
        yield f"spec.inputs[{index}]", given
    if isinstance(step, ParallelRunStep):
        for index, side in enumerate(step.spec.side_inputs):
            yield f"spec.sideInputs[{index}]", side
