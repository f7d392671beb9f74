"""Steps as scripts describe them. `building` turns them into steps of Longshore."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longshore_azureml.datastores import DataReference
from longshore_azureml.environments import Environment, RunConfiguration, ScriptRunConfig
from longshore_azureml.errors import UserErrorException
from longshore_azureml.inputs import as_input
from longshore_azureml.keywords import checked
from longshore_azureml.outputs import OutputDatasetConfig
from longshore_azureml.placeholders import Placeholder, parts
from longshore_azureml.unsupported import Supported


class PipelineStep(Supported):
    """A step: its data, and the steps that it runs after."""

    def __init__(self, name: str, inputs: Any, outputs: Any, arguments: Any, allow_reuse: bool, version: Any) -> None:
        self.name = name
        self.inputs = [each for each in _listed(inputs) if each is not None]
        self.outputs = [each for each in _listed(outputs) if each is not None]
        self.arguments = _listed(arguments)
        self.allow_reuse = allow_reuse
        self.version = None if version is None else str(version)
        self.after: list[PipelineStep] = []
        for each in self.outputs:
            if isinstance(each, DataReference) or not isinstance(each, OutputDatasetConfig):
                raise UserErrorException(
                    f'outputs of the step "{name}" has {each!r}: it must be a PipelineData or an '
                    "OutputFileDatasetConfig."
                )
        for each in self.inputs:
            if as_input(each) is None:
                raise UserErrorException(f'inputs of the step "{name}" has {each!r}, which is no data.')
        for output in self.written():
            output.origin.__dict__["producer"] = self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def run_after(self, step: PipelineStep) -> None:
        """Run this step after another one, though it reads nothing of it."""
        if not isinstance(step, PipelineStep):
            raise UserErrorException(f"step is {step!r}: it must be a step.")
        self.after.append(step)

    def all_inputs(self) -> list[Any]:
        """Return the data that is listed as input."""
        return self.inputs

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the objects in the arguments, also those inside texts."""
        for argument in self.arguments:
            yield from objects_in(argument)

    def written(self) -> list[OutputDatasetConfig]:
        """Return the outputs of this step, each view of them once.

        An output that is only in the arguments belongs to the first step that has it so, unless it is an input.
        """
        found = list(self.outputs)
        inputs = {_origin(each) for each in self.all_inputs()}
        for each in self.placeholders():
            if not isinstance(each, OutputDatasetConfig) or id(each.origin) in inputs:
                continue
            producer = each.origin.__dict__.get("producer")
            if producer is None or producer is self or producer.name == self.name:
                found.append(each)
        return found

    def read(self) -> list[OutputDatasetConfig]:
        """Return the outputs of other steps that this step reads."""
        written = {id(each.origin) for each in self.written()}
        data = [as_input(each) for each in (*self.all_inputs(), *self.placeholders())]
        sources = [each.dataset for each in data if each is not None]
        return [each for each in sources if isinstance(each, OutputDatasetConfig) and id(each.origin) not in written]


def objects_in(argument: Any) -> Iterator[Placeholder]:
    """Yield the objects in one argument."""
    if isinstance(argument, Placeholder):
        yield argument
    elif isinstance(argument, tuple) and argument and isinstance(argument[0], Placeholder):
        yield argument  # type: ignore[misc]  # a parameter with its binding, which `as_input` reads
    elif isinstance(argument, str):
        yield from (each for each in parts(argument) if isinstance(each, Placeholder))


def _origin(given: Any) -> int | None:
    data = as_input(given)
    source = None if data is None else data.dataset
    return id(source.origin) if isinstance(source, OutputDatasetConfig) else None


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str | tuple) else [given]


def producer_of(output: OutputDatasetConfig, reader: PipelineStep) -> PipelineStep:
    """Return the step that writes an output. Raises UserErrorException if there is none."""
    producer = output.origin.__dict__.get("producer")
    if producer is None:
        raise UserErrorException(
            f'The step "{reader.name}" reads the output "{output.name}", which no step writes; add it to the outputs '
            "or arguments of the step that does."
        )
    return producer  # type: ignore[no-any-return]  # PipelineStep.__init__ sets it


class ScriptStep(PipelineStep):
    """A step that runs one script."""

    script_name: str
    source_directory: str
    target: Any
    environment: Environment | None
    environment_variables: Mapping[str, Any]
    params: Mapping[str, Any]

    def _set_run(self, compute_target: Any, runconfig: Any, source_directory: Any) -> None:
        """Set compute target and environment from a run configuration, and the source folder."""
        if runconfig is not None and not isinstance(runconfig, RunConfiguration | ScriptRunConfig):
            raise UserErrorException(
                f'runconfig of the step "{self.name}" is {runconfig!r}: it must be a RunConfiguration.'
            )
        run = runconfig.run_config if isinstance(runconfig, ScriptRunConfig) else runconfig
        self.target = compute_target if compute_target is not None or run is None else run.target
        self.environment = None if run is None else run.environment
        self.source_directory = os.path.abspath(os.fspath(source_directory or "."))


@checked
class PythonScriptStep(ScriptStep):
    """A step that runs one Python script.

    Args:
        script_name: Path of the script below the source folder; also the name of a step without one.
        name: Name of the step; any text.
        arguments: Command line: texts, numbers, and data, parameters and outputs.
        compute_target: Compute target or its name; that of `runconfig` if not given.
        runconfig: Environment and compute target.
        runconfig_pipeline_params: Not supported.
        inputs: Data that the script reads.
        outputs: Folders that it writes.
        params: Values that the script gets as environment variables AML_PARAMETER_NAME.
        source_directory: Folder of the script; the current one if not given.
        allow_reuse: Whether outputs of an earlier run may be reused.
        version: Label; change it to run the step again.
        hash_paths: Ignored: all files of the source count.
    """

    def __init__(
        self,
        script_name: str,
        name: str | None = None,
        arguments: list[Any] | None = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: Any = None,
        inputs: list[Any] | None = None,
        outputs: list[Any] | None = None,
        params: Mapping[str, Any] | None = None,
        source_directory: Any = None,
        allow_reuse: bool = True,
        version: str | None = None,
        hash_paths: Any = None,
    ) -> None:
        if runconfig_pipeline_params:
            raise UserErrorException(
                "runconfig_pipeline_params is not supported: pass the PipelineParameter in arguments."
            )
        self.script_name = script_name
        super().__init__(name or script_name, inputs, outputs, arguments, allow_reuse, version)
        self.params = dict(params or {})
        self._set_run(compute_target, runconfig, source_directory)


@checked
class CommandStep(ScriptStep):
    """A step that runs a command: `python SCRIPT.py ...` or `python -m MODULE ...`.

    Raises:
        UserErrorException: The command is another one.
    """

    def __init__(
        self,
        command: str | list[Any] | None = None,
        name: str | None = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: Any = None,
        inputs: list[Any] | None = None,
        outputs: list[Any] | None = None,
        params: Mapping[str, Any] | None = None,
        source_directory: Any = None,
        allow_reuse: bool = True,
        version: str | None = None,
    ) -> None:
        of_run = runconfig if isinstance(runconfig, ScriptRunConfig) else None
        given = command if command is not None else of_run.command if of_run is not None else None
        if given is None:
            raise UserErrorException("command is missing: pass command=..., or a ScriptRunConfig with one.")
        self.script_name, arguments = _split(given)
        super().__init__(name or self.script_name, inputs, outputs, arguments, allow_reuse, version)
        self.params = dict(params or {})
        self._set_run(compute_target, runconfig, source_directory or (of_run.source_directory if of_run else None))


def _split(command: str | list[Any]) -> tuple[str, list[Any]]:
    """Return script and arguments of a command line. Raises UserErrorException."""
    words: list[Any] = []
    for each in [command] if isinstance(command, str) else command:
        words += shlex.split(each) if isinstance(each, str) else [each]
    if len(words) > 1 and isinstance(words[0], str) and os.path.basename(words[0]) in ("python", "python3"):
        if words[1] == "-m" and len(words) > 2 and isinstance(words[2], str):
            return words[2].replace(".", "/") + ".py", words[3:]
        if isinstance(words[1], str) and words[1].endswith(".py"):
            return words[1], words[2:]
    raise UserErrorException(
        f"command is {' '.join(map(str, words))!r}: it must be python SCRIPT.py or python -m MODULE, with arguments; "
        "start other programs from a Python script."
    )


@checked
class DataTransferStep(PipelineStep):
    """A step that copies a file or folder between datastores.

    Args:
        name: Name of the step.
        source_data_reference: What to copy.
        destination_data_reference: Where to copy it to.
        compute_target: Ignored.
        source_reference_type: Ignored: the store knows whether it is a file.
        destination_reference_type: Ignored.
        allow_reuse: Whether the copy of an earlier run may be reused.
    """

    def __init__(
        self,
        name: str,
        source_data_reference: Any = None,
        destination_data_reference: Any = None,
        compute_target: Any = None,
        source_reference_type: str | None = None,
        destination_reference_type: str | None = None,
        allow_reuse: bool = True,
    ) -> None:
        for role, given in (("source", source_data_reference), ("destination", destination_data_reference)):
            is_source = role == "source" and isinstance(given, OutputDatasetConfig)
            if not (isinstance(given, DataReference) or is_source):
                raise UserErrorException(
                    f"{role}_data_reference of the step {name!r} is {given!r}: it must be a DataReference."
                )
        inputs = [source_data_reference] if isinstance(source_data_reference, OutputDatasetConfig) else []
        super().__init__(name, inputs, [], [], allow_reuse, None)
        self.source, self.destination = source_data_reference, destination_data_reference
