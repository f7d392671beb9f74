"""Writes of a finished run: output file, reports and the record of its success. All functions block."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from longshore_coordinator.assembly import Assembled, AssemblyError, assemble
from longshore_coordinator.committed import Committed
from longshore_coordinator.ends import write_success
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.observe import Milestones
from longshore_coordinator.plan import Plan
from longshore_coordinator.reports import Attempts, Outcome, write_reports
from longshore_coordinator.verdict import NAMED_ITEMS, SUCCEEDED_WITH_FAILURES, counts_empty_returns
from longshore_protocol.job import APPEND_ROW, Job
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store, open_store

_SEGMENTS = "state/segments"
_OUTPUT_MARKER = (
    "state/output.json"  # describes the rows in the output file, so that a later coordinator need not write it again
)
_TIMING = "logs/sys/job_report/timing.json"

_log = logging.getLogger("longshore.coordinator")


def write_output(job: Job, store: Store, ledger: Ledger, *, expected: int) -> Assembled:
    """Write the output file of an append_row step, unless it exists already; return its size.

    Args:
        job: the job; with summary_only, nothing is written.
        store: store of the run folder.
        ledger: ledger of the run.
        expected: number of completed mini-batches, each of which the ledger must contain.

    Raises:
        AssemblyError: the ledger is incomplete or the rows cannot form one file.
        OSError: a store failed.
        ImportError: Parquet output without pyarrow.
    """
    if job.output.action != APPEND_ROW:
        return Assembled(rows=0, bytes=0)
    try:
        pieces, target = Committed.of(ledger.records()), open_store(job.output.uri)
    except ValueError as error:
        raise AssemblyError(f"the ledger cannot be read: {error}") from error
    if len(pieces) != expected:
        raise AssemblyError(f"the ledger has {len(pieces)} mini-batches, but {expected} are completed")
    holds = {"pieces": pieces.digest(), "file": job.output.file_name, "format": job.output.format}
    earlier = _earlier_output(store, target, holds)
    if earlier is not None:
        return earlier
    written = assemble(store, target, job, pieces)
    store.put(_OUTPUT_MARKER, json.dumps({**holds, **asdict(written)}).encode())
    return written


def _earlier_output(store: Store, target: Store, holds: dict[str, Any]) -> Assembled | None:
    """Return the output that an earlier coordinator wrote of the same rows, or None if there is none."""
    try:
        marker = json.loads(store.get(_OUTPUT_MARKER))
        if {name: marker[name] for name in holds} != holds:
            return None
        with target.open(holds["file"]) as file:
            size = file.seek(0, os.SEEK_END)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return Assembled(rows=marker["rows"], bytes=size) if size == marker["bytes"] else None


def write_end(
    job: Job,
    store: Store,
    ledger: Ledger,
    plan: Plan,
    last: Snapshot,
    *,
    written: Assembled,
    milestones: Milestones,
) -> None:
    """Write the reports of a finished run and, if it succeeded, the record of its success. Raises OSError."""

    @lru_cache(maxsize=1)  # the attempts of a mini-batch follow one another
    def describe(mini_batch: int) -> dict[str, Any]:
        return plan.describe(mini_batch, job)

    counts_empty = counts_empty_returns(job)
    with Attempts.of(ledger.records(), counts_empty=counts_empty, first_error=last.first_error) as attempts:
        outcome = _outcome(job, last, attempts, written=written, warning=_warning(attempts))
        write_reports(
            store,
            outcome,
            attempts,
            describe=describe,
            names=lambda mini_batch: plan.item_names(mini_batch, limit=NAMED_ITEMS),
        )
    store.put(
        _TIMING, json.dumps({name: value for name, value in asdict(milestones).items() if value is not None}).encode()
    )
    if outcome.succeeded:
        write_success(store, last)
        if not outcome.mini_batches_failed:
            _delete_segments(store, ledger)


def _delete_segments(store: Store, ledger: Ledger) -> None:
    """Delete the segments, whose rows are in the output now; log a warning if that fails.

    Call it only without failed mini-batches: a retry of those assembles the output again.
    """
    try:
        # If this check misses a later coordinator's claim, that coordinator finds the record of the success.
        if not ledger.is_superseded():
            store.delete(_SEGMENTS)
    except OSError as error:
        _log.warning("cannot delete %s, which is no longer needed: %s", store.child(_SEGMENTS), error)


def _outcome(job: Job, last: Snapshot, attempts: Attempts, *, written: Assembled, warning: str) -> Outcome:
    error = last.first_error
    return Outcome(
        name=job.name,
        run_id=job.run_id,
        succeeded=last.state == "Succeeded",
        with_failures=last.reason == SUCCEEDED_WITH_FAILURES,
        message=last.message,
        started=last.started or 0.0,
        finished=last.finished or 0.0,
        mini_batches=last.mini_batches.total,
        mini_batches_succeeded=last.mini_batches.succeeded,
        mini_batches_failed=last.mini_batches.failed,
        mini_batches_retried=last.mini_batches.retried,
        items=last.items.total,
        items_succeeded=last.items.succeeded,
        items_failed=last.items.failed,
        output=f"{job.output.uri}/{last.output_file}" if last.output_file else job.output.uri,
        rows=written.rows,
        bytes=written.bytes,
        first_error=attempts.first,
        first_items=() if error is None else error.items,
        warning=warning,
    )


def _warning(attempts: Attempts) -> str:
    """Return a sentence about mini-batches with more results than items, or "" if there are none."""
    if attempts.surplus.example is None:
        return ""
    mini_batch, succeeded, items = attempts.surplus.example
    more = attempts.surplus.mini_batches - 1
    others = f", and more results than items for {more} more" if more else ""
    return f"run() returned {succeeded} results for the {items} items of mini-batch {mini_batch}{others}"


def keeps_rows(job: Job, store: Store, last: Snapshot) -> bool:
    """Return whether the rows of a run that finished with `last` can be assembled again. Raises OSError."""
    return job.output.action != APPEND_ROW or not last.rows or bool(store.names(_SEGMENTS))
