"""Leases of mini-batches to agents, in memory; the time is an argument.

    WAITING ──grant──▶ LEASED ──complete──▶ DONE
       ▲                 │ └────fail────▶ FAILED   (no try left)
       └─────────────────┘  fail (tries left), defer, release, expire

Every grant increments the mini-batch's attempt number. Renew, complete, fail, defer and release must name the granted
attempt, so that an agent that was suspended cannot act on a later attempt. An attempt counts as a try if run() failed,
and not if the worker was lost or a store failed.
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

# A mini-batch that was lost with its worker more often than this is suspected of killing workers: further losses count
# as tries.
LOSSES_FOR_FREE = 10

# Seconds before a mini-batch whose input could not be read is granted again, doubled each time. Meanwhile, the agents
# run mini-batches with other inputs.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


class State(enum.IntEnum):
    """The state of a mini-batch."""

    WAITING = 0
    LEASED = 1
    DONE = 2
    FAILED = 3


class Outcome(enum.Enum):
    """The result of an operation on a lease."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # this attempt was completed before, and the response to its report was lost
    REFUSED = "refused"  # the agent does not have the lease
    EXHAUSTED = "exhausted"  # accepted, and the mini-batch has no try left


@dataclass(slots=True)
class _Lease:
    agent: str
    deadline: float


class LeaseStore:
    """Leases of mini-batches, which are numbered from 0. `term` is the duration of a lease in seconds."""

    def __init__(self, *, max_tries: int, term: float) -> None:
        self._max_tries = max_tries
        self._term = term
        self._states = bytearray()
        self._attempts = array("L")
        self._tries: dict[int, int] = {}  # sparse: most mini-batches never fail
        self._losses: dict[int, int] = {}
        self._fresh = 0  # mini-batches from this number on were never leased
        self._again: deque[int] = deque()  # mini-batches that wait again after a lease
        self._later: list[tuple[float, int]] = []  # heap of (monotonic time, mini-batch not granted before it)
        self._deferrals: dict[int, int] = {}  # mini-batch -> consecutive deferrals
        self._leases: dict[int, _Lease] = {}
        self._by_agent: dict[str, set[int]] = {}
        self._earliest = math.inf  # lower bound of all deadlines, so that `expire` rarely searches
        self.counts = [0, 0, 0, 0]  # number of mini-batches by State

    def __len__(self) -> int:
        return len(self._states)

    def add(self, count: int) -> None:
        """Add `count` mini-batches in state WAITING."""
        self._states.extend(bytes(count))
        self._attempts.extend([0] * count)
        self.counts[State.WAITING] += count

    def state(self, mini_batch: int) -> State:
        """Return the state of a mini-batch. Raises IndexError for an unknown one."""
        return State(self._states[mini_batch])

    def tries(self, mini_batch: int) -> int:
        """Return the number of tries that a mini-batch has used."""
        return self._tries.get(mini_batch, 0)

    def losses(self, mini_batch: int) -> int:
        """Return how often a lease of a mini-batch has expired, also by the loss of its worker."""
        return self._losses.get(mini_batch, 0)

    def waiting(self) -> int:
        """Return the number of mini-batches in state WAITING."""
        return self.counts[State.WAITING]

    def paused(self, now: float) -> int:
        """Return the number of mini-batches that are not granted yet because their input could not be read."""
        return sum(until > now for until, _ in self._later)

    def retried(self) -> int:
        """Return the number of mini-batches with at least one failed try, 0 if only one try is allowed."""
        return len(self._tries) if self._max_tries > 1 else 0

    def restore_done(self, mini_batch: int, attempt: int) -> None:
        """Restore from the ledger that a mini-batch is done; idempotent."""
        if self._states[mini_batch] != State.DONE:
            self._move(mini_batch, State.DONE)
            self._attempts[mini_batch] = max(self._attempts[mini_batch], attempt)

    def restore_attempt(self, mini_batch: int, attempt: int) -> None:
        """Restore the last attempt number from the ledger, so that later attempts have higher numbers."""
        self._attempts[mini_batch] = max(self._attempts[mini_batch], attempt)

    def restore_try(self, mini_batch: int, attempt: int, *, terminal: bool) -> None:
        """Restore from the ledger that a try was used, and whether it was the last one."""
        self.restore_attempt(mini_batch, attempt)
        self._tries[mini_batch] = self._tries.get(mini_batch, 0) + 1
        if terminal and self._states[mini_batch] == State.WAITING:
            self._move(mini_batch, State.FAILED)

    def grant(self, agent: str, capacity: int, now: float) -> list[tuple[int, int]]:
        """Grant leases of up to `capacity` waiting mini-batches; return (mini-batch, attempt) pairs."""
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

    def renew(self, agent: str, leases: Iterable[tuple[int, int]], now: float) -> list[int]:
        """Renew an agent's leases, given as (mini-batch, attempt); return the mini-batches it has no lease of."""
        deadline = now + self._term
        lost = []
        for mini_batch, attempt in leases:
            if self._is_holder(agent, mini_batch, attempt):
                self._leases[mini_batch].deadline = deadline
            else:
                lost.append(mini_batch)
        return lost

    def postpone(self, seconds: float) -> None:
        """Extend all leases by the time for which this process was suspended, when no agent could renew."""
        for lease in self._leases.values():
            lease.deadline += seconds

    def complete(self, agent: str, mini_batch: int, attempt: int) -> Outcome:
        """Complete a mini-batch; return ACCEPTED, REPEATED or REFUSED."""
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
        """Count a failed try; return ACCEPTED (it waits again), EXHAUSTED (it has failed) or REFUSED."""
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        return self._count_try(mini_batch)

    def defer(self, agent: str, mini_batch: int, attempt: int, *, paused_at: float | None = None) -> Outcome:
        """End a lease because of an infrastructure failure, without counting a try; return ACCEPTED or REFUSED.

        With `paused_at`, the current monotonic time, the mini-batch waits with exponential backoff: its input cannot be
        read, while that of other mini-batches may be readable.
        """
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        if paused_at is None:
            self._requeue(mini_batch)
            return Outcome.ACCEPTED
        count = self._deferrals[mini_batch] = self._deferrals.get(mini_batch, 0) + 1
        seconds = pause(count, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=0.0)
        self._move(mini_batch, State.WAITING)
        heapq.heappush(self._later, (paused_at + seconds, mini_batch))
        return Outcome.ACCEPTED

    def release(self, agent: str, mini_batch: int, attempt: int) -> Outcome:
        """Release the lease of a mini-batch that was not started; return ACCEPTED or REFUSED. No try is counted."""
        if not self._is_holder(agent, mini_batch, attempt):
            return Outcome.REFUSED
        self._end_lease(mini_batch)
        self._requeue(mini_batch)
        return Outcome.ACCEPTED

    def release_all(self, agent: str) -> None:
        """Release all leases of an agent that has deregistered, without counting losses."""
        for mini_batch in sorted(self._by_agent.pop(agent, ())):
            self._end_lease(mini_batch)
            self._requeue(mini_batch)

    def expire_all(self, agent: str) -> list[int]:
        """Expire all leases of an agent that has died; return the mini-batches that failed by it (LOSSES_FOR_FREE)."""
        return self._expire(sorted(self._by_agent.pop(agent, ())))

    def leased_to(self, agent: str) -> int:
        """Return the number of mini-batches that are leased to an agent."""
        return len(self._by_agent.get(agent, ()))

    def expire(self, now: float) -> list[int]:
        """Expire the leases whose deadline has passed; return the mini-batches that failed by it (LOSSES_FOR_FREE)."""
        if now < self._earliest:
            return []
        overdue = [mini_batch for mini_batch, lease in self._leases.items() if lease.deadline <= now]
        failed = self._expire(overdue)
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

    def _expire(self, mini_batches: Iterable[int]) -> list[int]:
        failed = []
        for mini_batch in mini_batches:
            self._end_lease(mini_batch)
            losses = self._losses[mini_batch] = self._losses.get(mini_batch, 0) + 1
            if losses <= LOSSES_FOR_FREE:
                self._requeue(mini_batch)
            elif self._count_try(mini_batch) is Outcome.EXHAUSTED:
                failed.append(mini_batch)
        return failed

    def _count_try(self, mini_batch: int) -> Outcome:
        tries = self._tries[mini_batch] = self._tries.get(mini_batch, 0) + 1
        if tries >= self._max_tries:
            self._move(mini_batch, State.FAILED)
            return Outcome.EXHAUSTED
        self._requeue(mini_batch)
        return Outcome.ACCEPTED

    def _requeue(self, mini_batch: int) -> None:
        self._move(mini_batch, State.WAITING)
        self._again.append(mini_batch)

    def _move(self, mini_batch: int, state: State) -> None:
        self.counts[self._states[mini_batch]] -= 1
        self.counts[state] += 1
        self._states[mini_batch] = state
