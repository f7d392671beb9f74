"""Failures before run(): when they end the step, and which workers to replace. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.verdict import Verdict
from longshore_protocol.job import Job
from longshore_protocol.wire import Failure


class InitFailures:
    """The failures of one run by worker, counted since the worker last had a ready process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._seen: set[tuple[str, int, float]] = set()
        self._by_worker: Counter[str] = Counter()
        self._replaced: Counter[str] = Counter()  # worker -> number of replacements
        self._last = ""  # message
        self._ever_ready = False

    def add(self, worker: str, failure: Failure) -> bool:
        """Record a failure; return False if it is a repeated report, after a response that was lost."""
        key = (worker, failure.process, failure.started)
        if key in self._seen:
            return False
        self._seen.add(key)
        self._by_worker[worker] += 1
        self._last = failure.message
        return True

    def ready(self, worker: str) -> None:
        """Record that a process of a worker has passed init()."""
        self._ever_ready = True
        if self._by_worker:
            self._by_worker.pop(worker, None)

    def verdict(self, connected: Collection[str], *, unready: float) -> Verdict | None:
        """Return the verdict of `verdict.init_failed`, or None once any process has passed init()."""
        if self._ever_ready or not self._by_worker:
            return None
        return verdicts.init_failed(self._job, self._by_worker, connected, unready=unready, error=self._last)

    def take_workers_to_replace(self) -> list[str]:
        """Return the workers whose processes keep failing while other workers' succeed, and reset their counts.

        A worker is returned again after twice as many failures, because its new node may be healthy, or broken too.
        """
        if not self._ever_ready:
            return []
        limit = verdicts.init_limit(self._job)
        found = [each for each, count in self._by_worker.items() if count >= limit * 2 ** min(self._replaced[each], 8)]
        for each in found:
            self._replaced[each] += 1
            del self._by_worker[each]
        return found
