"""The metrics of a run over time: one JSON line every few seconds, with the names of Azure ML's Metrics tab."""

from __future__ import annotations

import json
from collections.abc import Callable

from longshore_coordinator.reports.records import utc
from longshore_protocol.snapshot import Snapshot
from longshore_storage.lines import Lines
from longshore_storage.store import Store

METRICS = "logs/metrics.jsonl"

_LIMIT = 5000  # lines; at one every ten seconds the last fourteen hours


def metrics(snapshot: Snapshot, *, items_scheduled: int | None) -> dict[str, float | None]:
    """Return the metrics by name.

    The total and the progress in percent are None before all inputs are listed. The remaining mini-batches and items
    are those cut so far. `items_scheduled` is the number of items cut so far, or None if they are not counted.
    """
    counts, items = snapshot.mini_batches, snapshot.items
    ended = counts.succeeded + counts.failed
    return {
        "Total mini batches": counts.total,
        "Remaining mini batches": counts.scheduled - ended,
        "Remaining items": None if items_scheduled is None else max(0, items_scheduled - items.total),
        "Failed items": items.failed,
        "Job progress": round(100.0 * ended / counts.total, 2) if counts.total else None,
    }


class MetricsLog:
    """Keeps `logs/metrics.jsonl`: {"time", and each metric under `prefix` and its name}."""

    def __init__(self, store: Store, *, prefix: str, clock: Callable[[], float]) -> None:
        """Take the store of the run folder, the job's `metrics_name_prefix` and a clock of Unix seconds."""
        self._lines = Lines(store, METRICS, limit=_LIMIT)
        self._prefix = prefix
        self._clock = clock

    def write(self, snapshot: Snapshot, *, items_scheduled: int | None) -> None:
        """Append a line with `metrics`. Blocks; raises OSError."""
        time = utc(self._clock()).replace(" ", "T") + "Z"
        values = metrics(snapshot, items_scheduled=items_scheduled)
        line = {"time": time, **{self._prefix + name: value for name, value in values.items()}}
        self._lines.add([json.dumps(line).encode() + b"\n"])
