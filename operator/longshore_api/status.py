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
    """Fields that Longshore writes. Unknown ones, from another version of it, are passed over."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        defer_build=DEFER_BUILD,
        protected_namespaces=(),
    )


class Condition(Observed):
    """One thing that is or is not so, with since when and why."""

    type: str
    """What it is about: Succeeded, Ready, Stalled or Finished."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: str
    """Why, in one CamelCase word."""
    message: str = ""
    """Why, in one sentence."""
    last_transition_time: Instant
    """When `status` last changed."""
    observed_generation: int
    """Generation of the spec that this is about."""


Conditions = Annotated[list[Condition], Field(json_schema_extra=keyed_by("type"))]


class ResourceStatus(Observed):
    """What Longshore found out about a resource."""

    observed_generation: int
    """Generation of the spec that this status is about."""
    conditions: Conditions
    """One per type."""

    def condition(self, type_: str) -> Condition | None:
        """Return the condition of that type, or None."""
        return next((each for each in self.conditions if each.type == type_), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as the JSON object of the custom resource, without what is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """Return the same as indented JSON text."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=2)


class NodeStateCounts(Observed):
    """Nodes of a ComputeCluster by what they do."""

    idle_node_count: int = 0
    """Kept ready, without work."""
    leaving_node_count: int = 0
    """On their way out: they finish what they have and take nothing more."""
    preempted_node_count: int = 0
    """Taken away by the cluster, and not replaced yet."""
    preparing_node_count: int = 0
    """Asked for, and not at work yet."""
    running_node_count: int = 0
    """At work."""
    unusable_node_count: int = 0
    """Failed, and not replaced yet."""


class ComputeClusterStatus(ResourceStatus):
    """The nodes that a ComputeCluster has."""

    conditions: Conditions
    """One per type: Ready, whose reason says what nodes are waiting for."""
    allocation_state: Literal["Steady", "Resizing"]
    """Whether the number of nodes is the one wanted, or on its way there."""
    allocation_state_transition_time: Instant | None = None
    """When `allocationState` last changed."""
    current_node_count: int = 0
    """Nodes there are."""
    target_node_count: int = 0
    """Nodes wanted."""
    node_state_counts: NodeStateCounts
    """Nodes by what they do."""


class MiniBatchCounts(Observed):
    """Mini-batches by what became of them."""

    total: int | None = None
    """All of them; absent until the inputs are listed to the end."""
    scheduled: int = 0
    """Cut so far."""
    running: int = 0
    """Leased to workers now."""
    succeeded: int = 0
    """Done, their results committed."""
    failed: int = 0
    """Given up after the last try."""
    retried: int = 0
    """Tried more than once."""


class ItemCounts(Observed):
    """Files or rows by what became of them."""

    total: int = 0
    """In the mini-batches that ended."""
    succeeded: int = 0
    """Returned by run()."""
    failed: int = 0
    """Missing from what run() returned, or in a failed mini-batch."""


class WorkerCounts(Observed):
    """Workers that the step asked for and has."""

    wanted: int = 0
    """Asked for."""
    ready: int = 0
    """Connected, with at least one process past init()."""


class Columns(Observed):
    """Strings for the columns of a table."""

    done: str
    """Ended of all mini-batches, such as "120/400"."""
    failed: str
    """Failed mini-batches."""
    rate: str = ""
    """Such as "240/min"; empty while unknown."""
    eta: str = ""
    """Such as "2m30s"; empty while unknown and at the end."""
    workers: str
    """Ready of wanted workers, such as "2/2"."""


class Progress(Observed):
    """How far the step is."""

    mini_batches: MiniBatchCounts
    """Mini-batches by what became of them."""
    items: ItemCounts
    """Files or rows by what became of them."""
    workers: WorkerCounts
    """Workers that the step asked for and has."""
    rate_per_minute: float | None = None
    """Mini-batches that end per minute."""
    estimated_remaining_seconds: int | None = None
    """Until the last mini-batch ends, at that rate."""
    last_progress_time: Instant | None = None
    """When the latest mini-batch ended."""
    observed_time: Instant | None = None
    """When the coordinator counted this. While nothing changes, it is renewed every 30 seconds."""
    columns: Columns
    """The same in words, as tables show it."""


class DeviceStatus(Observed):
    """What some processes of a worker were given to compute on."""

    worker: str
    """The worker: its pod, or in a local run its name."""
    device: str
    """`cpu`; or GPUs, as CUDA_VISIBLE_DEVICES has them, such as `gpu:0`; or `gpu`, any that the container sees."""
    processes: int
    """How many of the worker's processes were given just that. Those of one GPU share it."""


class FirstError(Observed):
    """The error that came first: most often the cause of all others."""

    category: str
    """UserError, Timeout, OutOfMemory, CudaOutOfMemory, ProcessDied, WrongReturn, DataError or System."""
    message: str
    """One sentence."""
    mini_batch: int | None = None
    """Number of the mini-batch; absent when init() failed."""
    pod: str = ""
    """Worker that it happened on: its pod, or in a local run its name."""
    traceback: str = ""
    """The last lines of the traceback."""
    items: list[str] | None = None
    """The mini-batch's first items, at most five: files, or where its rows stand."""


class OutputStatus(Observed):
    """Where the results are."""

    uri: str
    """The output folder."""
    file: str | None = None
    """Name of the one file with all rows (append_row), once it is complete."""
    rows: int | None = None
    """Rows in that file."""


class ParallelRunStepStatus(ResourceStatus):
    """What became of a ParallelRunStep so far."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    progress: Progress
    """How far the step is."""
    devices: list[DeviceStatus] | None = None
    """What the processes compute on, of the first workers by name: twenty entries at most."""
    first_error: FirstError | None = None
    """The error that came first."""
    output: OutputStatus | None = None
    """Where the results are."""
    start_time: Instant | None = None
    """When the step began to run."""
    completion_time: Instant | None = None
    """When it ended, either way."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder: ledger, logs, failed.jsonl."""
