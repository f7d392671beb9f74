"""What each process and each worker did, added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass
class Sum:
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

    def span(self, started: float, elapsed: float) -> None:
        """Add an attempt's time."""
        self.elapsed += elapsed
        self.first = min(self.first, started)
        self.last = max(self.last, started + elapsed)

    def add(self, other: Sum) -> None:
        """Add what another process did."""
        self.mini_batches += other.mini_batches
        self.failed_attempts += other.failed_attempts
        self.items += other.items
        self.succeeded += other.succeeded
        self.elapsed += other.elapsed
        self.cpu_seconds += other.cpu_seconds
        self.run_seconds += other.run_seconds
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


class Sums:
    """The sums of one run."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], Sum] = {}  # worker, process; -1 where no process had the mini-batch

    def add_done(self, worker: str, process: int, *, succeeded: int, items: int, times: Sequence[int]) -> None:
        """Add a committed mini-batch; `times` in microseconds: its start, elapsed, in run(), of the processor."""
        started, elapsed, run, cpu = times
        found = self._of(worker, process)
        found.mini_batches += 1
        found.items += items
        found.succeeded += succeeded
        found.cpu_seconds += cpu / 1e6
        found.run_seconds += run / 1e6
        found.span(started / 1e6, elapsed / 1e6)

    def add_tried(self, worker: str, process: int, started: float, elapsed: float) -> None:
        """Add a failed attempt; times are seconds."""
        found = self._of(worker, process)
        found.failed_attempts += 1
        found.span(started, elapsed)

    def by_process(self) -> Iterator[tuple[str, int, Sum]]:
        """Yield the sum of each process, by worker and number."""
        for (worker, process), each in sorted(self._sums.items(), key=lambda item: item[0]):
            if process >= 0:
                yield worker, process, each

    def by_worker(self) -> Iterator[tuple[str, int, Sum]]:
        """Yield each worker with the number of its processes and its sum, by name."""
        found: dict[str, tuple[int, Sum]] = {}
        for (worker, process), each in sorted(self._sums.items(), key=lambda item: item[0]):
            count, total = found.get(worker, (0, Sum()))
            total.add(each)
            found[worker] = (count + (process >= 0), total)
        for worker, (count, total) in found.items():
            yield worker, count, total

    def _of(self, worker: str, process: int) -> Sum:
        found = self._sums.get((worker, process))
        if found is None:
            found = self._sums[worker, process] = Sum()
        return found
