"""The tables of a run: a CSV row per attempt, per process and per worker, and a JSON line per lost mini-batch."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from longshore_coordinator.reports.records import Describe, Done, Tried, utc
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
_Key = TypeVar("_Key")
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def processed_mini_batches(done: Iterable[Done], tried: Iterable[Tried], describe: Describe) -> str:
    """Return a CSV table with one row per finished attempt, by mini-batch and then by attempt."""
    rows = [(each.completion[:2], _done_row(each, describe)) for each in done]
    picked: Counter[int] = Counter()
    for each in sorted(tried, key=_order):
        picked[each.failure.mini_batch] += 1
        rows.append((each.failure[:2], _tried_row(each, picked[each.failure.mini_batch], describe)))
    rows.sort(key=lambda row: row[0])
    return _csv(_ATTEMPT_COLUMNS, (row for _, row in rows))


def process_summary(done: Iterable[Done], tried: Iterable[Tried]) -> str:
    """Return a CSV table with one row per process: what it did and when."""
    sums: dict[tuple[str, int], _Sum] = {}
    _add_up(sums, ((each, (each.worker, each.completion.process)) for each in done))
    _add_up(sums, ((each, (each.worker, each.failure.process)) for each in tried if each.failure.process >= 0))
    rows = ((worker, process_name(process), *sums[worker, process].cells()) for worker, process in sorted(sums))
    return _csv(("Node", "Process", *_SUM_COLUMNS), rows)


def node_summary(done: Iterable[Done], tried: Iterable[Tried]) -> str:
    """Return a CSV table with one row per worker: how many processes it had and what they did."""
    done, tried = list(done), list(tried)
    sums: dict[str, _Sum] = {}
    _add_up(sums, ((each, each.worker) for each in done))
    _add_up(sums, ((each, each.worker) for each in tried))
    processes = {(each.worker, each.completion.process) for each in done}
    processes |= {(each.worker, each.failure.process) for each in tried if each.failure.process >= 0}
    counts = Counter(worker for worker, _ in processes)
    return _csv(
        ("Node", "Processes", *_SUM_COLUMNS),
        ((worker, counts[worker], *sums[worker].cells()) for worker in sorted(sums)),
    )


def failed_jsonl(tried: Iterable[Tried], describe: Describe) -> str:
    """Return one JSON line per mini-batch that failed for good, by number: enough to run just those again."""
    tried = sorted(tried, key=_order)
    attempts = Counter(each.failure.mini_batch for each in tried)
    lost = {each.failure.mini_batch: each for each in tried if each.terminal}  # the last word on each
    return "".join(
        _json(
            {
                "miniBatch": number,
                **describe(number),
                "attempts": attempts[number],
                "category": each.failure.category,
                "message": each.failure.message,
                "worker": each.worker,
                "log": each.failure.log,
            }
        )
        + "\n"
        for number, each in lost.items()
    )


def _done_row(each: Done, describe: Describe) -> Sequence[Any]:
    number, _, _, _, succeeded, items, _, process, started, elapsed, run, cpu = each.completion  # times in microseconds
    return (
        *(number, each.tries, each.worker, process_name(process), utc(started / 1e6)),
        *(items, succeeded, max(0, items - succeeded)),
        *(f"{elapsed / 1e6:.6f}", f"{cpu / 1e6:.6f}", f"{run / 1e6:.6f}"),
        *("RUN_DONE", "", "", _json(describe(number))),
    )


def _tried_row(each: Tried, picked: int, describe: Describe) -> Sequence[Any]:
    failure = each.failure
    process = process_name(failure.process) if failure.process >= 0 else ""
    items = failure.items if failure.items >= 0 else ""
    return (
        *(failure.mini_batch, picked, each.worker, process, utc(failure.started)),
        *(items, 0, items),
        *(f"{failure.elapsed:.6f}", "", ""),
        *(STATUS[failure.category], failure.category, failure.message, _json(describe(failure.mini_batch))),
    )


@dataclass
class _Sum:
    """What one process or worker did. Seconds, and Unix times."""

    mini_batches: int = 0
    failed_attempts: int = 0
    items: int = 0
    succeeded: int = 0
    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    run_seconds: float = 0.0
    first: float = float("inf")
    last: float = 0.0

    def add(self, each: Done | Tried) -> None:
        if isinstance(each, Done):
            record = each.completion
            self.mini_batches += 1
            self.items += record.items
            self.succeeded += record.succeeded
            self.cpu_seconds += record.cpu_seconds
            self.run_seconds += record.run_seconds
            self._span(record.started, record.elapsed)
        else:
            self.failed_attempts += 1
            self._span(each.failure.started, each.failure.elapsed)

    def _span(self, started: float, elapsed: float) -> None:
        self.elapsed += elapsed
        self.first = min(self.first, started)
        self.last = max(self.last, started + elapsed)

    def cells(self) -> tuple[Any, ...]:
        counts = (self.mini_batches, self.failed_attempts, self.items, self.succeeded)
        seconds = (f"{self.elapsed:.3f}", f"{self.cpu_seconds:.3f}", f"{self.run_seconds:.3f}")
        return (*counts, *seconds, utc(self.first), utc(self.last))


def _add_up(sums: dict[_Key, _Sum], each_with_key: Iterable[tuple[Done | Tried, _Key]]) -> None:
    for each, key in each_with_key:
        if key not in sums:
            sums[key] = _Sum()
        sums[key].add(each)


def _order(each: Tried) -> tuple[int, int]:
    return each.failure.mini_batch, each.failure.attempt


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(each) for each in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: foreign text may begin like one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
