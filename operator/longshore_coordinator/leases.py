"""The lease store: who may run which mini-batch, and for how long.

    WAITING ──grant──▶ LEASED ──complete──▶ DONE
       ▲                 │ └────fail────▶ FAILED   (no try left)
       └─────────────────┘  fail (tries left), defer, give back, lose, expire

Every grant raises the mini-batch's attempt number, and whoever renews, completes or fails must name the attempt it was
granted: an agent that stalled and woke up cannot speak for a later one. Tries are counted apart from attempts: one is
used up when run() failed, none when the worker was taken away or a store failed. Pure: time is passed in, nothing is
stored elsewhere.
"""

from __future__ import annotations

import enum
import heapq
import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from longshore_protocol.backoff import pause

# A mini-batch that was lost with its worker this often is suspected of killing workers: further losses use up tries.
LOSSES_FOR_FREE = 10

# Seconds before a mini-batch is granted again that its input's store kept from running, doubled each time: others may
# read what does not fail.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


class State(enum.IntEnum):
    """Where a mini-batch stands."""

    WAITING = 0
    LEASED = 1
    DONE = 2
    FAILED = 3


class Outcome(enum.Enum):
    """What became of a report."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # this very attempt is done already: the answer to its report was lost
    REFUSED = "refused"  # the lease is another's, or nobody's
    EXHAUSTED = "exhausted"  # accepted, and it was the last try


@dataclass(slots=True)
class _Lease:
    agent: str
    deadline: float


class LeaseStore:
    """Leases over mini-batches numbered from 0. `term` is a lease's length in seconds."""

    def __init__(self, *, max_tries: int, term: float) -> None:
        self._max_tries = max_tries
        self._term = term
        self._states = bytearray()
        self._attempts = array("L")
        self._tries: dict[int, int] = {}  # sparse: most mini-batches never fail
        self._losses: dict[int, int] = {}
        self._fresh = 0  # everything from here on was never leased
        self._again: deque[int] = deque()  # was leased before and waits again
        self._later: list[tuple[float, int]] = []  # a heap: waits too, and is not granted before this monotonic time
        self._deferrals: dict[int, int] = {}  # how often each of them was deferred in a row
        self._leases: dict[int, _Lease] = {}
        self._by_agent: dict[str, set[int]] = {}
        self._earliest = math.inf  # no lease expires before this: most of the time nothing has to be looked at
        self.counts = [0, 0, 0, 0]  # mini-batches by State

    def __len__(self) -> int:
        return len(self._states)

    def add(self, count: int) -> None:
        """Add `count` more mini-batches, waiting."""
        self._states.extend(bytes(count))
        self._attempts.extend([0] * count)
        self.counts[State.WAITING] += count

    def state(self, mini_batch: int) -> State:
        """Return where a mini-batch stands. Raises IndexError for one that was never added."""
        return State(self._states[mini_batch])

    def tries(self, mini_batch: int) -> int:
        """Return how many tries a mini-batch has used up."""
        return self._tries.get(mini_batch, 0)

    def losses(self, mini_batch: int) -> int:
        """Return how often a mini-batch was lost with its worker, or by a lease that expired."""
        return self._losses.get(mini_batch, 0)

    def waiting(self) -> int:
        """Return how many mini-batches could be granted now."""
        return self.counts[State.WAITING]

    def paused(self, now: float) -> int:
        """Return how many mini-batches wait for an input that could not be read, and are not granted yet."""
        return sum(until > now for until, _ in self._later)

    def retried(self) -> int:
        """Return how many mini-batches needed more than one try so far."""
        return len(self._tries) if self._max_tries > 1 else 0

    def restore_done(self, mini_batch: int, attempt: int) -> None:
        """Take over from the ledger that a mini-batch is done. Repeating it changes nothing."""
        if self._states[mini_batch] != State.DONE:
            self._move(mini_batch, State.DONE)
            self._attempts[mini_batch] = max(self._attempts[mini_batch], attempt)

    def restore_attempt(self, mini_batch: int, attempt: int) -> None:
        """Take over from the ledger which attempt was the last: later ones have higher numbers."""
        self._attempts[mini_batch] = max(self._attempts[mini_batch], attempt)

    def restore_try(self, mini_batch: int, attempt: int, *, terminal: bool) -> None:
        """Take over from the ledger that a try was used up, and whether it was the last."""
        self.restore_attempt(mini_batch, attempt)
        self._tries[mini_batch] = self._tries.get(mini_batch, 0) + 1
        if terminal and self._states[mini_batch] == State.WAITING:
            self._move(mini_batch, State.FAILED)

    def grant(self, agent: str, capacity: int, now: float) -> list[tuple[int, int]]:
        """Lease up to `capacity` waiting mini-batches to an agent; return (mini-batch, attempt) pairs."""
        granted = []
        deadline = now + self._term
        mine = self._by_agent.setdefault(agent, set())
        while self._later and self._later[0][0] <= now:
            self._again.append(heapq.heappop(self._later)[1])
        for mini_batch in self._next(capacity):
            attempt = self._attempts[mini_batch] + 1
            self._attempts[mini_batch] = attempt
            self._states[mini_batch] = State.LEASED
            self._leases[mini_batch] = _Lease(agent, deadline)
            mine.add(mini_batch)
            granted.append((mini_batch, attempt))
        if granted:
            self._earliest = min(self._earliest, deadline)
        self.counts[State.WAITING] -= len(granted)
        self.counts[State.LEASED] += len(granted)
        return granted

    def renew(self, agent: str, held: Iterable[tuple[int, int]], now: float) -> list[int]:
        """Extend the leases an agent names; return the mini-batches whose leases are not its own (any more)."""
        deadline = now + self._term
        lost = []
        for mini_batch, attempt in held:
            if self._is_holder(agent, mini_batch, attempt):
                self._leases[mini_batch].deadline = deadline
            else:
                lost.append(mini_batch)
        return lost

    def postpone(self, seconds: float) -> None:
        """Leave an absence of this process out of every lease: no agent could renew in it."""
        for lease in self._leases.values():
            lease.deadline += seconds

    def complete(self, agent: str, mini_batch: int, attempt: int) -> Outcome:
        """Mark a mini-batch done: ACCEPTED, REPEATED or REFUSED."""
        if self._is_holder(agent, mini_batch, attempt):
            self._end_lease(mini_batch)
            self._move(mini_batch, State.DONE)
            if self._deferrals:
                self._deferrals.pop(mini_batch, None)
            return Outcome.ACCEPTED
        if self._is_current(mini_batch, attempt) and self._states[mini_batch] == State.DONE:
            return Outcome.REPEATED
        return Outcome.REFUSED

    def fail(self, agent: str, mini_batch: int, attempt: int) -> Outcome:
        """Use up a try: ACCEPTED (it waits again), EXHAUSTED (it has failed), or REFUSED."""
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        return self._use_up_try(mini_batch)

    def defer(self, agent: str, mini_batch: int, attempt: int, *, paused_at: float | None = None) -> Outcome:
        """Take back a mini-batch that infrastructure kept from ending; it loses no try. ACCEPTED or REFUSED.

        `paused_at`, the monotonic time now, is given where this mini-batch is to wait longer each time: its input
        cannot be read, and that of others may be.
        """
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        if paused_at is None:
            self._wait_again(mini_batch)
            return Outcome.ACCEPTED
        count = self._deferrals[mini_batch] = self._deferrals.get(mini_batch, 0) + 1
        seconds = pause(count, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=0.0)
        self._move(mini_batch, State.WAITING)
        heapq.heappush(self._later, (paused_at + seconds, mini_batch))
        return Outcome.ACCEPTED

    def give_back(self, agent: str, mini_batch: int, attempt: int) -> Outcome:
        """Take back an unstarted mini-batch; it loses no try. ACCEPTED or REFUSED."""
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        self._wait_again(mini_batch)
        return Outcome.ACCEPTED

    def lose(self, agent: str) -> list[int]:
        """An agent is gone: take back all it held; return the mini-batches that thereby failed (LOSSES_FOR_FREE)."""
        return self._lost(sorted(self._by_agent.pop(agent, ())))

    def release(self, agent: str) -> None:
        """An agent took its leave: what it still held waits again. As it was not taken away, that is no loss."""
        for mini_batch in sorted(self._by_agent.pop(agent, ())):
            self._end_lease(mini_batch)
            self._wait_again(mini_batch)

    def held(self, agent: str) -> int:
        """Return how many mini-batches are leased to an agent."""
        return len(self._by_agent.get(agent, ()))

    def expire(self, now: float) -> list[int]:
        """Take back every lease whose deadline has passed. Return the mini-batches that thereby failed."""
        if now < self._earliest:
            return []
        overdue = [mini_batch for mini_batch, lease in self._leases.items() if lease.deadline <= now]
        failed = self._lost(overdue)
        self._earliest = min((lease.deadline for lease in self._leases.values()), default=math.inf)
        return failed

    def _next(self, capacity: int) -> Iterator[int]:
        while capacity > 0 and self._again:
            mini_batch = self._again.popleft()
            if self._states[mini_batch] == State.WAITING:
                capacity -= 1
                yield mini_batch
        states, end = self._states, len(self._states)
        while capacity > 0 and self._fresh < end:
            mini_batch = self._fresh
            self._fresh += 1
            if states[mini_batch] == State.WAITING:
                capacity -= 1
                yield mini_batch

    def _is_current(self, mini_batch: int, attempt: int) -> bool:
        return 0 <= mini_batch < len(self._states) and self._attempts[mini_batch] == attempt

    def _is_holder(self, agent: str, mini_batch: int, attempt: int) -> bool:
        lease = self._leases.get(mini_batch)
        return lease is not None and lease.agent == agent and self._attempts[mini_batch] == attempt

    def _end_lease(self, mini_batch: int) -> None:
        lease = self._leases.pop(mini_batch)
        mine = self._by_agent.get(lease.agent)
        if mine is not None:
            mine.discard(mini_batch)

    def _lost(self, mini_batches: Iterable[int]) -> list[int]:
        failed = []
        for mini_batch in mini_batches:
            self._end_lease(mini_batch)
            losses = self._losses[mini_batch] = self._losses.get(mini_batch, 0) + 1
            if losses <= LOSSES_FOR_FREE:
                self._wait_again(mini_batch)
            elif self._use_up_try(mini_batch) is Outcome.EXHAUSTED:
                failed.append(mini_batch)
        return failed

    def _use_up_try(self, mini_batch: int) -> Outcome:
        tries = self._tries[mini_batch] = self._tries.get(mini_batch, 0) + 1
        if tries >= self._max_tries:
            self._move(mini_batch, State.FAILED)
            return Outcome.EXHAUSTED
        self._wait_again(mini_batch)
        return Outcome.ACCEPTED

    def _wait_again(self, mini_batch: int) -> None:
        self._move(mini_batch, State.WAITING)
        self._again.append(mini_batch)

    def _move(self, mini_batch: int, state: State) -> None:
        self.counts[self._states[mini_batch]] -= 1
        self.counts[state] += 1
        self._states[mini_batch] = state
