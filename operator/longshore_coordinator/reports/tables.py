"""Tables of a run: a CSV row per attempt, process and worker, and a JSON line per mini-batch with failed items."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from longshore_coordinator.reports.attempts import Attempts
from longshore_coordinator.reports.records import Describe, Done, Tried, utc
from longshore_coordinator.reports.sums import Sum
from longshore_protocol import errors
from longshore_protocol.wire import process_name

STATUS = {
    errors.USER_ERROR: "RUN_EXCEPTION",
    errors.TIMEOUT: "RUN_TIMEOUT",
    errors.OUT_OF_MEMORY: "RUN_OUT_OF_MEMORY",
    errors.CUDA_OUT_OF_MEMORY: "RUN_CUDA_OUT_OF_MEMORY",
    errors.PROCESS_DIED: "RUN_PROCESS_DIED",
    errors.WRONG_RETURN: "RUN_WRONG_RETURN",
    errors.DATA_ERROR: "LOAD_FAILED",
    errors.SYSTEM: "SYSTEM_ERROR",
}
_ATTEMPT_COLUMNS = (
    "Mini-batch ID",
    "Picked Count",
    "Node",
    "Process",
    "Start Time (UTC)",
    "Total",
    "Succeeded",
    "Failed",
    "Elapsed Seconds",
    "Process Seconds",
    "Run Method Seconds",
    "Status",
    "Error Category",
    "Error Message",
    "Mini-batch Detail",
)
_SUM_COLUMNS = (
    "Mini-batches",
    "Failed Attempts",
    "Items",
    "Succeeded Items",
    "Elapsed Seconds",
    "Process Seconds",
    "Run Method Seconds",
    "First Start Time (UTC)",
    "Last End Time (UTC)",
)
_CHUNK = 64 << 10  # characters that are written at once
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def processed_mini_batches(attempts: Attempts, describe: Describe) -> Iterator[str]:
    """Yield parts of a CSV table with one row per finished attempt, sorted by mini-batch and attempt."""
    rows = (
        _done_row(each, describe, counts=each.completion.succeeded > 0 or attempts.counts_empty)
        if isinstance(each, Done)
        else _tried_row(each, describe)
        for each in attempts.in_order()
    )
    return _csv(_ATTEMPT_COLUMNS, rows)


def process_summary(attempts: Attempts) -> Iterator[str]:
    """Yield parts of a CSV table with the totals of each process."""
    sums = attempts.sums.by_process()
    rows = ((_foreign(worker), process_name(process), *_cells(each)) for worker, process, each in sums)
    return _csv(("Node", "Process", *_SUM_COLUMNS), rows)


def node_summary(attempts: Attempts) -> Iterator[str]:
    """Yield parts of a CSV table with the number of processes and the totals of each worker."""
    rows = ((_foreign(worker), count, *_cells(each)) for worker, count, each in attempts.sums.by_worker())
    return _csv(("Node", "Processes", *_SUM_COLUMNS), rows)


def failed_jsonl(attempts: Attempts, describe: Describe) -> Iterator[str]:
    """Yield one JSON line per mini-batch with failed items, sorted by number, with its input and items.

    A mini-batch with fewer results than items is listed with all its items, because the failed ones are unknown.
    """
    for each in attempts.failed_mini_batches():
        failure = each.attempt.failure
        line = {
            "miniBatch": failure.mini_batch,
            **describe(failure.mini_batch),
            "itemsFailed": each.items_failed if each.items_failed >= 0 else None,
            "attempts": each.attempts,
            "category": failure.category,
            "message": failure.message,
            "worker": each.attempt.worker,
            "log": failure.log,
        }
        yield _json(line) + "\n"


def _done_row(each: Done, describe: Describe, *, counts: bool) -> Sequence[Any]:
    number, _, _, _, succeeded, items, _, process, started, elapsed, run, cpu = each.completion  # times in microseconds
    return (
        *(number, each.tries, _foreign(each.worker), process_name(process), utc(started / 1e6)),
        *(items, succeeded, max(0, items - succeeded) if counts else ""),
        *(f"{elapsed / 1e6:.6f}", f"{cpu / 1e6:.6f}", f"{run / 1e6:.6f}"),
        *("RUN_DONE", "", "", _json(describe(number))),
    )


def _tried_row(each: Tried, describe: Describe) -> Sequence[Any]:
    failure = each.failure
    process = process_name(failure.process) if failure.process >= 0 else ""
    items = failure.items if failure.items >= 0 else ""
    return (
        *(failure.mini_batch, each.picked, _foreign(each.worker), process, utc(failure.started)),
        *(items, 0, items),
        *(f"{failure.elapsed:.6f}", "", ""),
        *(STATUS[failure.category], failure.category, _foreign(failure.message), _json(describe(failure.mini_batch))),
    )


def _cells(each: Sum) -> tuple[Any, ...]:
    counts = (each.mini_batches, each.failed_attempts, each.items, each.succeeded)
    seconds = (f"{each.elapsed:.3f}", f"{each.cpu_seconds:.3f}", f"{each.run_seconds:.3f}")
    return (*counts, *seconds, utc(each.first), utc(each.last))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(row)
        if text.tell() >= _CHUNK:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _foreign(text: str) -> str:
    """Return a cell with text from elsewhere, escaped so that no spreadsheet evaluates it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
