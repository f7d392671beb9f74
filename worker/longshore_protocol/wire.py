"""The messages between agents and coordinator, and the records that they share with the ledger.

All are JSON objects over HTTP. A mini-batch is identified by its number (its index in the plan, from 0), and each
delivery of it by its attempt number (from 1). Completions and failures contain both and are rejected once a later
attempt was granted. Records that occur by the thousand are lists in the order of their fields.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from longshore_protocol import frames
from longshore_protocol.job import Timeouts

# The newest and the oldest protocol that this version supports. An agent registers with both, and the coordinator
# responds with the newest protocol in common. Readers ignore unknown fields, so a new field with a default needs no new
# number. A changed list record does, and the version that changes it must support the previous number too, because
# agents and coordinators are upgraded one after another.
PROTOCOL, OLDEST_PROTOCOL = 2, 2
# The origin of an infrastructure failure: the run's store or a local disk; or the store of an input.
STORE, INPUT = "store", "input"
REGISTERING = "registering"  # instead of a process's state: the worker uploads what shutdown() registers
DOWNLOADING = "bringing"  # instead of a process's state: the worker downloads "what" before it starts processes


_LONGEST_LEASE = 60.0  # seconds


def lease_term(timeouts: Timeouts) -> float:
    """Return the duration of a lease in seconds: the time limit of one mini-batch, but at most a minute.

    Agents renew leases several times within this term, so a dead agent is detected within a minute even if run() may
    take longer.
    """
    return min(timeouts.run_invocation + timeouts.task_overhead, _LONGEST_LEASE)


def process_name(process: int) -> str:
    """Return the name of a worker's n-th process in logs and reports; replacements continue the numbering."""
    return "process{:03d}".format(process)


def common_protocol(newest: int, oldest: int) -> Optional[int]:
    """Return the newest protocol that this version and an agent have in common, or None."""
    common = min(newest, PROTOCOL)
    return common if common >= max(oldest, OLDEST_PROTOCOL) else None


class Grant(NamedTuple):
    """One leased mini-batch."""

    mini_batch: int
    attempt: int
    input: int  # index into Job.inputs
    # JSON from the coordinator, decoded only by the process that runs it, and by agents that must download its files.
    # See `slices`.
    slice: bytes


def pack_grants(orders: Dict[str, Any], grants: Sequence[Grant]) -> bytes:
    """Encode the response to a lease call: a frame of [orders, [(mini-batch, attempt, input, length), ...]], slices."""
    header = [orders, [(each.mini_batch, each.attempt, each.input, len(each.slice)) for each in grants]]
    return frames.encode(header, b"".join([each.slice for each in grants]))


def unpack_grants(answer: bytes) -> Tuple[Dict[str, Any], List[Grant]]:
    """Decode the response of `pack_grants`; return orders and grants. Raises FrameError and ValueError."""
    ((orders, heads), body) = frames.decode(answer)
    grants = []
    at = 0
    for mini_batch, attempt, given, length in heads:
        grants.append(Grant(mini_batch, attempt, given, body[at : at + length]))
        at += length
    return orders, grants


class Completion(NamedTuple):
    """A successful attempt: the location of its rows, and its times in whole microseconds, which encode fast."""

    mini_batch: int
    attempt: int
    offset: int  # of its rows in the segment, in bytes
    length: int  # bytes of rows; 0 with summary_only
    succeeded: int  # len(result)
    items: int  # len(mini_batch)
    header: int  # index into the report's headers, -1 for none
    process: int
    started_us: int  # Unix time
    elapsed_us: int  # loading, run() and returning the result
    run_us: int
    cpu_us: int

    @property
    def started(self) -> float:
        """Unix time in seconds."""
        return self.started_us / 1e6

    @property
    def elapsed(self) -> float:
        """Seconds of loading, run() and returning the result."""
        return self.elapsed_us / 1e6

    @property
    def run_seconds(self) -> float:
        """Seconds in run()."""
        return self.run_us / 1e6

    @property
    def cpu_seconds(self) -> float:
        """Seconds of processor time."""
        return self.cpu_us / 1e6


class Failure(NamedTuple):
    """A failed attempt."""

    mini_batch: int
    attempt: int
    items: int  # len(mini_batch), -1 when it could not be loaded
    process: int  # -1: it failed before a process received it
    category: str  # one of errors.CATEGORIES
    message: str  # one line
    traceback: str  # last lines, "" for none
    started: float
    elapsed: float
    log: str  # the process's log, relative to the run folder


class Deferral(NamedTuple):
    """An attempt that failing infrastructure ended: the mini-batch is requeued and keeps all of its tries."""

    mini_batch: int  # -1: it concerns the worker instead of a mini-batch
    attempt: int
    origin: str  # STORE or INPUT
    message: str  # one line: what failed, and why


def report(
    agent: str,
    epoch: int,
    *,
    segment: str = "",
    bytes: int = 0,
    digests: str = "",
    headers: List[str] = [],  # noqa: B006  (never written to)
    completed: List[Completion] = [],  # noqa: B006
    failed: List[Failure] = [],  # noqa: B006
    returned: List[List[int]] = [],  # noqa: B006
    deferred: List[Deferral] = [],  # noqa: B006
    held: List[List[int]] = [],  # noqa: B006
    init_failed: List[Failure] = [],  # noqa: B006
    processes: List[Dict[str, Any]] = [],  # noqa: B006
    fetched: int = 0,
    registered: List[List[Any]] = [],  # noqa: B006
    shutdowns: int = 0,
) -> Dict[str, Any]:
    """Return the body of POST /v1/report.

    Args:
        agent: Name of the registration.
        epoch: Epoch of the registration.
        segment: Name of the object with the rows of `completed`.
        bytes: Size of the segment.
        digests: Digests of the rows of each of `completed` (`segments.encode_digests`).
        headers: Column headers that `completed` refers to.
        completed: Successful attempts.
        failed: Failed attempts.
        returned: [mini_batch, attempt] of released leases that no process began.
        deferred: Attempts that infrastructure ended.
        held: [mini_batch, attempt] of leases to renew.
        init_failed: Processes whose init() failed; their mini_batch is -1.
        processes: Status of each process of the worker.
        fetched: A counter that grows while inputs are downloaded.
        registered: [process, registration as JSON, digest of its files] of what shutdown() registers; without a
            registration, the last element is the reason why it cannot be read.
        shutdowns: Processes whose shutdown() has ended, in the last report of an agent.
    """
    return {
        "agent": agent,
        "epoch": epoch,
        "segment": segment,
        "bytes": bytes,
        "digests": digests,
        "headers": headers,
        "completed": completed,
        "failed": failed,
        "returned": returned,
        "deferred": deferred,
        "held": held,
        "init_failed": init_failed,
        "processes": processes,
        "fetched": fetched,
        "registered": registered,
        "shutdowns": shutdowns,
    }
