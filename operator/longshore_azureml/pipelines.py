"""Pipeline and StepSequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from longshore_azureml.building import Built, build
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.steps import PipelineStep
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.publishing import PublishedPipeline
    from longshore_azureml.runs import PipelineRun
    from longshore_azureml.workspace import Workspace


@checked
class StepSequence(Supported):
    """Steps that run one after the other; a list among them runs at the same time."""

    def __init__(self, steps: Sequence[Any] | None = None) -> None:
        self.steps = list(steps or [])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.steps)


@checked
class Pipeline(Supported):
    """Steps joined by their data.

    Args:
        workspace: Where it runs.
        steps: A step, a list or a StepSequence; steps whose outputs they read are added.
        description: Free text.
        default_datastore: Not used: outputs name their datastores.
        default_source_directory: Not used: steps name their source folders.
        resolve_closure: Ignored: steps that others need are always added.
    """

    def __init__(
        self,
        workspace: Workspace,
        steps: Any,
        description: str | None = None,
        default_datastore: Any = None,
        default_source_directory: str | None = None,
        resolve_closure: bool = True,
        _workflow_provider: Any = None,
        _service_endpoint: Any = None,
    ) -> None:
        self.workspace = workspace
        self.description = description
        self._order: dict[int, list[PipelineStep]] = {}
        self.steps: list[PipelineStep] = list(_flat(steps))
        self._sequence(steps)
        if not self.steps:
            raise UserErrorException("steps is empty: a pipeline needs one step or more.")

    def __repr__(self) -> str:
        return f"Pipeline(steps={self.steps!r})"

    def _sequence(self, steps: Any) -> None:
        """Record the order of each StepSequence, at any depth."""
        if isinstance(steps, StepSequence):
            groups = [list(_flat(each)) for each in steps.steps]
            for earlier, later in pairwise(groups):
                for step in later:
                    self._order.setdefault(id(step), []).extend(earlier)
        if isinstance(steps, StepSequence | list | tuple):
            for each in steps:
                self._sequence(each)

    def build(self, name: str) -> Built:
        """Return the pipeline of Longshore under a name. Raises UserErrorException and ComputeTargetException."""
        return build(self.workspace, self.steps, self._order, name=name, description=self.description)

    def validate(self) -> list[Any]:
        """Check all arguments; return an empty list. Raises UserErrorException and ComputeTargetException."""
        self.build("pipeline")
        return []

    def submit(
        self,
        experiment_name: str,
        pipeline_parameters: Mapping[str, Any] | None = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
        parent_run_id: str | None = None,
        credential_passthrough: bool | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> PipelineRun:
        """Start a run in an experiment; return it at once. Raises UserErrorException."""
        from longshore_azureml.experiments import Experiment

        return Experiment(self.workspace, experiment_name).submit(
            self,
            tags=tags,
            pipeline_parameters=pipeline_parameters,
            continue_on_step_failure=continue_on_step_failure,
            regenerate_outputs=regenerate_outputs,
        )

    def publish(
        self,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        continue_on_step_failure: bool | None = None,
    ) -> PublishedPipeline:
        """Keep the pipeline in the workspace, with copies of its source folders; return it."""
        from longshore_azureml.publishing import publish, to_record

        record = to_record(self.build(name or "pipeline"))
        return publish(
            self.workspace,
            record,
            name=name or "pipeline",
            description=description or self.description,
            version=version,
        )

    def _set_experiment_name(self, name: str) -> None:
        """Do nothing: the name is passed at submission."""


def _flat(steps: Any) -> Iterator[PipelineStep]:
    if isinstance(steps, PipelineStep):
        yield steps
        return
    if not isinstance(steps, StepSequence | list | tuple):
        raise UserErrorException(f"steps has {steps!r}: it must be a step, a list of steps or a StepSequence.")
    for each in steps:
        yield from _flat(each)
