"""The status of a PipelineRun, which is also what `longshore run --json` prints of a pipeline."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from longshore_api.base import keyed_by
from longshore_api.status import Conditions, Instant, Observed, Registered, ResourceStatus
from longshore_api.task_status import GitState, NamedOutput
from longshore_api.values import FreeForm

StepState = Literal["Pending", "Running", "Succeeded", "Failed", "Skipped", "Cancelled"]


class ReusedFrom(Observed):
    """The earlier run of a step whose outputs are reused."""

    run_id: str
    """Identifies the pipeline's run."""
    step: str
    """Name of the step in that run."""
    run_uri: str = ""
    """Folder of that run."""


class Fingerprint(Observed):
    """Everything in which an earlier run of a step must equal this one to be reused."""

    digest: str
    """Digest of the parts."""
    parts: FreeForm
    """Code (digests by file), entry, arguments, params, environment, inputs, outputs, settings, version."""


class PipelineStepStatus(Observed):
    """Current state and result of one step."""

    name: str
    """Name of the step."""
    state: StepState
    """Pending, Running, Succeeded, Failed, Skipped or Cancelled."""
    resource: str = ""
    """Clusters only: kind and name of the latest attempt's resource, such as ScriptStep/nightly-train."""
    reason: str = ""
    """Reason of the state, in one CamelCase word; Reused if outputs of an earlier run are reused."""
    message: str = ""
    """Explanation of the reason, in one sentence."""
    reused_from: ReusedFrom | None = None
    """The run whose outputs are reused."""
    outputs: list[NamedOutput] = Field(default_factory=list)
    """Locations of the outputs, once the step has succeeded."""
    metrics: FreeForm = Field(default_factory=dict)
    """Values that the script logged, by name."""
    git: GitState | None = None
    """The commit of the source, if that is a Git repository."""
    registered: list[Registered] | None = None
    """Models and Datasets that the step registered; of a reused step those of the run whose outputs are reused."""
    start_time: Instant | None = None
    """Start of the latest attempt."""
    completion_time: Instant | None = None
    """End of the step."""
    attempts: int = 0
    """Number of attempts started."""
    not_reused: str = ""
    """Reason why no outputs of an earlier run are reused, in one sentence."""
    fingerprint: Fingerprint | None = None
    """Properties that earlier and later runs are compared by."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of a PipelineRun's status, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StepColumns(Observed):
    """Cells of the table that `kubectl get` prints."""

    steps: str = ""
    """Succeeded steps of all, such as "3/5"."""
    current: str = ""
    """Names of the running steps, with finished mini-batches if any: "train, score (120/400)"."""


class PipelineRunStatus(ResourceStatus):
    """Current state and result of a PipelineRun."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    pipeline: str
    """Name of the pipeline."""
    parameters: FreeForm = Field(default_factory=dict)
    """The values of its parameters, defaults included."""
    steps: Annotated[list[PipelineStepStatus], Field(json_schema_extra=keyed_by("name"))]
    """The steps, in an order in which they can run."""
    columns: StepColumns
    """Progress of the run, as shown in tables."""
    start_time: Instant | None = None
    """Start of the run."""
    completion_time: Instant | None = None
    """End of the run, whatever its result."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder."""
    pipeline_spec: FreeForm | None = None
    """Clusters only: the pipeline, frozen when the run began; later changes do not affect this run."""
