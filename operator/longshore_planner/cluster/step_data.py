"""Data that a step names, which determines the volumes and credentials of its pods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longshore_api.base import Resource
from longshore_api.data import Dataset, FileDataset, TabularDataset
from longshore_api.inputs import ScriptInput
from longshore_api.parallel_run_step import ParallelRunStep, StepInput
from longshore_api.resources import Model
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_planner.catalogue import Documents
from longshore_planner.locations import is_url


def data_of(documents: Documents, step: Resource) -> tuple[set[str | None], list[str]]:
    """Return the Datastores of a step's data by name, None for the default one, and the data's full locations."""
    if isinstance(step, TransferStep):
        ends = (step.spec.source, step.spec.destination)
        return {each.datastore for each in ends if not is_url(each.path)}, [each.path for each in ends]
    assert isinstance(step, ParallelRunStep | ScriptStep), "there are no other steps"
    spec = step.spec
    named_in = [documents.find(Dataset, each.dataset) for _, each in inputs_of(step) if each.dataset]
    datasets = [each.resource.spec for each in named_in if each is not None]
    data = [each for _, each in described_in(step)]
    data += [each for dataset in datasets if (each := dataset.file or dataset.tabular) is not None]
    wanted = {each.name for each in spec.models}
    models = [
        each.resource.spec
        for each in documents.of(Model)
        if not wanted.isdisjoint({each.resource.spec.name, each.name})
    ]
    named: set[str | None] = {name for name, _ in outputs_of(step)} or {None}
    named |= {each.datastore for each in (*data, *models)}
    locations = [*(path for each in data for path in each.paths), *(each.path for each in models)]
    locations += (each.rpartition("=")[2] for each in spec.arguments)  # an argument may hold a location
    return named, [*locations, (spec.source and spec.source.uri) or ""]


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
