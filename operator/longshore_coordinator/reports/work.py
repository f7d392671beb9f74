"""Chronological logs of the mini-batches that each process picked and finished."""

from __future__ import annotations

from collections.abc import Iterator

from longshore_coordinator.reports.attempts import Attempts
from longshore_coordinator.reports.records import Done, Tried, utc
from longshore_coordinator.reports.tables import STATUS
from longshore_protocol.wire import process_name


def work_logs(attempts: Attempts) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the name `<worker>/processNNN.txt` and the lines of each process: one per finished attempt.

    Attempts without a process, which were lost with their worker, are left out.
    """
    for worker, process, finished in attempts.by_process():
        yield f"{worker}/{process_name(process)}.txt", map(_line, finished)


def _line(each: Done | Tried) -> str:
    return _done_line(each) if isinstance(each, Done) else _tried_line(each)


def _done_line(each: Done) -> str:
    done = each.completion
    started, elapsed = done.started, done.elapsed
    return (
        f"{_span(started, elapsed)}: mini-batch {done.mini_batch}, attempt {done.attempt}, "
        f"RUN_DONE, {elapsed:.4f} s with {done.run_seconds:.4f} s in run(), "
        f"{done.succeeded} of {done.items} items succeeded\n"
    )


def _tried_line(each: Tried) -> str:
    number, attempt, _, _, category, message, _, started, elapsed, _ = each.failure
    if number < 0:
        return f"ended {_moment(started)} UTC before run(): {STATUS[category]}: {message}\n"
    return (
        f"{_span(started, elapsed)}: mini-batch {number}, attempt {attempt}, "
        f"{STATUS[category]}, {elapsed:.4f} s{', the last try' if each.terminal else ''}: {message}\n"
    )


def _span(started: float, elapsed: float) -> str:
    return f"picked {_moment(started)}, finished {_moment(started + elapsed)} UTC"


def _moment(instant: float) -> str:
    return f"{utc(instant)}.{int(instant * 1000) % 1000:03}"
