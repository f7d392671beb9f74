"""The status of a PipelineRun, which is also what `longshore run --json` prints of a pipeline."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from longshore_api.base import keyed_by
from longshore_api.status import Conditions, Instant, Observed, ResourceStatus
from longshore_api.task_status import GitState, NamedOutput
from longshore_api.values import FreeForm

StepState = Literal["Pending", "Running", "Succeeded", "Failed", "Skipped", "Cancelled"]


class ReusedFrom(Observed):
    """The run of a step whose outputs were taken."""

    run_id: str
    """Identifies the pipeline's run."""
    step: str
    """Name of the step in that run."""
    run_uri: str = ""
    """Folder of that run."""


class Fingerprint(Observed):
    """All that an earlier run of a step must have in common with this one to be reused."""

    digest: str
    """Digest of the parts."""
    parts: FreeForm
    """Code (digests by file), entry, arguments, params, environment, inputs, outputs, settings, version."""


class PipelineStepStatus(Observed):
    """What became of one step so far."""

    name: str
    """Name of the step."""
    state: StepState
    """Pending, Running, Succeeded, Failed, Skipped or Cancelled."""
    resource: str = ""
    """On a cluster: kind and name of the resource that runs the latest attempt, such as ScriptStep/nightly-train."""
    reason: str = ""
    """Why, in one CamelCase word; Reused where an earlier run's outputs were taken."""
    message: str = ""
    """Why, in one sentence."""
    reused_from: ReusedFrom | None = None
    """The run whose outputs were taken."""
    outputs: list[NamedOutput] = Field(default_factory=list)
    """Where the outputs are, once the step has succeeded."""
    metrics: FreeForm = Field(default_factory=dict)
    """What the script logged, by name."""
    git: GitState | None = None
    """The commit of the source, where that is a repository."""
    start_time: Instant | None = None
    """When the latest attempt began."""
    completion_time: Instant | None = None
    """When the step ended."""
    attempts: int = 0
    """Attempts begun."""
    not_reused: str = ""
    """Why no earlier run's outputs were taken, in one sentence."""
    fingerprint: Fingerprint | None = None
    """What an earlier or later run is compared by."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as the JSON object that a status has, without what is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StepColumns(Observed):
    """Strings for the columns of a table."""

    steps: str = ""
    """Succeeded of all steps, such as "3/5"."""
    current: str = ""
    """Names of the steps that run, those of mini-batches with how many are done: "train, score (120/400)"."""


class PipelineRunStatus(ResourceStatus):
    """What became of a PipelineRun so far."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    pipeline: str
    """Name of the pipeline."""
    parameters: FreeForm = Field(default_factory=dict)
    """The values of its parameters, defaults included."""
    steps: Annotated[list[PipelineStepStatus], Field(json_schema_extra=keyed_by("name"))]
    """The steps, in an order in which they can run."""
    columns: StepColumns
    """How far the run is, in words, as tables show it."""
    start_time: Instant | None = None
    """When the run began."""
    completion_time: Instant | None = None
    """When it ended, either way."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder."""
    pipeline_spec: FreeForm | None = None
    """On a cluster: the pipeline as it was when the run began; later changes of it are not for this run."""
