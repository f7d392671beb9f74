"""Observable state of a run: its snapshot, and the progress overview and metrics in the run folder."""

from __future__ import annotations

import logging
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

_log = logging.getLogger("longshore.coordinator")

_NAMED_ITEMS = 5  # items of the mini-batch with the first error


@dataclass
class Milestones:
    """The times of a run's milestones in Unix seconds; None for those that are not reached yet."""

    started: float
    listed: float | None = None
    first_lease: float | None = None
    last_commit: float | None = None
    assembled: float | None = None
    finished: float | None = None


def take_snapshot(
    run: Run, milestones: Milestones, *, state: str, epoch: int, written: Assembled, now: float
) -> Snapshot:
    """Return the snapshot of a run at the monotonic time `now`."""
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
        observed=milestones.finished if state in ENDED else clock.now(),  # a finished run does not change
        started=milestones.started,
        finished=milestones.finished,
        last_progress=milestones.last_commit,
        rate_per_minute=run.accounts.rate_per_minute(ended, now),
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
        output_file=job.output.file_name if milestones.assembled else None,
        rows=written.rows if milestones.assembled else None,
        registered=run.registered,
        code=run.code,
    )


def _first_error(run: Run) -> FirstError | None:
    error = run.accounts.errors.first
    if error is None or error.mini_batch is None or error.mini_batch >= len(run.plan):
        return error
    return replace(error, items=tuple(run.plan.item_names(error.mini_batch, limit=_NAMED_ITEMS)))


def final_state(verdict: Verdict) -> str:
    """Return the final state of a run with this verdict."""
    if verdict.succeeded:
        return SUCCEEDED
    return INTERRUPTED if verdict.reason == verdicts.INTERRUPTED else FAILED


class Overview:
    """Writes the progress overview and the metrics of a run to its folder."""

    def __init__(self, store: Store, run: Run, milestones: Milestones) -> None:
        self._run = run
        self._milestones = milestones
        self._lines = ProgressOverview(store, clock.now)
        self._metrics = MetricsLog(store, prefix=run.job.metrics_name_prefix, clock=clock.now)
        self._is_failing = False  # whether the last write failed

    def write(self, last: Snapshot) -> None:
        """Append a line to each file. Blocks. Log the first of several failures, which do not end the run."""
        try:
            self._lines.write(self._format_line(last))
            self._metrics.write(last, items_scheduled=self._run.plan.items_counted())
        except OSError as error:
            if not self._is_failing:
                _log.warning("cannot write the progress of run %s to its folder: %s", self._run.job.run_id, error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _format_line(self, last: Snapshot) -> str:
        counts, started = last.mini_batches, self._milestones.started
        now = last.finished or clock.now()
        ended, rate = counts.succeeded + counts.failed, last.rate_per_minute
        return progress_line(
            Progress(
                scheduled=counts.scheduled,
                scheduling_finished=last.listed,
                scheduling_seconds=(self._milestones.listed or now) - started,
                items=self._run.plan.items_scheduled,
                processed=ended,
                elapsed=now - started,
                remaining=60.0 * (counts.scheduled - ended) / rate if rate and last.listed else None,
            )
        )
