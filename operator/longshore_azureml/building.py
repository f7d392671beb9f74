"""From a pipeline as a script describes it to the documents that Longshore runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.compute import AmlCompute
from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DataPath, DataReference
from longshore_azureml.environments import Environment
from longshore_azureml.errors import ComputeTargetException, UserErrorException
from longshore_azureml.inputs import DatasetConsumptionConfig
from longshore_azureml.models import Model
from longshore_azureml.names import digest, port_name, resource_name, unique
from longshore_azureml.outputs import OutputDatasetConfig
from longshore_azureml.parallel import ParallelRunConfig, ParallelRunStep
from longshore_azureml.parameters import PipelineParameter
from longshore_azureml.ports import Ports
from longshore_azureml.steps import DataTransferStep, PipelineStep, ScriptStep, producer_of

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

_TEXT_FILES = (".py", ".json", ".yml", ".yaml")
_LARGEST = 1 << 20  # bytes of a file that is searched for names of models


@dataclass(frozen=True)
class Built:
    """A pipeline of Longshore, and the names that scripts know."""

    pipeline: longshore.Pipeline
    steps: Mapping[str, str]  # name in the pipeline -> the script's name
    outputs: Mapping[str, Mapping[str, str]]  # the same of each step's outputs
    parameters: Mapping[str, PipelineParameter]  # by the script's name
    missing: Mapping[str, Sequence[str]]  # packages that this interpreter lacks, by environment

    def value(self, name: str, given: Any) -> Any:
        """Return a value that a run passes to a parameter, as Longshore takes it. Raises UserErrorException."""
        if name not in self.parameters:
            known = ", ".join(self.parameters) or "none"
            raise UserErrorException(f'"{name}" is no parameter of the pipeline; its parameters are: {known}.')
        return _value(self.parameters[name], given)


def build(
    workspace: Workspace, steps: Iterable[PipelineStep], order: Mapping[int, Sequence[PipelineStep]], *, name: str,
    description: str | None = None,
) -> Built:  # fmt: skip
    """Return the pipeline of these steps, and of those whose outputs they read or that they run after.

    Args:
        workspace: Where the steps run.
        steps: The steps.
        order: Further steps that a step runs after, by the `id` of the step.
        name: Name of the pipeline; any text.
        description: Free text.

    Raises:
        UserErrorException: An argument breaks a rule.
        ComputeTargetException: A compute target does not exist.
    """
    builder = Builder(workspace, _closure(steps, order), order)
    try:
        native = [builder.native(each) for each in builder.steps]
        annotations = {"longshore.dev/azureml-experiment": name}
        made = longshore.Pipeline(
            resource_name(name),
            native,
            parameters=builder.declared() or None,
            description=description,
            annotations=annotations,
        )
    except longshore.InvalidArgument as error:
        raise UserErrorException(str(error)) from None
    steps_ = {slug: step.name for slug, step in builder.slugs.items()}
    return Built(made, steps_, builder.outputs, builder.parameters, builder.missing)


def _closure(steps: Iterable[PipelineStep], order: Mapping[int, Sequence[PipelineStep]]) -> list[PipelineStep]:
    """Return the steps, each after those that it needs."""
    found: dict[int, PipelineStep] = {}
    started: set[int] = set()

    def add(step: PipelineStep) -> None:
        if id(step) in started:
            return
        started.add(id(step))
        for output in step.read():
            add(producer_of(output, step))
        for each in (*step.after, *order.get(id(step), ())):
            add(each)
        found[id(step)] = step

    for each in steps:
        add(each)
    return list(found.values())


@dataclass
class Builder:
    """Turns steps of a script into steps of Longshore; collects names, parameters and documents."""

    workspace: Workspace
    steps: Sequence[PipelineStep]
    order: Mapping[int, Sequence[PipelineStep]]
    slugs: dict[str, PipelineStep] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    parameters: dict[str, PipelineParameter] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    _slug_of: dict[int, str] = field(default_factory=dict)
    _native: dict[str, longshore.Parameter] = field(default_factory=dict)
    _ports: dict[int, str] = field(default_factory=dict)  # of outputs, by the `id` of their origin
    _resources: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step in self.steps:
            slug = unique(step.name, self.slugs)
            self.slugs[slug] = step
            self._slug_of[id(step)] = slug

    def native(self, step: PipelineStep) -> longshore.Step:
        """Return the step of Longshore."""
        slug = self._slug_of[id(step)]
        after = [self._slug_of[id(each)] for each in (*step.after, *self.order.get(id(step), ()))]
        common = {
            "name": slug,
            "run_after": list(dict.fromkeys(after)) or None,
            "allow_reuse": step.allow_reuse,
            "version": step.version,
        }
        ports = Ports(self, step)
        match step:
            case ParallelRunStep():
                made: longshore.Step = self._parallel(step, ports, common)
            case DataTransferStep():
                return self._transfer(step, common)
            case ScriptStep():
                made = self._script(step, ports, common)
            case _:
                raise UserErrorException(f"{step!r} is no step that Longshore runs.")
        self.outputs[slug] = dict(ports.names)
        return made

    def _script(self, step: ScriptStep, ports: Ports, common: Mapping[str, Any]) -> longshore.ScriptStep:
        for each in step.inputs:
            ports.add(each)
        arguments = [ports.text(each) for each in step.arguments]
        _require_file(step.source_directory, step.script_name, step)
        params = {name: self.value(each) for name, each in step.params.items()}
        return longshore.ScriptStep(
            script_name=step.script_name,
            source=step.source_directory,
            inputs=list(ports.inputs.values()) or None,
            outputs=ports.outputs,
            arguments=arguments or None,
            params=params or None,
            environment=self.environment(step.environment),
            compute_target=self.compute(step.target, step),
            models=self._models(step.source_directory, arguments) or None,
            **common,
        )

    def _parallel(self, step: ParallelRunStep, ports: Ports, common: Mapping[str, Any]) -> longshore.ParallelRunStep:
        config = step.config
        folder, entry = _source_of(config)
        _require_file(folder, entry, step)
        inputs = Ports(self, step, role=ports)
        for each in step.inputs:
            inputs.add(each)
        for each in step.side_inputs:
            ports.add(each)
        arguments = [ports.text(each) for each in step.arguments]
        if len(ports.outputs) > 1:
            names = ", ".join(ports.names.values())
            raise UserErrorException(f'The step "{step.name}" has several outputs ({names}); it can have one.')
        size = config.mini_batch_size
        percent = config.allowed_failed_percent
        return longshore.ParallelRunStep(
            entry_script=entry,
            source=folder,
            inputs=list(inputs.inputs.values()),
            side_inputs=list(ports.inputs.values()) or None,
            output=ports.outputs[0] if ports.outputs else None,
            output_action="append_row" if config.output_action == "append_row" else "summary_only",
            append_row_file_name=config.append_row_file_name if config.output_action == "append_row" else None,
            arguments=arguments or None,
            description=config.description,
            environment=self.environment(config.environment),
            environment_variables={name: str(each) for name, each in config.environment_variables.items()} or None,
            compute_target=self.compute(config.compute_target, step),
            node_count=self.number(config.node_count),
            process_count_per_node=self.number(config.process_count_per_node),
            mini_batch_size=self.value(size),
            partition_keys=self.value(config.partition_keys),
            error_threshold=self.number(config.error_threshold),
            allowed_failed_count=self.number(config.allowed_failed_count),
            allowed_failed_percent=self.value(percent),
            run_invocation_timeout_seconds=self.number(config.run_invocation_timeout),
            run_max_try=self.number(config.run_max_try),
            logging_level=self.value(config.logging_level),
            models=self._models(folder, arguments) or None,
            **common,
        )

    def _transfer(self, step: DataTransferStep, common: Mapping[str, Any]) -> longshore.TransferStep:
        self.outputs[common["name"]] = {}
        given = {name: value for name, value in common.items() if name != "version"}
        return longshore.TransferStep(
            source=self._place(step.source, step), destination=self._place(step.destination, step), **given
        )

    def _place(self, given: DataReference | OutputDatasetConfig, step: PipelineStep) -> Any:
        if isinstance(given, OutputDatasetConfig):
            return longshore.StepOutput(self.slug_of(producer_of(given, step)), self.port_of(given))
        return longshore.DataPath(given.path_on_datastore.lstrip("/") or ".", self.resource(given.datastore.native()))

    def slug_of(self, step: PipelineStep) -> str:
        """Return the name of a step in the pipeline."""
        return self._slug_of[id(step)]

    def port_of(self, output: OutputDatasetConfig) -> str:
        """Return the name of an output in its step."""
        return self._ports.get(id(output.origin)) or port_name(output.origin.name)

    def set_port(self, output: OutputDatasetConfig, name: str) -> None:
        """Set the name of an output in its step."""
        self._ports[id(output.origin)] = name

    def resource(self, made: Any) -> Any:
        """Return the one object for equal documents, so that the pipeline has each once."""
        first = self._resources.setdefault((made.kind, made.name), made)
        if first.to_dict() == made.to_dict():
            return first
        other = made.replace(name=f"{made.name[:50]}-{digest(made.to_dict())}")
        return self._resources.setdefault((other.kind, other.name), other)

    def environment(self, given: Environment | None) -> longshore.Environment | None:
        """Return the Environment document; None for a run configuration without settings."""
        if given is None:
            return None
        lacking = given.missing()
        if lacking:
            self.missing[given.name] = lacking
        made = given.native(local=True)
        return None if not (made.image or made.variables) else self.resource(made)

    def compute(self, given: Any, step: PipelineStep) -> longshore.ComputeCluster | None:
        """Return the ComputeCluster document; None for this machine. Raises ComputeTargetException."""
        if given is None or given == "local":
            return None
        if isinstance(given, str):
            given = AmlCompute(self.workspace, given)
        if not isinstance(given, AmlCompute):
            raise ComputeTargetException(
                f'compute_target of the step "{step.name}" is {given!r}: it must be a compute target or its name.'
            )
        return self.resource(given.native())  # type: ignore[no-any-return]

    def parameter(self, given: PipelineParameter) -> longshore.Parameter:
        """Return the parameter of Longshore. Raises UserErrorException if two of one name differ."""
        first = self.parameters.setdefault(given.name, given)
        if first is not given and _default(first) != _default(given):
            raise UserErrorException(
                f'There are two parameters "{given.name}" with different default values: {first.default_value!r} and '
                f"{given.default_value!r}; give one of them another name."
            )
        if given.name not in self._native:
            kind: Any = "datapath" if isinstance(given.default_value, DataPath) else None
            default = _value(given, given.default_value)
            self._native[given.name] = longshore.Parameter(port_name(given.name), default, type=kind)
        return self._native[given.name]

    def declared(self) -> list[longshore.Parameter]:
        """Return all parameters, also those that occur in texts only."""
        return list(self._native.values())

    def value(self, given: Any) -> Any:
        """Return a setting, which may be a parameter."""
        return self.parameter(given) if isinstance(given, PipelineParameter) else given

    def number(self, given: Any) -> Any:
        """Return a setting that is a number, a text with one, or a parameter."""
        if isinstance(given, str) and re.fullmatch(r"\s*-?\d+\s*", given):
            return int(given)
        return self.value(given)

    def _models(self, folder: str, arguments: Sequence[str]) -> list[longshore.Model]:
        """Return the models whose names occur in the arguments or files of a step: scripts ask for them by name."""
        latest = {each.name: each for each in reversed(Model.list(self.workspace))}
        if not latest:
            return []
        texts = [*arguments, *_texts(folder)]
        return [
            self.resource(model.document)
            for name, model in latest.items()
            if any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for text in texts)
        ]


def _default(parameter: PipelineParameter) -> Any:
    given = parameter.default_value
    return given.to_record() if isinstance(given, AbstractDataset) else repr(given)


def _value(parameter: PipelineParameter, given: Any) -> Any:
    """Return a value of a parameter as Longshore takes it; texts for numbers, and numbers for texts, convert."""
    if isinstance(given, DatasetConsumptionConfig):
        given = given.dataset
    if isinstance(given, AbstractDataset):
        return given.native(parameter.name)
    if isinstance(given, DataPath | DataReference):
        path = given if isinstance(given, DataPath) else DataPath(given.datastore, given.path_on_datastore)
        return path.native()
    if isinstance(given, list) or (isinstance(parameter.default_value, str) and not isinstance(given, str)):
        return str(given)
    return given


def _source_of(config: ParallelRunConfig) -> tuple[str, str]:
    """Return the source folder and the path of the script below it."""
    if config.source_directory is None:
        folder, name = os.path.split(os.path.abspath(config.entry_script))
        return folder, name
    return os.path.abspath(config.source_directory), config.entry_script


def _require_file(folder: str, name: str, step: PipelineStep) -> None:
    if not os.path.isfile(os.path.join(folder, name)):
        raise UserErrorException(
            f'The script "{name}" of the step "{step.name}" does not exist in the source folder {folder}; change '
            "source_directory or the name of the script."
        )


def _texts(folder: str) -> Iterable[str]:
    """Yield the texts of a source's files."""
    from longshore_storage.source_files import source_files

    for name in source_files(folder):
        path = os.path.join(folder, name)
        if name.endswith(_TEXT_FILES) and os.path.getsize(path) <= _LARGEST:
            with open(path, encoding="utf-8", errors="replace") as file:
                yield file.read()
