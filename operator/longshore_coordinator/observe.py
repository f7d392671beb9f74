"""What others see of a run: the snapshot for its status, the overview and the metrics in its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.assembly import Assembled
from longshore_coordinator.leases import State
from longshore_coordinator.reports import MetricsLog, Progress, ProgressOverview, progress_line
from longshore_coordinator.run import Run
from longshore_coordinator.verdict import Verdict
from longshore_protocol import clock
from longshore_protocol.snapshot import (
    ENDED,
    FAILED,
    INTERRUPTED,
    MOST_IDLE,
    SUCCEEDED,
    FirstError,
    ItemCounts,
    MiniBatchCounts,
    Snapshot,
    WorkerCounts,
)
from longshore_protocol.text import MESSAGE, printable
from longshore_storage.store import Store

_NAMED_ITEMS = 5  # of the mini-batch with the first error


@dataclass
class Moments:
    """When the run came how far; Unix seconds, None while it has not."""

    started: float
    listed: float | None = None
    first_lease: float | None = None
    last_commit: float | None = None
    assembled: float | None = None
    finished: float | None = None


def take_snapshot(run: Run, moments: Moments, *, state: str, epoch: int, written: Assembled, now: float) -> Snapshot:
    """Return where a run is; `now` is monotonic."""
    counts, ended, verdict, job = run.leases.counts, run.ended(), run.verdict, run.job
    waiting = run.waiting(now)
    return Snapshot(
        state=state,
        run_id=job.run_id,
        run_uri=job.run_uri,
        output_uri=job.output.uri,
        epoch=epoch,
        reason=verdict.reason if verdict else "",
        message=printable(verdict.message, MESSAGE) if verdict else "",
        waiting_reason=waiting[0],
        waiting_message=waiting[1],
        observed=moments.finished if state in ENDED else clock.now(),  # nothing changes after the end
        started=moments.started,
        finished=moments.finished,
        last_progress=moments.last_commit,
        rate_per_minute=run.accounts.per_minute(ended, now),
        mini_batches=MiniBatchCounts(
            total=len(run.leases) if run.plan.complete else None,
            scheduled=len(run.leases),
            running=counts[State.LEASED],
            succeeded=counts[State.DONE],
            failed=counts[State.FAILED],
            retried=run.leases.retried(),
        ),
        items=ItemCounts(run.accounts.items_ended, run.accounts.items_succeeded, run.accounts.items_failed),
        workers=WorkerCounts(job.workers, run.agents.ready()),
        idle_workers=tuple(run.idle_workers()[:MOST_IDLE]),
        devices=run.agents.devices(),
        first_error=_first_error(run),
        output_file=job.output.file_name if moments.assembled else None,
        rows=written.rows if moments.assembled else None,
    )


def _first_error(run: Run) -> FirstError | None:
    error = run.accounts.errors.first
    if error is None or error.mini_batch is None or error.mini_batch >= len(run.plan):
        return error
    return replace(error, items=tuple(run.plan.item_names(error.mini_batch, limit=_NAMED_ITEMS)))


def final_state(verdict: Verdict) -> str:
    """Return the state in which a verdict leaves its run."""
    if verdict.succeeded:
        return SUCCEEDED
    return INTERRUPTED if verdict.reason == verdicts.INTERRUPTED else FAILED


class Overview:
    """Writes the progress overview and the metrics of a run into its folder."""

    def __init__(self, store: Store, run: Run, moments: Moments) -> None:
        self._run = run
        self._moments = moments
        self._lines = ProgressOverview(store, clock.now)
        self._metrics = MetricsLog(store, prefix=run.job.metrics_name_prefix, clock=clock.now)

    def write(self, last: Snapshot) -> None:
        """Add a line to each. Blocks; raises OSError."""
        self._lines.write(self._line(last))
        self._metrics.write(last, items_scheduled=self._run.plan.items_counted())

    def _line(self, last: Snapshot) -> str:
        counts, started = last.mini_batches, self._moments.started
        now = last.finished or clock.now()
        ended, rate = counts.succeeded + counts.failed, last.rate_per_minute
        return progress_line(
            Progress(
                scheduled=counts.scheduled,
                scheduling_finished=last.listed,
                scheduling_seconds=(self._moments.listed or now) - started,
                items=self._run.plan.items_scheduled,
                processed=ended,
                elapsed=now - started,
                remaining=60.0 * (counts.scheduled - ended) / rate if rate and last.listed else None,
            )
        )
