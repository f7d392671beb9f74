"""Experiments: names under which runs are found again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.building import Built
from longshore_azureml.environments import ScriptRunConfig
from longshore_azureml.errors import ExperimentExecutionException, UserErrorException
from longshore_azureml.interactive import InteractiveRun
from longshore_azureml.keywords import checked
from longshore_azureml.names import port_name
from longshore_azureml.pipelines import Pipeline
from longshore_azureml.publishing import PipelineEndpoint, PublishedPipeline
from longshore_azureml.runs import PipelineRun, submitted
from longshore_azureml.steps import PythonScriptStep
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

_TAG = "azureml-experiment"


@checked
class Experiment(Supported):
    """An experiment. Its name is any text."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        _skip_name_validation: bool = False,
        _id: str | None = None,
        _archived_time: Any = None,
        _create_in_cloud: bool = True,
        _experiment_dto: Any = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise UserErrorException(f"name is {name!r}: it must be the name of the experiment, a text.")
        self.workspace = workspace
        self.name = name
        records = workspace.records("experiments")
        if name not in records:
            records.put(name, {})

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name},\nWorkspace: {self.workspace.name})"

    @property
    def id(self) -> str:
        """An identifier: the name."""
        return self.name

    def submit(
        self,
        config: Any,
        tags: Mapping[str, str] | None = None,
        pipeline_parameters: Mapping[str, Any] | None = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
        parent_run_id: str | None = None,
        credential_passthrough: bool | None = None,
    ) -> PipelineRun:
        """Start a run of a Pipeline, a published one, an endpoint or a ScriptRunConfig; return it at once.

        Raises:
            ExperimentExecutionException: The pipeline cannot run.
            UserErrorException: An argument breaks a rule.
        """
        built, work = self._build(config)
        values = {name: built.value(name, value) for name, value in (pipeline_parameters or {}).items()}
        for each in values.values():
            if isinstance(each, longshore.DataPath) and isinstance(each.datastore, longshore.Datastore):
                self.workspace.native.apply(each.datastore)
        for name, packages in built.missing.items():
            print(f'Environment "{name}": this interpreter lacks {", ".join(packages)}; steps may fail to import them.')
        try:
            native = self.workspace.native.submit(
                work,
                parameters={port_name(name): value for name, value in values.items()},
                regenerate_outputs=regenerate_outputs,
                continue_on_step_failure=continue_on_step_failure,
                tags={_TAG: self.name, **{str(key): str(value) for key, value in (tags or {}).items()}},
            )
        except longshore.InvalidArgument as error:
            raise ExperimentExecutionException(str(error)) from None
        run = submitted(self, native, built, tags=dict(tags or {}))
        run.print_submission(built, regenerate_outputs=regenerate_outputs)
        return run

    def _build(self, config: Any) -> tuple[Built, longshore.Pipeline | longshore.Documents]:
        if isinstance(config, ScriptRunConfig):
            config = _of_script(self.workspace, config)
        if isinstance(config, PipelineEndpoint):
            config = config.get_pipeline()
        if isinstance(config, PublishedPipeline):
            return config.build()
        if not isinstance(config, Pipeline):
            raise UserErrorException(
                f"config is {config!r}: it must be a Pipeline, a PublishedPipeline, a PipelineEndpoint or a "
                "ScriptRunConfig."
            )
        built = config.build(self.name)
        return built, built.pipeline

    def start_logging(
        self,
        name: str | None = None,
        outputs: Any = None,
        snapshot_directory: str | None = None,
        display_name: Any = None,
    ) -> InteractiveRun:
        """Return a run of this process, which logs metrics and files to the workspace."""
        return InteractiveRun(self, name)

    def get_runs(
        self,
        type: str | None = None,
        tags: Any = None,
        properties: Any = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterator[PipelineRun]:
        """Yield the runs, the latest first."""
        for each in self.workspace.native.runs(tags={_TAG: self.name}):
            run = PipelineRun(self, each.id)
            if status is None or run.get_status() == status:
                yield run


def _of_script(workspace: Workspace, config: ScriptRunConfig) -> Pipeline:
    if config.script is None:
        raise UserErrorException("script is missing: a ScriptRunConfig is submitted with one.")
    step = PythonScriptStep(
        config.script,
        arguments=config.arguments,
        runconfig=config.run_config,
        source_directory=config.source_directory,
        allow_reuse=False,
    )
    return Pipeline(workspace, [step])
