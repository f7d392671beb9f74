"""The mini-batches that were sent to a process: `InOrder`, or `AtOnce` for async entry scripts.

Pure bookkeeping: no I/O, and the current time (monotonic seconds) is an argument.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import Grant

DEEPEST = 512  # the most mini-batches that a child may hold
MOST_AHEAD = 2000  # the most mini-batches that an agent may lease for a slot besides those its child holds


@dataclass(slots=True)
class Lease:
    """One mini-batch that this agent has leased."""

    grant: Grant
    tabular: bool
    abandoned: bool = False  # the lease was lost or released: the result will not be reported
    folder: str | None = None  # holds the files staged for this lease alone
    bytes: int = 0  # size of the folder


@dataclass(frozen=True)
class Verdict:
    """Why a process must be killed, or why it died."""

    category: str
    message: str
    mini_batches: frozenset[int] = frozenset()  # the cause; empty: everything that the process was running


Lost = tuple[
    list[tuple[Lease, float]], list[Lease]
]  # the running leases with their start times; the leases that had not begun


class InOrder:
    """The mini-batches sent to a process that runs one after the other."""

    def __init__(self) -> None:
        self.queue: deque[Lease] = deque()
        self.since = 0.0  # monotonic: when loading of the head, or its run(), began
        self.loading = False  # the head is being loaded; its run() has not begun

    def __len__(self) -> int:
        return len(self.queue)

    def sent(self, leases: list[Lease], now: float) -> None:
        """Record mini-batches that were sent to the child."""
        if not self.queue:
            self._head_begins(now, leases[0])
        self.queue.extend(leases)

    def runs(self, mini_batch: int, attempt: int) -> bool:
        """Return whether the child is running that attempt."""
        return bool(self.queue) and self.queue[0].grant[:2] == (mini_batch, attempt)

    def begun(self, mini_batch: int, attempt: int, now: float) -> bool:
        """Return False: a child that runs mini-batches in order never reports that it begins one."""
        return False

    def loaded(self, mini_batch: int, attempt: int, now: float) -> None:
        """Record that the head is loaded and its run() begins."""
        self.loading, self.since = False, now

    def done(self, mini_batch: int, attempt: int, now: float) -> Lease:
        """Record that the head ended, with any outcome; return its lease."""
        lease = self.queue.popleft()
        if self.queue:
            self._head_begins(now, self.queue[0])
        return lease

    def postpone(self, seconds: float, now: float) -> None:
        """Exclude seconds during which the agent was suspended from the running time of the head."""
        self.since = min(now, self.since + seconds)

    def oldest(self) -> tuple[int, float] | None:
        """Return the running mini-batch and its start time."""
        return (self.queue[0].grant.mini_batch, self.since) if self.queue else None

    def depth(self, average: float | None) -> int:
        """Return how many mini-batches the child should hold: the shorter they are on average (seconds), the more."""
        if average is None or average > 0.05:
            return 1
        return min(DEEPEST, 1 + math.ceil(0.01 / max(average, 1e-5)))

    def room(self, average: float | None) -> int:
        """Return how many mini-batches to send now. Refills when half empty, so that one message carries many."""
        depth, held = self.depth(average), len(self.queue)
        return depth - held if held * 2 <= depth else 0

    def backlog(self, average: float | None) -> int:
        """Return how many more mini-batches to hold leased for this slot, so that it never waits for a lease call."""
        if average is None or average > 2.0:
            return 0
        return min(MOST_AHEAD, math.ceil(0.25 / max(average, 1e-5)))

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now, or None."""
        if not self.queue or now - self.since <= _limit(timeouts, loading=self.loading):
            return None
        return Verdict(errors.TIMEOUT, _timeout_message(timeouts, loading=self.loading))

    def lost(self, to_blame: frozenset[int]) -> Lost:
        """Clear the queue of a dead process; return the lease that was running and those that had not begun."""
        waiting = list(self.queue)
        self.queue.clear()
        return [(lease, self.since) for lease in waiting[:1]], waiting[1:]

    def _head_begins(self, now: float, lease: Lease) -> None:
        self.since, self.loading = now, lease.tabular


@dataclass(slots=True)
class _Flight:
    """One of several mini-batches that a child runs concurrently."""

    lease: Lease
    since: float  # monotonic: when loading it, or its run(), began
    loading: bool


class AtOnce:
    """The mini-batches sent to a process of an async entry script, which runs several and reports each start.

    Each mini-batch has a time limit of its own.

    Args:
        most: The most mini-batches that run concurrently.
        grace: Seconds that the child gets to cancel a mini-batch that exceeds its time limit.
        now: Monotonic seconds.
    """

    def __init__(self, most: int, grace: float, now: float) -> None:
        self.most = most
        self.grace = grace
        self.sent_last = now  # monotonic: when mini-batches were last sent, or the last running one ended
        self.waiting: dict[tuple[int, int], Lease] = {}  # by (mini-batch, attempt)
        self.flights: dict[tuple[int, int], _Flight] = {}  # the same, of those that have begun, the oldest first

    def __len__(self) -> int:
        return len(self.waiting) + len(self.flights)

    def sent(self, leases: list[Lease], now: float) -> None:
        """Record mini-batches that were sent to the child."""
        self.sent_last = now
        self.waiting.update((lease.grant[:2], lease) for lease in leases)

    def runs(self, mini_batch: int, attempt: int) -> bool:
        """Return whether the child is running that attempt."""
        return (mini_batch, attempt) in self.flights

    def begun(self, mini_batch: int, attempt: int, now: float) -> bool:
        """Record that the child begins a mini-batch; return False if it was never sent that one."""
        lease = self.waiting.pop((mini_batch, attempt), None)
        if lease is not None:
            self.flights[mini_batch, attempt] = _Flight(lease, now, lease.tabular)
        return lease is not None

    def loaded(self, mini_batch: int, attempt: int, now: float) -> None:
        """Record that a mini-batch is loaded and its run() begins."""
        flight = self.flights[mini_batch, attempt]
        flight.loading, flight.since = False, now

    def done(self, mini_batch: int, attempt: int, now: float) -> Lease:
        """Record that a mini-batch ended, with any outcome; return its lease."""
        self.sent_last = now
        return self.flights.pop((mini_batch, attempt)).lease

    def postpone(self, seconds: float, now: float) -> None:
        """Exclude seconds during which the agent was suspended from all running times."""
        self.sent_last = min(now, self.sent_last + seconds)
        for flight in self.flights.values():
            flight.since = min(now, flight.since + seconds)

    def oldest(self) -> tuple[int, float] | None:
        """Return the mini-batch that has run longest and its start time."""
        first = next(iter(self.flights.values()), None)
        return None if first is None else (first.lease.grant.mini_batch, first.since)

    def depth(self, average: float | None) -> int:
        """Return how many mini-batches the child should hold."""
        return self.most

    def room(self, average: float | None) -> int:
        """Return how many mini-batches to send now: one for each that ended."""
        return self.most - len(self)

    def backlog(self, average: float | None) -> int:
        """Return how many further mini-batches to hold leased for this slot."""
        if average is None:
            return 0
        return min(MOST_AHEAD, math.ceil(self.most * max(0.5, 0.25 / max(average, 1e-5))))

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now and which mini-batches cause it, or None."""
        late = [flight for flight in self.flights.values() if now - flight.since > self._flight_limit(timeouts, flight)]
        if late:
            numbers = frozenset(flight.lease.grant.mini_batch for flight in late)
            return Verdict(errors.TIMEOUT, _timeout_message(timeouts, loading=late[0].loading), numbers)
        if self.waiting and not self.flights and now - self.sent_last > timeouts.task_overhead:
            limit = f"taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)"
            return Verdict(errors.TIMEOUT, f"no mini-batch was begun within {limit}: something blocks the event loop")
        return None

    def lost(self, to_blame: frozenset[int]) -> Lost:
        """Clear the work of a dead process; return the leases to blame, by default all running ones, and the others."""
        flights, waiting = list(self.flights.values()), list(self.waiting.values())
        self.flights.clear()
        self.waiting.clear()
        running = [each for each in flights if not to_blame or each.lease.grant.mini_batch in to_blame]
        others = [each.lease for each in flights if each not in running]
        return [(each.lease, each.since) for each in running], others + waiting

    def _flight_limit(self, timeouts: Timeouts, flight: _Flight) -> float:
        return _limit(timeouts, loading=flight.loading) + (0.0 if flight.loading else self.grace)


def _timeout_message(timeouts: Timeouts, *, loading: bool) -> str:
    if loading:
        return f"loading took longer than taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)"
    return errors.run_took_longer(timeouts.run_invocation)


def _limit(timeouts: Timeouts, *, loading: bool) -> float:
    return timeouts.task_overhead if loading else timeouts.run_invocation
