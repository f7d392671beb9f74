"""The messages between agents and coordinator, and the records they share with the ledger.

All are JSON objects over HTTP. A mini-batch is known by its number (its place in the plan, from 0) and each delivery
of it by its attempt number (from 1): every completion and failure must name both, and is refused when a later attempt
was handed out. Records that come by the thousand travel as lists, in the order of their fields.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

PROTOCOL = 1  # both sides refuse another number


def process_name(process: int) -> str:
    """Return the name that logs and reports use for a worker's n-th process, replacements counted on."""
    return "process{:03d}".format(process)


class Grant(NamedTuple):
    """One leased mini-batch."""

    mini_batch: int
    attempt: int
    input: int  # index into Job.inputs
    # File input: a list of paths. Text: {"path", "start", "end"}, in bytes. Parquet: {"path", "row_groups": [first,
    # end], "rows": [first, end] or null}.
    slice: Any


class Completion(NamedTuple):
    """One finished run(): where its rows lie and what it took. Seconds are floats, `started` is Unix time."""

    mini_batch: int
    attempt: int
    offset: int  # of the first row's byte in the segment
    length: int  # bytes of rows; 0 with summary_only
    succeeded: int  # len(result)
    items: int  # len(mini_batch)
    header: int  # index into the report's headers, -1 for none
    process: int
    started: float
    elapsed: float  # loading, run() and handing over
    run_seconds: float
    cpu_seconds: float


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


def report(
    agent: str,
    epoch: int,
    *,
    segment: str = "",
    headers: List[str] = [],  # noqa: B006  (never written to)
    completed: List[Completion] = [],  # noqa: B006
    failed: List[Failure] = [],  # noqa: B006
    returned: List[List[int]] = [],  # noqa: B006
    held: List[List[int]] = [],  # noqa: B006
    init_failed: List[Failure] = [],  # noqa: B006
    processes: List[Dict[str, Any]] = [],  # noqa: B006
) -> Dict[str, Any]:
    """Return the body of POST /v1/report.

    `returned` and `held` are [mini_batch, attempt] pairs: given back unstarted, and still wanted (their leases are
    renewed). `init_failed` tells of processes that never came to run(); their mini_batch is -1. `processes` is what
    each of the worker's processes does, for the status.
    """
    return {
        "agent": agent,
        "epoch": epoch,
        "segment": segment,
        "headers": headers,
        "completed": completed,
        "failed": failed,
        "returned": returned,
        "held": held,
        "init_failed": init_failed,
        "processes": processes,
    }
