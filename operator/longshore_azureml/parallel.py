"""ParallelRunConfig and ParallelRunStep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from longshore_azureml.environments import Environment
from longshore_azureml.errors import UserErrorException
from longshore_azureml.inputs import as_input
from longshore_azureml.keywords import checked, nearest
from longshore_azureml.steps import PipelineStep
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

_APPEND_ROW, _SUMMARY = "append_row", "summary_only"
_LEFT_OUT = ("input_format", "description")  # keys of YAML files that have no effect


@checked
class ParallelRunConfig(Supported):
    """Script, environment and sizes of a ParallelRunStep. Sizes may be texts, and PipelineParameters.

    Args:
        environment: Environment of the script.
        entry_script: Path of the script, below `source_directory` if that is given.
        error_threshold: Number of failed items that fail the run; -1 to ignore all.
        output_action: append_row, which collects the results of run() in a file, or summary_only.
        compute_target: Compute target or its name.
        node_count: Number of workers.
        process_count_per_node: Processes of each worker.
        mini_batch_size: Files, or bytes of tables, of one mini-batch.
        source_directory: Folder of the script and all that it imports.
        description: Free text.
        logging_level: WARNING, INFO or DEBUG.
        run_invocation_timeout: Seconds for one call of run().
        run_max_try: Tries of a mini-batch.
        append_row_file_name: Name of the file with the results.
        allowed_failed_count: Number of failed mini-batches that fail the run.
        allowed_failed_percent: Percentage of failed mini-batches that fails the run.
        partition_keys: Columns or path values, of which each combination is a mini-batch.
        environment_variables: Environment variables of the script.
    """

    def __init__(
        self,
        environment: Environment,
        entry_script: str,
        error_threshold: Any,
        output_action: str,
        compute_target: Any,
        node_count: Any,
        process_count_per_node: Any = None,
        mini_batch_size: Any = None,
        source_directory: Any = None,
        description: str | None = None,
        logging_level: Any = "INFO",
        run_invocation_timeout: Any = 60,
        run_max_try: Any = 3,
        append_row_file_name: str | None = None,
        allowed_failed_count: Any = None,
        allowed_failed_percent: Any = None,
        partition_keys: Any = None,
        environment_variables: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(environment, Environment):
            raise UserErrorException(f"environment is {environment!r}: it must be an Environment.")
        if output_action not in (_APPEND_ROW, _SUMMARY):
            raise UserErrorException(f'output_action is {output_action!r}: it must be "append_row" or "summary_only".')
        self.environment = environment
        self.entry_script = os.fspath(entry_script)
        self.error_threshold = error_threshold
        self.output_action = output_action
        self.compute_target = compute_target
        self.node_count = node_count
        self.process_count_per_node = process_count_per_node
        self.mini_batch_size = mini_batch_size
        self.source_directory = None if source_directory is None else os.fspath(source_directory)
        self.description = description
        self.logging_level = logging_level
        self.run_invocation_timeout = run_invocation_timeout
        self.run_max_try = run_max_try
        self.append_row_file_name = append_row_file_name or "parallel_run_step.txt"
        self.allowed_failed_count = allowed_failed_count
        self.allowed_failed_percent = allowed_failed_percent
        self.partition_keys = partition_keys
        self.environment_variables = environment_variables or {}

    def __repr__(self) -> str:
        return f"ParallelRunConfig(entry_script={self.entry_script!r}, output_action={self.output_action!r})"

    @staticmethod
    def load_yaml(workspace: Workspace, path: str) -> ParallelRunConfig:
        """Return the configuration in a YAML file. Raises UserErrorException."""
        try:
            raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserErrorException(f'path is "{path}": it cannot be read as YAML: {error}.') from None
        found = dict(raw.get("parallel_run_config", raw))
        for key in _LEFT_OUT:
            found.pop(key, None)
        folder = os.path.dirname(os.path.abspath(path))
        named, described = found.pop("environment_name", None), found.pop("environment_dir_path", None)
        if named is not None:
            found["environment"] = Environment.get(workspace, named)
        elif described is not None:
            found["environment"] = Environment.load_from_directory(os.path.join(folder, described))
        if "compute_target_name" in found:
            found["compute_target"] = found.pop("compute_target_name")
        given = {key: value for key, value in found.items() if value is not None}
        try:
            return ParallelRunConfig(**given)
        except TypeError as error:
            raise UserErrorException(f'"{path}": {error}.') from None

    def save_to_yaml(self, path: str) -> None:
        """Write the configuration to a YAML file, without the environment's packages."""
        record = {key: value for key, value in vars(self).items() if not isinstance(value, Environment)}
        target = getattr(self.compute_target, "name", self.compute_target)
        record = {**record, "compute_target": target, "environment_name": self.environment.name}
        Path(path).write_text(yaml.safe_dump({"parallel_run_config": record}, sort_keys=False), encoding="utf-8")


@checked
class ParallelRunStep(PipelineStep):
    """A step that runs an entry script on mini-batches of its inputs.

    Args:
        name: Name of the step; any text.
        parallel_run_config: Script, environment and sizes.
        inputs: Data that is divided into mini-batches.
        output: Folder of the results.
        side_inputs: Data that the script reads as a whole.
        arguments: Command line of the script: texts, numbers, and data, parameters and outputs.
        allow_reuse: Whether outputs of an earlier run may be reused.
    """

    def __init__(
        self,
        name: str,
        parallel_run_config: ParallelRunConfig,
        inputs: list[Any],
        output: Any = None,
        side_inputs: list[Any] | None = None,
        arguments: list[Any] | None = None,
        allow_reuse: bool = True,
    ) -> None:
        if not isinstance(parallel_run_config, ParallelRunConfig):
            raise UserErrorException(
                f"parallel_run_config is {parallel_run_config!r}: it must be a ParallelRunConfig; "
                + nearest("ParallelRunConfig", ["azureml.pipeline.steps.ParallelRunConfig"])
            )
        self.config = parallel_run_config
        self.side_inputs = [each for each in side_inputs or [] if each is not None]
        for each in self.side_inputs:
            if as_input(each) is None:
                raise UserErrorException(f'side_inputs of the step "{name}" has {each!r}, which is no data.')
        super().__init__(name, inputs, [] if output is None else [output], arguments, allow_reuse, None)
        if not self.inputs:
            raise UserErrorException(f'inputs of the step "{name}" is empty: a ParallelRunStep needs one dataset.')

    def all_inputs(self) -> list[Any]:
        return [*self.inputs, *self.side_inputs]
