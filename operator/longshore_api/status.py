"""The statuses of custom resources; a ParallelRunStep's is also what `longshore run --json` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from longshore_api.base import DEFER_BUILD, keyed_by


def _seconds_in_utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Instant = Annotated[AwareDatetime, PlainSerializer(_seconds_in_utc, return_type=str, when_used="json")]


class Observed(BaseModel):
    """Fields that Longshore writes. Unknown fields, written by another version, are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        defer_build=DEFER_BUILD,
        protected_namespaces=(),
    )


class Condition(Observed):
    """Whether one statement about a resource is true, since when and why."""

    type: str
    """Type of the condition: Succeeded, Ready, Stalled or Finished."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition is true."""
    reason: str
    """Reason of the status, in one CamelCase word."""
    message: str = ""
    """Explanation of the reason, in one sentence."""
    last_transition_time: Instant
    """Time at which `status` last changed."""
    observed_generation: int
    """Generation of the spec that the condition describes."""


Conditions = Annotated[list[Condition], Field(json_schema_extra=keyed_by("type"))]


class ResourceStatus(Observed):
    """Status of a resource, written by Longshore."""

    observed_generation: int
    """Generation of the spec that this status describes."""
    conditions: Conditions
    """One per type."""

    def condition(self, type_: str) -> Condition | None:
        """Return the condition of type `type_`, or None."""
        return next((each for each in self.conditions if each.type == type_), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the custom resource's status, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """Return the status as indented JSON text, without absent fields."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=2)


class NodeStateCounts(Observed):
    """Nodes of a ComputeCluster by state."""

    idle_node_count: int = 0
    """Ready, without work."""
    leaving_node_count: int = 0
    """Draining: they finish their mini-batches and lease no more."""
    preempted_node_count: int = 0
    """Preempted by the cluster, and not replaced yet."""
    preparing_node_count: int = 0
    """Requested, and not running yet."""
    running_node_count: int = 0
    """Running."""
    unusable_node_count: int = 0
    """Failed, and not replaced yet."""


class ComputeClusterStatus(ResourceStatus):
    """Nodes of a ComputeCluster."""

    conditions: Conditions
    """One per type: Ready, whose reason is what nodes are waiting for."""
    allocation_state: Literal["Steady", "Resizing"]
    """Steady if the ComputeCluster has its target number of nodes, else Resizing."""
    allocation_state_transition_time: Instant | None = None
    """Time at which `allocationState` last changed."""
    current_node_count: int = 0
    """Current number of nodes."""
    target_node_count: int = 0
    """Target number of nodes."""
    node_state_counts: NodeStateCounts
    """Nodes by state."""


class MiniBatchCounts(Observed):
    """Mini-batches by state."""

    total: int | None = None
    """All mini-batches; absent until the inputs are listed completely."""
    scheduled: int = 0
    """Created so far."""
    running: int = 0
    """Currently leased to workers."""
    succeeded: int = 0
    """Succeeded; their results are committed."""
    failed: int = 0
    """Failed permanently, after the last try."""
    retried: int = 0
    """Tried more than once."""


class ItemCounts(Observed):
    """Files or rows by result."""

    total: int = 0
    """Items of the finished mini-batches."""
    succeeded: int = 0
    """Returned by run()."""
    failed: int = 0
    """Missing from what run() returned, or in a failed mini-batch."""


class WorkerCounts(Observed):
    """Workers that the step requests and has."""

    wanted: int = 0
    """Requested."""
    ready: int = 0
    """Connected, with at least one process that has completed init()."""


class Columns(Observed):
    """Cells of the table that `kubectl get` prints."""

    done: str
    """Finished mini-batches of all, such as "120/400"."""
    failed: str
    """Failed mini-batches."""
    rate: str = ""
    """Such as "240/min"; empty while unknown."""
    eta: str = ""
    """Such as "2m30s"; empty while unknown and at the end."""
    workers: str
    """Ready workers of requested ones, such as "2/2"."""


class Progress(Observed):
    """Progress of the step."""

    mini_batches: MiniBatchCounts
    """Mini-batches by state."""
    items: ItemCounts
    """Files or rows by result."""
    workers: WorkerCounts
    """Workers that the step requests and has."""
    rate_per_minute: float | None = None
    """Mini-batches that finish per minute."""
    estimated_remaining_seconds: int | None = None
    """Seconds until the last mini-batch finishes, at that rate."""
    last_progress_time: Instant | None = None
    """Time at which the latest mini-batch finished."""
    observed_time: Instant | None = None
    """Time at which the coordinator counted; renewed every 30 seconds while nothing changes."""
    columns: Columns
    """The progress as shown in tables."""


class DeviceStatus(Observed):
    """Device of some processes of a worker."""

    worker: str
    """The worker: its pod, or in a local run its name."""
    device: str
    """`cpu`; or `gpu:` and the value of CUDA_VISIBLE_DEVICES, such as `gpu:0`; or `gpu`, for all of the container."""
    processes: int
    """Number of the worker's processes with this device. Processes with the same GPU share it."""


class FirstError(Observed):
    """The earliest error, usually the cause of the others."""

    category: str
    """UserError, Timeout, OutOfMemory, CudaOutOfMemory, ProcessDied, WrongReturn, DataError or System."""
    message: str
    """Explanation of the error, in one sentence."""
    mini_batch: int | None = None
    """Number of the mini-batch; absent when init() failed."""
    pod: str = ""
    """Worker on which it occurred: its pod, or in a local run its name."""
    traceback: str = ""
    """The last lines of the traceback."""
    items: list[str] | None = None
    """First items of the mini-batch, at most five: files, or positions of its rows."""


class OutputStatus(Observed):
    """Location and size of the results."""

    uri: str
    """The output folder."""
    file: str | None = None
    """Name of the file with all rows (append_row), once it is complete."""
    rows: int | None = None
    """Rows in that file."""


class Registered(Observed):
    """A Model or Dataset that a step registered."""

    kind: Literal["Dataset", "Model"]
    """Kind of the resource."""
    name: str
    """Name that it is registered under."""
    version: int
    """Its version."""
    resource: str
    """Name of the resource."""


class ParallelRunStepStatus(ResourceStatus):
    """Current state and result of a ParallelRunStep."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    progress: Progress
    """Progress of the step."""
    devices: list[DeviceStatus] | None = None
    """Devices of processes, for the first workers by name: at most twenty entries."""
    first_error: FirstError | None = None
    """The earliest error."""
    output: OutputStatus | None = None
    """Location and size of the results."""
    registered: list[Registered] | None = None
    """Models and Datasets that the step registered, once it has succeeded."""
    start_time: Instant | None = None
    """Start of the run."""
    completion_time: Instant | None = None
    """End of the run, whatever its result."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder: ledger, logs, failed.jsonl."""
