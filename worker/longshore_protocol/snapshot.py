"""A snapshot of a coordinator's state, from which the status of a ParallelRunStep is computed.

The coordinator never calls the Kubernetes API; the owner of the status requests snapshots. Times are Unix seconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Optional, Tuple

from longshore_protocol.reading import read_text

PENDING, RUNNING, DRAINING, ASSEMBLING = "Pending", "Running", "Draining", "Assembling"
SUCCEEDED, FAILED, INTERRUPTED = "Succeeded", "Failed", "Interrupted"
SUCCEEDED_WITH_FAILURES = "SucceededWithFailures"  # a reason of the state SUCCEEDED: too many items failed

MOST_IDLE = 100  # names in `Snapshot.idle_workers`
MOST_DEVICES = 20  # entries of `Snapshot.devices`

ENDED = (SUCCEEDED, FAILED, INTERRUPTED)  # final states; an interrupted run is resumed as a new epoch


@dataclass(frozen=True)
class MiniBatchCounts:
    """Numbers of mini-batches by state."""

    total: Optional[int] = None  # None until all inputs are listed
    scheduled: int = 0  # cut so far
    running: int = 0  # currently leased
    succeeded: int = 0  # committed
    failed: int = 0  # permanently, after the last try
    retried: int = 0  # tried more than once


@dataclass(frozen=True)
class ItemCounts:
    """Numbers of items (files or rows) in finished mini-batches."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True)
class WorkerCounts:
    """Numbers of requested workers, and of connected ones with a process past init()."""

    wanted: int = 0
    ready: int = 0


@dataclass(frozen=True)
class Device:
    """A device, and how many processes of a worker use it."""

    worker: str
    device: str  # as reported by `longshore_host.devices.device_of`
    processes: int


@dataclass(frozen=True)
class FirstError:
    """The first error of a run."""

    category: str  # one of errors.CATEGORIES
    message: str  # one sentence
    worker: str = ""  # the agent's name: its pod, or a worker of this machine
    mini_batch: Optional[int] = None  # None: init() failed
    traceback: str = ""  # last lines, "" for none
    items: Tuple[str, ...] = ()  # names of the mini-batch's first items, at most five


@dataclass(frozen=True)
class Snapshot:
    """The state of one run of a ParallelRunStep."""

    state: str  # one of the constants above
    run_id: str
    run_uri: str
    output_uri: str  # the output folder
    epoch: int  # of the coordinator that created the snapshot
    reason: str = ""  # one CamelCase word, such as ErrorThresholdExceeded; "" is the state itself
    message: str = ""  # one sentence
    waiting_reason: str = ""  # why nothing runs, one CamelCase word; "" while something runs
    waiting_message: str = ""  # the same in one sentence
    observed: Optional[float] = None  # time of the snapshot
    started: Optional[float] = None
    finished: Optional[float] = None
    last_progress: Optional[float] = None  # when a mini-batch last ended
    rate_per_minute: Optional[float] = None  # mini-batches that end
    mini_batches: MiniBatchCounts = field(default_factory=MiniBatchCounts)
    items: ItemCounts = field(default_factory=ItemCounts)
    workers: WorkerCounts = field(default_factory=WorkerCounts)
    # Sorted names of at most MOST_IDLE connected workers without a lease, once no mini-batch is waiting and none will
    # be added: they can be removed immediately.
    idle_workers: Tuple[str, ...] = ()
    devices: Tuple[Device, ...] = ()  # by worker, at most MOST_DEVICES, including workers that have exited
    first_error: Optional[FirstError] = None
    output_file: Optional[str] = None  # the file with all rows (append_row), once complete
    rows: Optional[int] = None  # in that file
    registered: str = ""  # packed `Registration`s of a success
    code: str = ""  # digest of the files of the source, "" if unknown

    @property
    def listed(self) -> bool:
        """Whether all inputs are listed."""
        return self.mini_batches.total is not None

    def to_json(self) -> str:
        """Return the snapshot as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Snapshot:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(Snapshot, text)
