"""What each process of each worker picked and finished, line by line in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from longshore_coordinator.reports.records import Done, Tried, utc
from longshore_coordinator.reports.tables import STATUS
from longshore_protocol.wire import process_name


def work_logs(done: Iterable[Done], tried: Iterable[Tried]) -> dict[str, str]:
    """Return the text of each `<worker>/processNNN.txt`: one line per attempt that the process finished.

    An attempt that no process had (it was lost with its worker) is in none of them.
    """
    lines = [_done_line(each) for each in done]
    lines += [_tried_line(each) for each in tried if each.failure.process >= 0]
    lines.sort(key=itemgetter(0, 1, 2))
    return {
        f"{worker}/{process_name(process)}.txt": "".join([line[3] for line in of_process])
        for (worker, process), of_process in groupby(lines, key=itemgetter(0, 1))
    }


def _done_line(each: Done) -> tuple[str, int, float, str]:
    done = each.completion
    started, elapsed = done.started, done.elapsed
    text = (
        f"{_span(started, elapsed)}: mini-batch {done.mini_batch}, attempt {done.attempt}, "
        f"RUN_DONE, {elapsed:.4f} s with {done.run_seconds:.4f} s in run(), "
        f"{done.succeeded} of {done.items} items succeeded\n"
    )
    return each.worker, done.process, started, text


def _tried_line(each: Tried) -> tuple[str, int, float, str]:
    number, attempt, _, process, category, message, _, started, elapsed, _ = each.failure
    if number < 0:
        text = f"ended {_moment(started)} UTC before run(): {STATUS[category]}: {message}\n"
    else:
        text = (
            f"{_span(started, elapsed)}: mini-batch {number}, attempt {attempt}, "
            f"{STATUS[category]}, {elapsed:.4f} s{', the last try' if each.terminal else ''}: {message}\n"
        )
    return each.worker, process, started, text


def _span(started: float, elapsed: float) -> str:
    return f"picked {_moment(started)}, finished {_moment(started + elapsed)} UTC"


def _moment(instant: float) -> str:
    return f"{utc(instant)}.{int(instant * 1000) % 1000:03}"
