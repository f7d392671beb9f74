"""The progress overview: one line every few seconds, in one object per hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from longshore_coordinator.reports.records import duration, encoded, utc
from longshore_storage.lines import Lines
from longshore_storage.store import Store

_LINES = 2000  # kept per hour; one line every ten seconds makes 360


@dataclass(frozen=True)
class Progress:
    """The progress of a run. Durations are in seconds."""

    scheduled: int  # mini-batches cut so far
    scheduling_finished: bool
    scheduling_seconds: float  # so far, or in total if finished
    items: int  # of the scheduled mini-batches
    processed: int  # mini-batches that succeeded or failed permanently
    elapsed: float  # since the run started
    remaining: float | None = None  # estimate, None if unknown


def progress_line(progress: Progress) -> str:
    """Return one line without newline, with the phrases of Azure ML's overview, which users search for."""
    seconds = f"{progress.scheduling_seconds:.0f} seconds"
    if progress.scheduling_finished:
        known = f"scheduling finished: {progress.scheduled} mini batches with {progress.items} items in {seconds}"
    else:
        known = f"{progress.scheduled} mini batches scheduled so far, with {progress.items} items in {seconds}"
    if not progress.processed:
        return f"{known}; no task has been processed yet, after {duration(progress.elapsed)}"
    done = f"processed {progress.processed} of {progress.scheduled} mini batches in {duration(progress.elapsed)}"
    remaining = "" if progress.remaining is None else f", estimated remaining {duration(progress.remaining)}"
    return f"{known}; {done}{remaining}"


class ProgressOverview:
    """Keeps `logs/job_progress_overview.<yyyymmddhh>.txt` (UTC); each line rewrites the hour's whole object."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """Take the store of the run folder and a clock of Unix seconds."""
        self._store = store
        self._clock = clock
        self._hour: Lines | None = None

    def write(self, line: str) -> None:
        """Append a line after the current time. Blocks; raises OSError."""
        now = self._clock()
        name = f"logs/job_progress_overview.{datetime.fromtimestamp(now, UTC):%Y%m%d%H}.txt"
        if self._hour is None or self._hour.name != name:
            self._hour = Lines(self._store, name, limit=_LINES)
        self._hour.add([encoded(f"{utc(now)} UTC  {line}\n")])
