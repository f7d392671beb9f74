"""What a process was sent: `InOrder`, or, of an async entry script, `AtOnce`. Pure bookkeeping, time passed in."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import Grant

DEEPEST = 512  # mini-batches that a child may hold
MOST_AHEAD = 2000  # mini-batches that an agent holds leased for a slot, besides what its child holds


@dataclass(slots=True)
class Lease:
    """One leased mini-batch in this agent's hands."""

    grant: Grant
    tabular: bool
    abandoned: bool = False  # the lease is no longer ours: the result will not be reported
    folder: str | None = None  # with what was staged for this lease alone...
    bytes: int = 0  # ...which takes so many


@dataclass(frozen=True)
class Verdict:
    """Why a process is to be killed, or has died."""

    category: str
    message: str
    mini_batches: frozenset[int] = frozenset()  # those to blame; none: whatever the process was running


Lost = tuple[list[tuple[Lease, float]], list[Lease]]  # what was running, each since when; what had not begun


class InOrder:
    """What a process was sent that runs one mini-batch after the other."""

    def __init__(self) -> None:
        self.queue: deque[Lease] = deque()
        self.since = 0.0  # monotonic: when the head, or its run(), began
        self.loading = False  # the head is being read, run() has not begun

    def __len__(self) -> int:
        return len(self.queue)

    def sent(self, leases: list[Lease], now: float) -> None:
        """Mini-batches were sent to the child."""
        if not self.queue:
            self._head_begins(now, leases[0])
        self.queue.extend(leases)

    def runs(self, mini_batch: int, attempt: int) -> bool:
        """Tell whether that is what the child is running."""
        return bool(self.queue) and self.queue[0].grant[:2] == (mini_batch, attempt)

    def begun(self, mini_batch: int, attempt: int, now: float) -> bool:
        """Tell whether the child may say that it begins that one: here, it begins them as it ends them."""
        return False

    def loaded(self, mini_batch: int, attempt: int, now: float) -> None:
        """The rows of what runs are read; run() begins."""
        self.loading, self.since = False, now

    def done(self, mini_batch: int, attempt: int, now: float) -> Lease:
        """The child answered for what it ran, in whatever way."""
        lease = self.queue.popleft()
        if self.queue:
            self._head_begins(now, self.queue[0])
        return lease

    def postpone(self, seconds: float, now: float) -> None:
        """Leave an absence of the agent out of the time of what runs."""
        self.since = min(now, self.since + seconds)

    def oldest(self) -> tuple[int, float] | None:
        """Return the mini-batch that runs, and since when."""
        return (self.queue[0].grant.mini_batch, self.since) if self.queue else None

    def depth(self, average: float | None) -> int:
        """How many mini-batches the child should hold, by the seconds of one: many of microseconds, one of seconds."""
        if average is None or average > 0.05:
            return 1
        return min(DEEPEST, 1 + math.ceil(0.01 / max(average, 1e-5)))

    def room(self, average: float | None) -> int:
        """How many to send now: refilled by halves, one message carries many mini-batches."""
        depth, held = self.depth(average), len(self.queue)
        return depth - held if held * 2 <= depth else 0

    def backlog(self, average: float | None) -> int:
        """How many more the agent should hold leased for this slot, so that a lease call never leaves it idle."""
        if average is None or average > 2.0:
            return 0
        return min(MOST_AHEAD, math.ceil(0.25 / max(average, 1e-5)))

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now, if it must."""
        if not self.queue or now - self.since <= _limit(timeouts, loading=self.loading):
            return None
        return Verdict(errors.TIMEOUT, _too_long(timeouts, loading=self.loading))

    def lost(self, to_blame: frozenset[int]) -> Lost:
        """Return what the dead process ran, and what it had not begun."""
        waiting = list(self.queue)
        self.queue.clear()
        return [(lease, self.since) for lease in waiting[:1]], waiting[1:]

    def _head_begins(self, now: float, lease: Lease) -> None:
        self.since, self.loading = now, lease.tabular


@dataclass(slots=True)
class _Flight:
    """A mini-batch that a child has begun, while it runs others."""

    lease: Lease
    since: float  # monotonic: when it, or its run(), began
    loading: bool


class AtOnce:
    """What a process of an async entry script was sent: it runs up to `most`, and says when it begins one.

    Each has its own time. `grace` are the seconds in which the child itself ends one whose time is up.
    """

    def __init__(self, most: int, grace: float, now: float) -> None:
        self.most = most
        self.grace = grace
        self.sent_last = now  # monotonic: when mini-batches were sent, or the last of those that ran ended
        self.waiting: dict[tuple[int, int], Lease] = {}  # by mini-batch and attempt, as is...
        self.flights: dict[tuple[int, int], _Flight] = {}  # ...what has begun, the oldest first

    def __len__(self) -> int:
        return len(self.waiting) + len(self.flights)

    def sent(self, leases: list[Lease], now: float) -> None:
        """Mini-batches were sent to the child."""
        self.sent_last = now
        self.waiting.update((lease.grant[:2], lease) for lease in leases)

    def runs(self, mini_batch: int, attempt: int) -> bool:
        """Tell whether the child has begun that one, and not ended it."""
        return (mini_batch, attempt) in self.flights

    def begun(self, mini_batch: int, attempt: int, now: float) -> bool:
        """The child begins a mini-batch, unless it was never sent that one: then False."""
        lease = self.waiting.pop((mini_batch, attempt), None)
        if lease is not None:
            self.flights[mini_batch, attempt] = _Flight(lease, now, lease.tabular)
        return lease is not None

    def loaded(self, mini_batch: int, attempt: int, now: float) -> None:
        """The rows of one are read; its run() begins."""
        flight = self.flights[mini_batch, attempt]
        flight.loading, flight.since = False, now

    def done(self, mini_batch: int, attempt: int, now: float) -> Lease:
        """The child answered for one that it ran, in whatever way."""
        self.sent_last = now
        return self.flights.pop((mini_batch, attempt)).lease

    def postpone(self, seconds: float, now: float) -> None:
        """Leave an absence of the agent out of the time of all that runs."""
        self.sent_last = min(now, self.sent_last + seconds)
        for flight in self.flights.values():
            flight.since = min(now, flight.since + seconds)

    def oldest(self) -> tuple[int, float] | None:
        """Return the mini-batch that has run longest, and since when."""
        first = next(iter(self.flights.values()), None)
        return None if first is None else (first.lease.grant.mini_batch, first.since)

    def depth(self, average: float | None) -> int:
        """How many mini-batches the child should hold."""
        return self.most

    def room(self, average: float | None) -> int:
        """How many to send now: each place as it becomes free."""
        return self.most - len(self)

    def backlog(self, average: float | None) -> int:
        """How many more the agent should hold leased for this slot: it asks for more when a quarter is missing."""
        if average is None:
            return 0
        return min(MOST_AHEAD, math.ceil(self.most * max(0.5, 0.25 / max(average, 1e-5))))

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now, if it must, and for which mini-batches."""
        late = [flight for flight in self.flights.values() if now - flight.since > self._patience(timeouts, flight)]
        if late:
            numbers = frozenset(flight.lease.grant.mini_batch for flight in late)
            return Verdict(errors.TIMEOUT, _too_long(timeouts, loading=late[0].loading), numbers)
        if self.waiting and not self.flights and now - self.sent_last > timeouts.task_overhead:
            limit = f"taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)"
            return Verdict(errors.TIMEOUT, f"no mini-batch was begun within {limit}: something blocks the event loop")
        return None

    def lost(self, to_blame: frozenset[int]) -> Lost:
        """Return what the dead process ran, or of that what is to blame, and what is not at fault."""
        flights, waiting = list(self.flights.values()), list(self.waiting.values())
        self.flights.clear()
        self.waiting.clear()
        running = [each for each in flights if not to_blame or each.lease.grant.mini_batch in to_blame]
        others = [each.lease for each in flights if each not in running]
        return [(each.lease, each.since) for each in running], others + waiting

    def _patience(self, timeouts: Timeouts, flight: _Flight) -> float:
        return _limit(timeouts, loading=flight.loading) + (0.0 if flight.loading else self.grace)


def _too_long(timeouts: Timeouts, *, loading: bool) -> str:
    if loading:
        return f"loading took longer than taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)"
    return errors.run_took_longer(timeouts.run_invocation)


def _limit(timeouts: Timeouts, *, loading: bool) -> float:
    return timeouts.task_overhead if loading else timeouts.run_invocation
