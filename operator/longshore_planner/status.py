"""Conversion of the coordinator's snapshot into the status of a ParallelRunStep."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Literal

from longshore_api import status as api
from longshore_protocol.snapshot import ENDED, SUCCEEDED, SUCCEEDED_WITH_FAILURES, Snapshot

_LONGEST_MESSAGE, _LONGEST_TRACEBACK = 2048, 8192  # characters
_ROUNDED = 10  # mini-batches per minute above which the table shows no fractions

Truth = Literal["True", "False", "Unknown"]


def step_status(
    snapshot: Snapshot,
    *,
    previous: api.ParallelRunStepStatus | None,
    now: datetime,
    generation: int = 1,
) -> api.ParallelRunStepStatus:
    """Compute the complete status of a ParallelRunStep.

    Args:
        snapshot: State of the run, as the coordinator reports it.
        previous: Last status; conditions whose status is unchanged keep its transition time.
        now: Current time, with time zone.
        generation: Generation of the spec that the run was created from.
    """
    return api.ParallelRunStepStatus(
        observed_generation=generation,
        conditions=_conditions(snapshot, previous=previous, now=now, generation=generation),
        progress=_progress(snapshot),
        devices=[api.DeviceStatus(**asdict(each)) for each in snapshot.devices] or None,
        first_error=_first_error(snapshot),
        output=api.OutputStatus(uri=snapshot.output_uri, file=snapshot.output_file, rows=snapshot.rows),
        start_time=_instant(snapshot.started),
        completion_time=_instant(snapshot.finished) if snapshot.state in ENDED else None,
        run_id=snapshot.run_id,
        run_uri=snapshot.run_uri,
    )


def _conditions(
    snapshot: Snapshot, *, previous: api.ParallelRunStepStatus | None, now: datetime, generation: int
) -> list[api.Condition]:
    ended = snapshot.state in ENDED
    reason = snapshot.reason or snapshot.state
    if not ended and reason in (SUCCEEDED, SUCCEEDED_WITH_FAILURES):
        reason = snapshot.state  # the run has not succeeded until its output is written
    message = snapshot.message
    if not ended and snapshot.waiting_reason:
        reason, message = snapshot.waiting_reason, snapshot.waiting_message
    succeeded: Truth = "Unknown" if not ended else "True" if snapshot.state == SUCCEEDED else "False"
    return conditions(succeeded, reason=reason, message=message, previous=previous, generation=generation, now=now)


def conditions(
    succeeded: Truth,
    *,
    reason: str,
    message: str,
    previous: api.ResourceStatus | None,
    generation: int,
    now: datetime,
    stalled: str = "",
) -> list[api.Condition]:
    """Return the conditions of a step or run in the form that kstatus expects.

    A waiting step is not Stalled, because kstatus reports Stalled as failed. `stalled` is the reason why an unfinished
    step cannot proceed without a change by the user; "" if it can.
    """
    truths: dict[str, tuple[Truth, str]] = {
        "Succeeded": (succeeded, reason),
        "Ready": (_truth(succeeded == "True"), reason),
        "Stalled": (_truth(succeeded == "False" or bool(stalled)), stalled or reason),
        "Finished": (_truth(succeeded != "Unknown"), reason),
    }
    return [
        condition(type_, truth, reason=why, message=message, previous=previous, generation=generation, now=now)
        for type_, (truth, why) in truths.items()
    ]


def condition(
    type_: str,
    truth: Truth,
    *,
    reason: str,
    message: str,
    previous: api.ResourceStatus | None,
    generation: int,
    now: datetime,
) -> api.Condition:
    """Return a condition; an unchanged status keeps the transition time of `previous`."""
    before = previous.condition(type_) if previous else None
    return api.Condition(
        type=type_,
        status=truth,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time if before is not None and before.status == truth else now,
        observed_generation=generation,
    )


def _truth(value: bool) -> Truth:  # noqa: FBT001  (the flag is the value to convert)
    return "True" if value else "False"


def _progress(snapshot: Snapshot) -> api.Progress:
    counts, items, workers = snapshot.mini_batches, snapshot.items, snapshot.workers
    remaining = _remaining_seconds(snapshot)
    rate = None if snapshot.rate_per_minute is None else round(snapshot.rate_per_minute, 1)
    return api.Progress(
        mini_batches=api.MiniBatchCounts(
            total=counts.total,
            scheduled=counts.scheduled,
            running=counts.running,
            succeeded=counts.succeeded,
            failed=counts.failed,
            retried=counts.retried,
        ),
        items=api.ItemCounts(total=items.total, succeeded=items.succeeded, failed=items.failed),
        workers=api.WorkerCounts(wanted=workers.wanted, ready=workers.ready),
        rate_per_minute=rate,
        estimated_remaining_seconds=remaining,
        last_progress_time=_instant(snapshot.last_progress),
        observed_time=_instant(snapshot.observed),
        columns=api.Columns(
            done=f"{counts.succeeded + counts.failed}/{'?' if counts.total is None else counts.total}",
            failed=str(counts.failed),
            rate="" if rate is None else f"{rate:.3g}/min" if rate < _ROUNDED else f"{rate:.0f}/min",
            eta="" if remaining is None else duration(remaining),
            workers=f"{workers.ready}/{workers.wanted}",
        ),
    )


def _remaining_seconds(snapshot: Snapshot) -> int | None:
    """Return the seconds left at the current rate; None while unknown, and once the run has finished."""
    counts = snapshot.mini_batches
    if counts.total is None or not snapshot.rate_per_minute or snapshot.state in ENDED:
        return None
    return round((counts.total - counts.succeeded - counts.failed) * 60 / snapshot.rate_per_minute)


def duration(seconds: int) -> str:
    """Format seconds as Kubernetes does in tables: 45s, 2m30s, 3h5m, 2d4h."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m{seconds % 60}s"
    return f"{hours}h{minutes % 60}m" if not days else f"{days}d{hours % 24}h"


def _first_error(snapshot: Snapshot) -> api.FirstError | None:
    """Return the first error with its empty fields filled in and its long fields cut to fit into a status."""
    error = snapshot.first_error
    if error is None:
        return None
    return api.FirstError(
        category=error.category or "System",
        message=error.message[:_LONGEST_MESSAGE] or "The error has no message.",
        mini_batch=error.mini_batch,
        pod=error.worker,
        traceback=error.traceback[-_LONGEST_TRACEBACK:],
        items=[each[:_LONGEST_MESSAGE] for each in error.items] or None,
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
