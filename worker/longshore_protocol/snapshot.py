"""The coordinator's state in one message: what the status of a ParallelRunStep is computed from.

The coordinator never talks to the Kubernetes API: whoever owns the status asks for a snapshot. Times are Unix seconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Optional, Tuple

from longshore_protocol.reading import read_text

PENDING, RUNNING, DRAINING, ASSEMBLING = "Pending", "Running", "Draining", "Assembling"
SUCCEEDED, FAILED, INTERRUPTED = "Succeeded", "Failed", "Interrupted"
SUCCEEDED_WITH_FAILURES = "SucceededWithFailures"  # a reason: the state is SUCCEEDED, and too many items failed

MOST_IDLE = 100  # names in `Snapshot.idle_workers`
MOST_DEVICES = 20  # entries of `Snapshot.devices`

ENDED = (SUCCEEDED, FAILED, INTERRUPTED)  # states that no other follows; an interrupted run is resumed as a new epoch


@dataclass(frozen=True)
class MiniBatchCounts:
    """Mini-batches by what became of them."""

    total: Optional[int] = None  # None until the inputs are listed to the end
    scheduled: int = 0  # cut so far
    running: int = 0  # leased now
    succeeded: int = 0  # committed
    failed: int = 0  # given up after the last try
    retried: int = 0  # tried more than once


@dataclass(frozen=True)
class ItemCounts:
    """Items (files or rows) of the mini-batches that ended."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True)
class WorkerCounts:
    """Workers asked for, and connected with a process past init()."""

    wanted: int = 0
    ready: int = 0


@dataclass(frozen=True)
class Device:
    """What some processes of a worker were given to compute on."""

    worker: str
    device: str  # as `longshore_host.devices.device_of` puts it
    processes: int


@dataclass(frozen=True)
class FirstError:
    """The error that came first."""

    category: str  # one of errors.CATEGORIES
    message: str  # one sentence
    worker: str = ""  # the agent's name: its pod, or a worker of this machine
    mini_batch: Optional[int] = None  # None: init() failed
    traceback: str = ""  # last lines, "" for none
    items: Tuple[str, ...] = ()  # names of the mini-batch's first items, at most five


@dataclass(frozen=True)
class Snapshot:
    """Where one run of a ParallelRunStep is."""

    state: str  # one of the constants above
    run_id: str
    run_uri: str
    output_uri: str  # the output folder
    epoch: int  # of the coordinator that says so
    reason: str = ""  # one CamelCase word, such as ErrorThresholdExceeded; "" is the state itself
    message: str = ""  # one sentence
    waiting_reason: str = ""  # why nothing runs while something could, one CamelCase word; "" when it runs
    waiting_message: str = ""  # the same in one sentence
    observed: Optional[float] = None  # when this was so
    started: Optional[float] = None
    finished: Optional[float] = None
    last_progress: Optional[float] = None  # a mini-batch ended
    rate_per_minute: Optional[float] = None  # mini-batches that end
    mini_batches: MiniBatchCounts = field(default_factory=MiniBatchCounts)
    items: ItemCounts = field(default_factory=ItemCounts)
    workers: WorkerCounts = field(default_factory=WorkerCounts)
    # Names, sorted, of at most MOST_IDLE workers that are connected and hold no lease, while nothing waits to be leased
    # and nothing more will come: each can go at once.
    idle_workers: Tuple[str, ...] = ()
    devices: Tuple[Device, ...] = ()  # by worker, at most MOST_DEVICES; of workers that are gone, too
    first_error: Optional[FirstError] = None
    output_file: Optional[str] = None  # the one file with all rows (append_row), once it is complete
    rows: Optional[int] = None  # in that file

    @property
    def listed(self) -> bool:
        """Whether the inputs are listed to the end."""
        return self.mini_batches.total is not None

    def to_json(self) -> str:
        """Return the snapshot as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Snapshot:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(Snapshot, text)
