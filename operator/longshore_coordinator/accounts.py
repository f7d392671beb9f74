"""Counters of a run: items, errors and the rate of finished mini-batches. No I/O; the time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from longshore_coordinator.error_log import ErrorLog

_WINDOW = 60.0  # seconds over which the rate is measured


@dataclass
class Accounts:
    """Counters of one run. Times are monotonic seconds."""

    errors: ErrorLog = field(default_factory=ErrorLog)
    items_succeeded: int = 0
    items_ended: int = 0  # items of finished mini-batches
    init_failures: int = 0
    ever_ready: bool = False  # whether any process has passed init()
    _missing: int = 0  # items of failed mini-batches, and items without result of mini-batches that have results
    _unreturned: int = 0  # items of mini-batches without any result
    _samples: deque[tuple[float, int]] = field(default_factory=deque)  # (time, finished mini-batches)

    @property
    def items_failed(self) -> int:
        """Number of items in failed mini-batches, plus items without a result if results are counted."""
        return self._missing + (self._unreturned if self.errors.counts_empty else 0)

    @property
    def counts_items(self) -> bool:
        """Whether results are counted: not while no mini-batch has returned any and the job does not require them."""
        return self.errors.counts_empty or not self._unreturned

    def record_completion(self, *, items: int, succeeded: int) -> None:
        """Count a completed mini-batch of `items` items with `succeeded` results, which may be more than items."""
        self.items_ended += items
        if succeeded:
            if not self.items_succeeded:
                self.errors.require_results()
            self.items_succeeded += succeeded
            if succeeded < items:
                self._missing += items - succeeded
        else:
            self._unreturned += items

    def record_failure(self, items: int) -> None:
        """Count a permanently failed mini-batch of `items` items."""
        self.items_ended += items
        self._missing += items

    def start_rate(self, ended: int, now: float) -> None:
        """Measure the rate from `now` on, when `ended` mini-batches are finished."""
        self._samples = deque([(now, ended)])

    def sample_rate(self, ended: int, now: float) -> None:
        """Record that `ended` mini-batches are finished at `now`; call about once a second."""
        self._samples.append((now, ended))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW:
            self._samples.popleft()

    def rate_per_minute(self, ended: int, now: float) -> float | None:
        """Return the mini-batches finished per minute, averaged over the last minute; None before the first."""
        then, before = self._samples[0] if self._samples else (now, ended)
        if ended <= before or now <= then:
            return None
        return 60.0 * (ended - before) / (now - then)


def items_in(payload: Any, items: int | None) -> int:
    """Return the number of items of a slice: `items` if known, else its files, or 1 for rows that are not counted."""
    if items is not None:
        return items
    return len(payload) if isinstance(payload, list) else 1
