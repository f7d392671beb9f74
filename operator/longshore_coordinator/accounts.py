"""What the run has come to so far: items, the first error, the pace. Pure bookkeeping, time passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from longshore_coordinator.error_log import ErrorLog

_WINDOW = 60.0  # seconds over which the pace is measured


@dataclass
class Accounts:
    """Counters of one run. Times are monotonic seconds."""

    errors: ErrorLog = field(default_factory=ErrorLog)
    items_succeeded: int = 0
    items_ended: int = 0  # items of the mini-batches that ended
    init_failures: int = 0
    ever_ready: bool = False  # a process came through init()
    _missing: int = 0  # items in failed mini-batches, and without a result in others that have some
    _unreturned: int = 0  # items of the mini-batches that have no result at all
    _pace: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def items_failed(self) -> int:
        """Items in failed mini-batches and items without a result, where results are counted."""
        return self._missing + (self._unreturned if self.errors.counts_empty else 0)

    @property
    def counts_items(self) -> bool:
        """Whether results are counted: not while all mini-batches returned nothing and nothing asks for results."""
        return self.errors.counts_empty or not self._unreturned

    def completed(self, *, items: int, succeeded: int) -> None:
        """A mini-batch of `items` is done with `succeeded` results (more than items is no error)."""
        self.items_ended += items
        if succeeded:
            if not self.items_succeeded:
                self.errors.has_results()
            self.items_succeeded += succeeded
            if succeeded < items:
                self._missing += items - succeeded
        else:
            self._unreturned += items

    def gave_up(self, items: int) -> None:
        """A mini-batch failed permanently."""
        self.items_ended += items
        self._missing += items

    def began(self, ended: int, now: float) -> None:
        """Measure the pace from here: `ended` mini-batches were over before."""
        self._pace = deque([(now, ended)])

    def mark(self, ended: int, now: float) -> None:
        """Note that `ended` mini-batches are over by now; call about once a second."""
        self._pace.append((now, ended))
        while len(self._pace) > 2 and self._pace[1][0] < now - _WINDOW:
            self._pace.popleft()

    def per_minute(self, ended: int, now: float) -> float | None:
        """Return how many mini-batches end a minute, over the last minute; None before any did."""
        then, before = self._pace[0] if self._pace else (now, ended)
        if ended <= before or now <= then:
            return None
        return 60.0 * (ended - before) / (now - then)


def items_in(payload: Any, items: int | None) -> int:
    """Return the items of a slice: known from the plan, or its files; 1 for rows that nobody counted."""
    if items is not None:
        return items
    return len(payload) if isinstance(payload, list) else 1
