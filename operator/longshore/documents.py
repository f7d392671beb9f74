"""Documents read back as the objects that they would be made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from pydantic.alias_generators import to_snake

from longshore.data import Datastore, FileDataset, Input, InputData, TabularDataset
from longshore.pipelines import Pipeline, PipelineRun
from longshore.resource import InvalidArgument, Resource, to_yaml
from longshore.resources import ComputeCluster, Environment, Model
from longshore.steps import ParallelRunStep, ScriptStep, Step, TransferStep
from longshore.values import Output, Parameter
from longshore_planner.documents import load as load_documents
from longshore_planner.documents import manifests, read_yaml

_STEPS: Mapping[str, type[Step]] = {each.in_pipeline: each for each in (ParallelRunStep, ScriptStep, TransferStep)}
_SETTINGS = ("runAfter", "allowReuse", "version", "retries", "timeoutSeconds")
_RESOURCES: tuple[type[Resource], ...] = (ComputeCluster, Datastore, Environment, Model, PipelineRun, *_STEPS.values())
_OTHERS: Mapping[str, type[Resource]] = {each.kind: each for each in _RESOURCES}


class Documents(Sequence[Resource]):
    """The objects of some documents, in order. `documents["NAME"]` or `documents["KIND/NAME"]` finds one."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._resources = tuple(resources)

    @overload
    def __getitem__(self, key: int | str) -> Resource: ...
    @overload
    def __getitem__(self, key: slice) -> Documents: ...
    def __getitem__(self, key: int | str | slice) -> Resource | Documents:
        if isinstance(key, slice):
            return Documents(self._resources[key])
        if isinstance(key, int):
            return self._resources[key]
        found = [each for each in self if key in (each.reference, f"{each.kind}/{each.reference}")]
        if len(found) != 1:
            known = ", ".join(f"{each.kind}/{each.reference}" for each in (found or self))
            state = "are several documents of this name: " if found else "is no document of this name; there are "
            raise KeyError(f"{key!r}: there {state}{known}")
        return found[0]

    def __len__(self) -> int:
        return len(self._resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources)

    def __repr__(self) -> str:
        return f"Documents({', '.join(f'{each.kind}/{each.reference}' for each in self)})"

    def to_yaml(self) -> str:
        """Return all documents as one YAML text."""
        return to_yaml(self)


def load(*paths: str | Path) -> Documents:
    """Read YAML files, and the YAML files directly in folders, as objects.

    Relative paths in a document start from its file's folder, as with `longshore run`.

    Example:
        documents = longshore.load("deploy/examples/digits")
        ws.submit(documents)

    Raises:
        InvalidDocuments: with every problem of the documents.
    """
    files = dict.fromkeys(file for path in paths for file in manifests(Path(path)))
    try:
        return Documents([resource for file in files for resource in _read(file)])
    except (AttributeError, InvalidArgument, LookupError, TypeError):
        load_documents([Path(each) for each in paths])  # names file, document and field of each problem
        raise


def _read(file: Path) -> Iterator[Resource]:
    folder = str(file.absolute().parent)
    return (from_document(each, folder=folder) for each in read_yaml(file) if each is not None)


def from_document(document: Mapping[str, Any], *, folder: str) -> Resource:
    """Return the object that a document would be made of; its relative paths start from `folder`.

    Raises InvalidArgument for a document that breaks a rule.
    """
    made = _make(document)
    object.__setattr__(made, "_folder", folder)
    return made


def _make(document: Mapping[str, Any]) -> Resource:
    kind, spec, metadata = document["kind"], document.get("spec") or {}, document["metadata"]
    if kind == "Dataset":
        about = {key: value for key, value in spec.items() if key not in ("file", "tabular")}
        return _dataset(spec, **metadata, **_arguments(about, FileDataset))
    if kind == "Pipeline":
        steps = [_step_of_pipeline(each) for each in spec["steps"]]
        parameters = _each(_parameter, spec.get("parameters"))
        return Pipeline(**metadata, **_arguments({**spec, "steps": steps, "parameters": parameters}))
    made = _OTHERS[kind]
    return made(**metadata, **_arguments(spec, made))


def _step_of_pipeline(raw: Mapping[str, Any]) -> Step:
    field, made = next((field, made) for field, made in _STEPS.items() if field in raw)
    settings = {key: raw[key] for key in _SETTINGS if key in raw}
    return made(name=raw["name"], **_arguments({**raw[field], **settings}, made))


def _arguments(spec: Mapping[str, Any], made: type[Resource] = Resource) -> dict[str, Any]:
    """Return the fields of a spec as arguments, with inputs and outputs as objects."""
    found = {made.argument(to_snake(key)): value for key, value in spec.items()}
    for name, read in (("inputs", _input), ("side_inputs", _input), ("outputs", _output)):
        if name in found:
            found[name] = _each(read, found[name])
    if isinstance(found.get("output"), Mapping):
        found["output"] = _output(found["output"])
    return found


def _each(read: Callable[[Any], Any], values: Any) -> Any:
    return [read(each) for each in values] if isinstance(values, list) else values


def _input(raw: Mapping[str, Any]) -> Input:
    settings = {to_snake(key): value for key, value in raw.items() if key in ("mode", "partitionFormat")}
    return Input(raw["name"], _data(raw), **settings)


def _data(raw: Mapping[str, Any]) -> InputData:
    if "file" in raw or "tabular" in raw:
        return _dataset(raw)
    data: str = raw["from"] if "from" in raw else raw["dataset"]
    return data


def _dataset(raw: Mapping[str, Any], **metadata: Any) -> FileDataset | TabularDataset:
    made = FileDataset if "file" in raw else TabularDataset
    return made(**metadata, **_arguments(raw[made.described_as]))


def _output(raw: Mapping[str, Any]) -> Output:
    return Output(**_arguments(raw))


def _parameter(raw: Mapping[str, Any]) -> Parameter:
    return Parameter(**_arguments(raw))
