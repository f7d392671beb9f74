"""The messages between agents and coordinator, and the records they share with the ledger.

All are JSON objects over HTTP. A mini-batch is known by its number (its place in the plan, from 0) and each delivery
of it by its attempt number (from 1): every completion and failure must name both, and is refused when a later attempt
was handed out. Records that come by the thousand travel as lists, in the order of their fields.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from longshore_protocol import frames
from longshore_protocol.job import Timeouts

# The newest and the oldest protocol of this version. An agent registers with both of its own, and the coordinator
# answers with the newest that the two have in common. A new field of an object that has a default needs no new number:
# readers ignore what they do not know. A change of a record that travels as a list needs one, and the version that
# makes it speaks the number before it, too: agents and coordinators are replaced one after another.
PROTOCOL, OLDEST_PROTOCOL = 2, 2
# Where infrastructure fails: at the run's own store, or a disk of ours; or at the store of an input.
STORE, INPUT = "store", "input"
BRINGING = "bringing"  # instead of a process's state: the worker downloads "what" before it starts processes


_LONGEST_LEASE = 60.0  # seconds


def lease_term(timeouts: Timeouts) -> float:
    """Return the seconds that a lease lasts: what one mini-batch may take, but at most a minute.

    Agents renew what they still want several times within a term, so a silent agent is noticed within a minute however
    long run() may take.
    """
    return min(timeouts.run_invocation + timeouts.task_overhead, _LONGEST_LEASE)


def process_name(process: int) -> str:
    """Return the name that logs and reports use for a worker's n-th process, replacements counted on."""
    return "process{:03d}".format(process)


def common_protocol(newest: int, oldest: int) -> Optional[int]:
    """Return the newest protocol that this version has in common with an agent's; None where there is none."""
    common = min(newest, PROTOCOL)
    return common if common >= max(oldest, OLDEST_PROTOCOL) else None


class Grant(NamedTuple):
    """One leased mini-batch."""

    mini_batch: int
    attempt: int
    input: int  # index into Job.inputs
    # JSON, made once by the coordinator and read by the process that runs it; agents pass it on unread, unless what it
    # names is not on their machine. File input: a list of paths. Text: {"path", "start", "end"}, in bytes. Parquet:
    # {"path", "row_groups": [first, end], "rows": [first, end] or null}.
    slice: bytes


def pack_grants(orders: Dict[str, Any], grants: Sequence[Grant]) -> bytes:
    """Return the answer to a lease call: a frame of [orders, [(mini-batch, attempt, input, length), ...]], slices."""
    header = [orders, [(each.mini_batch, each.attempt, each.input, len(each.slice)) for each in grants]]
    return frames.encode(header, b"".join([each.slice for each in grants]))


def unpack_grants(answer: bytes) -> Tuple[Dict[str, Any], List[Grant]]:
    """Read what `pack_grants` wrote. Raises FrameError, ValueError when it is something else."""
    ((orders, heads), body) = frames.decode(answer)
    grants = []
    at = 0
    for mini_batch, attempt, given, length in heads:
        grants.append(Grant(mini_batch, attempt, given, body[at : at + length]))
        at += length
    return orders, grants


class Completion(NamedTuple):
    """One finished run(): where its rows lie and what it took. Times are whole microseconds, which travel fast."""

    mini_batch: int
    attempt: int
    offset: int  # of the first row's byte in the segment
    length: int  # bytes of rows; 0 with summary_only
    succeeded: int  # len(result)
    items: int  # len(mini_batch)
    header: int  # index into the report's headers, -1 for none
    process: int
    started_us: int  # Unix time
    elapsed_us: int  # loading, run() and handing over
    run_us: int
    cpu_us: int

    @property
    def started(self) -> float:
        """Unix time in seconds."""
        return self.started_us / 1e6

    @property
    def elapsed(self) -> float:
        """Seconds of loading, run() and handing over."""
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
    """One attempt that did not end in a result."""

    mini_batch: int
    attempt: int
    items: int  # len(mini_batch), -1 when it could not be loaded
    process: int  # -1: it failed before any process had it
    category: str  # one of errors.CATEGORIES
    message: str  # one line
    traceback: str  # last lines, "" for none
    started: float
    elapsed: float
    log: str  # the process's log, relative to the run folder


class Deferral(NamedTuple):
    """One attempt that failing infrastructure ended: the mini-batch waits again and keeps all its tries."""

    mini_batch: int  # -1: it concerns the worker, and no mini-batch
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
) -> Dict[str, Any]:
    """Return the body of POST /v1/report.

    `segment` holds the rows of `completed`; it is `bytes` long, and `digests` are theirs (`segments.encode_digests`).
    `returned` and `held` are [mini_batch, attempt] pairs: given back unstarted, and still wanted (their leases are
    renewed). `deferred` are attempts that infrastructure ended. `init_failed` tells of processes that never came to
    run(); their mini_batch is -1. `processes` is what each of the worker's processes does, for the status. `fetched`
    grows while inputs are fetched.
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
    }
