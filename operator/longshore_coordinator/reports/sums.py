"""Totals of the attempts of each process and each worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass
class Sum:
    """The totals of one process or worker. Durations are in seconds, times in Unix seconds."""

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
        """Add the totals of another process."""
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
    """The totals of one run."""

    def __init__(self) -> None:
        self._sums: dict[
            tuple[str, int], Sum
        ] = {}  # by worker and process; process -1 if no process had the mini-batch

    def add_done(self, worker: str, process: int, *, succeeded: int, items: int, times: Sequence[int]) -> None:
        """Add a committed mini-batch; `times` are its start, duration, time in run() and CPU time in microseconds."""
        started, elapsed, run, cpu = times
        found = self._of(worker, process)
        found.mini_batches += 1
        found.items += items
        found.succeeded += succeeded
        found.cpu_seconds += cpu / 1e6
        found.run_seconds += run / 1e6
        found.span(started / 1e6, elapsed / 1e6)

    def add_tried(self, worker: str, process: int, started: float, elapsed: float) -> None:
        """Add a failed attempt; times are in seconds."""
        found = self._of(worker, process)
        found.failed_attempts += 1
        found.span(started, elapsed)

    def by_process(self) -> Iterator[tuple[str, int, Sum]]:
        """Yield worker, process number and totals of each process, sorted."""
        for (worker, process), each in sorted(self._sums.items(), key=lambda item: item[0]):
            if process >= 0:
                yield worker, process, each

    def by_worker(self) -> Iterator[tuple[str, int, Sum]]:
        """Yield name, number of processes and totals of each worker, sorted."""
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
