"""Inputs, outputs and arguments of one step, in the form of Longshore's documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DataPath
from longshore_azureml.errors import UserErrorException
from longshore_azureml.inputs import DatasetConsumptionConfig, as_input
from longshore_azureml.names import port_name, unique
from longshore_azureml.outputs import OutputDatasetConfig
from longshore_azureml.parallel import ParallelRunStep
from longshore_azureml.parameters import PipelineParameter
from longshore_azureml.placeholders import Placeholder, parts
from longshore_azureml.steps import PipelineStep, objects_in, producer_of

if TYPE_CHECKING:
    from longshore_azureml.building import Builder


class Ports:
    """Inputs and outputs of one step by their names in the document.

    `role` has the outputs and taken names if this collects the main inputs of a ParallelRunStep.
    """

    def __init__(self, builder: Builder, step: PipelineStep, role: Ports | None = None) -> None:
        self._builder, self._step = builder, step
        self.inputs: dict[tuple[str, str], longshore.Input] = {}
        self.names: dict[str, str] = {} if role is None else role.names  # outputs: name in the document -> the script's
        self.taken: dict[str, Any] = {} if role is None else role.taken
        self._references: dict[int, str] = {}
        self.outputs: list[longshore.Output] = []
        if role is None:
            self._add_outputs()

    def _add_outputs(self) -> None:
        views: dict[int, list[OutputDatasetConfig]] = {}
        for each in self._step.written():
            views.setdefault(id(each.origin), []).append(each)
        for origin, found in views.items():
            name = unique(found[0].origin.name, self.taken, port_name)
            self.taken[name] = self.names[name] = found[0].origin.name
            self._builder.set_port(found[0], name)
            self._references[origin] = f"$(outputs.{name})"
            self.outputs.append(self._output(name, found))

    def _output(self, name: str, views: Sequence[OutputDatasetConfig]) -> longshore.Output:
        def setting(attribute: str) -> Any:
            found = [getattr(each, attribute) for each in (views[0].origin, *views)]
            return next((each for each in reversed(found) if each is not None), None)

        original = views[0].origin.name
        store = setting("datastore") or self._builder.workspace.get_default_datastore()
        path = (setting("path") or "azureml/{run-id}/{output-name}").replace("{output-name}", original.strip("/"))
        script = {} if isinstance(self._step, ParallelRunStep) else {
            "mode": setting("mode"), "overwrite": setting("overwrite"),
        }  # fmt: skip
        return longshore.Output(
            name,
            datastore=self._builder.resource(store.native()),
            path=path.strip("/"),
            register_on_complete=setting("registration"),
            **script,
        )

    def add(self, given: Any) -> str:
        """Add an input; return the reference to its path."""
        data = as_input(given)
        assert data is not None, "steps check their inputs"
        key = (data.name, _identity(data))
        if key in self.inputs:
            self.inputs[key] = _with_mode(self.inputs[key], data)
        else:
            name = unique(data.name, self.taken, port_name)
            self.taken[name] = data.name
            self.inputs[key] = self._input(name, data)
        return str(self.inputs[key])

    def _input(self, name: str, data: DatasetConsumptionConfig) -> longshore.Input:
        mode: Any = None if data.mode == "direct" else data.mode
        source, more = data.dataset, {}
        native: Any
        match source:
            case AbstractDataset():
                native = self._builder.resource(source.native(data.name))
                if source.kind == "tabular":
                    mode = None
            case PipelineParameter(default_value=DataPath()):
                native = longshore.FileDataset([self._builder.parameter(source)])
            case PipelineParameter():
                native = self._builder.parameter(source)
                if getattr(source.default_value, "kind", None) == "tabular":
                    mode = None
            case _:
                producer = producer_of(source, self._step)
                output = longshore.StepOutput(self._builder.slug_of(producer), self._builder.port_of(source))
                native = output
                is_parallel = isinstance(self._step, ParallelRunStep)
                if source.tabular is not None and is_parallel:
                    rows = {key: each for key, each in source.tabular.items() if key != "paths"}
                    below = source.tabular.get("paths") or [""]
                    paths = [f"{output}/{each}".rstrip("/") for each in below]
                    native, mode = longshore.TabularDataset(paths, **rows), None
                elif source.origin.partition_format is not None and is_parallel:
                    more = {"partition_format": source.origin.partition_format}
        return longshore.Input(name, native, mode=mode, **more)

    def text(self, argument: Any) -> str:
        """Return an argument as text, with references for the objects in it."""
        if isinstance(argument, str) and not isinstance(argument, Placeholder):
            return "".join(each if isinstance(each, str) else self._reference(each) for each in parts(argument))
        if next(objects_in(argument), None) is not None:
            return self._reference(argument)
        return str(argument)

    def _reference(self, given: Any) -> str:
        if isinstance(given, OutputDatasetConfig) and id(given.origin) in self._references:
            return self._references[id(given.origin)]
        if as_input(given) is not None:
            return self.add(given)
        if isinstance(given, PipelineParameter):
            return str(self._builder.parameter(given))
        raise UserErrorException(f'arguments of the step "{self._step.name}" has {given!r}, which is no value.')


def _identity(data: DatasetConsumptionConfig) -> str:
    match data.dataset:
        case AbstractDataset():
            return data.dataset.id
        case PipelineParameter():
            return f"parameter {data.dataset.name}"
        case _:
            return f"output {id(data.dataset.origin)}"


def _with_mode(made: longshore.Input, data: DatasetConsumptionConfig) -> longshore.Input:
    if made.mode is not None or data.mode == "direct" or isinstance(made.data, longshore.TabularDataset):
        return made
    return longshore.Input(made.name, made.data, mode=data.mode, partition_format=made.partition_format)  # type: ignore[arg-type]  # mount or download
