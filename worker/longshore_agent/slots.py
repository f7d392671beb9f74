"""Process slots: each holds one child process after another, and the mini-batches it was sent.

    SPAWNING ──hello──▶ STARTING ──ready──▶ READY ──shutdown──▶ ENDING
        └──────────────────┴───────────────────┴────── death ─────┴──▶ GONE ──(spawn)──▶ SPAWNING

What a child was sent is its slot's `work`: `InOrder`, whose head is what it runs, or, of an async entry script,
`AtOnce`, whose child tells of each that it begins. What it has not begun goes back without losing a try when it dies.
Pure bookkeeping: no sockets, time passed in.
"""

from __future__ import annotations

import enum
import math
import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import Grant, process_name

DEEPEST = 512  # mini-batches that a child may hold
MOST_AHEAD = 2000  # mini-batches that an agent holds leased for a slot, besides what its child holds
BUSY = 100  # a child that holds so many will not run dry within a millisecond
SHUTDOWN_SECONDS = 30.0  # for the script's shutdown()


class State(enum.Enum):
    """Where a slot's process stands."""

    GONE = "gone"
    SPAWNING = "spawning"
    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"


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


class Exit(NamedTuple):
    """How a process ended, as its host reports it (`messages.EXITED`)."""

    code: int
    for_memory: bool
    last_line: str = ""
    stacks: str = ""


_Lost = tuple[list[tuple[Lease, float]], list[Lease]]  # what was running, each since when; what had not begun


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

    def lost(self, to_blame: frozenset[int]) -> _Lost:
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

    def lost(self, to_blame: frozenset[int]) -> _Lost:
        """Return what the dead process ran, or of that what is to blame, and what is not at fault."""
        flights, waiting = list(self.flights.values()), list(self.waiting.values())
        self.flights.clear()
        self.waiting.clear()
        running = [each for each in flights if not to_blame or each.lease.grant.mini_batch in to_blame]
        others = [each.lease for each in flights if each not in running]
        return [(each.lease, each.since) for each in running], others + waiting

    def _patience(self, timeouts: Timeouts, flight: _Flight) -> float:
        return _limit(timeouts, loading=flight.loading) + (0.0 if flight.loading else self.grace)


@dataclass(slots=True)
class Slot:
    """One process slot."""

    index: int
    state: State = State.GONE
    process: int = -1  # number of the current process
    host: int = 0  # number of the host that was asked for it
    work: InOrder | AtOnce = field(default_factory=InOrder)
    since: float = 0.0  # monotonic: when the current state began
    average: float | None = None  # seconds of a mini-batch in the child, smoothed
    failures: int = 0  # deaths before READY, one after the other
    killed: Verdict | None = None  # we asked for its death, for this reason
    dying_since: float | None = None  # monotonic: killed, or disconnected without a word from the host
    exit: Exit | None = None  # once the host reported it
    connected: bool = False
    device: str = ""  # what the process was given to compute on; who comes after it has the same
    blameless: bool = False  # the process is ending for what it already reported: its next mini-batch is not at fault
    told: bool = False  # it said itself why init() failed
    not_before: float = 0.0  # monotonic: earliest moment of the next spawn

    def spawned(self, process: int, now: float, *, host: int = 0) -> None:
        """A new process was asked for, of the host of that number."""
        self.state, self.process, self.since, self.host = State.SPAWNING, process, now, host
        self.killed, self.dying_since, self.exit = None, None, None
        self.connected, self.blameless, self.told = False, False, False

    def ready(self, now: float, grace: Sequence[float], *, at_once: int) -> None:
        """The process is through init(). If it tells of a grace, it runs so many mini-batches at once."""
        self.state, self.failures, self.since = State.READY, 0, now
        self.work = AtOnce(at_once, grace[0], now) if grace else InOrder()

    def postpone(self, seconds: float, now: float) -> None:
        """Leave an absence of the agent out of all that is timed here."""
        self.since = min(now, self.since + seconds)
        if self.dying_since is not None:
            self.dying_since = min(now, self.dying_since + seconds)
        self.work.postpone(seconds, now)

    def described(self, now: float) -> dict[str, Any]:
        """Return what the process does, for the status: name, state, mini-batch, seconds since when, device."""
        mini_batch, since = self.work.oldest() or (None, self.since)
        return {
            "process": process_name(self.process),
            "state": self.state.value,
            "mini_batch": mini_batch,
            "seconds": round(now - since, 1),
            "device": self.device,
        }

    def took(self, seconds: float) -> None:
        """Smooth the duration of mini-batches, from which follows how many to hold."""
        self.average = seconds if self.average is None else 0.8 * self.average + 0.2 * seconds

    def wanted(self) -> int:
        """How many mini-batches the child should hold."""
        return self.work.depth(self.average)

    def room(self) -> int:
        """How many to send to the child now."""
        return self.work.room(self.average)

    def backlog(self) -> int:
        """How many more the agent should hold leased for this slot, so that a lease call never leaves it idle."""
        return self.work.backlog(self.average)

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now, if it must."""
        if self.killed is not None:
            return None
        waited = now - self.since
        if self.state in (State.SPAWNING, State.STARTING) and waited > timeouts.init:
            return Verdict(
                errors.TIMEOUT, f"import and init() took longer than initTimeoutSeconds ({timeouts.init:g} s)"
            )
        if self.state is State.ENDING and waited > SHUTDOWN_SECONDS:
            return Verdict(errors.TIMEOUT, f"shutdown() took longer than {SHUTDOWN_SECONDS:g} s")
        return self.work.overdue(timeouts, now) if self.state is State.READY else None

    def cause_of_death(self) -> Verdict:
        """Say why the process died. The host has told its exit, or is gone itself."""
        last_line = "" if self.exit is None else self.exit.last_line
        if self.killed is not None:
            text = f"{self.killed.message}; the last exception in its log is {last_line}" if last_line else ""
            return replace(self.killed, message=text or self.killed.message)
        name = process_name(self.process)
        when = " before init() was through" if self.state in (State.SPAWNING, State.STARTING) else ""
        if self.exit is None:
            return Verdict(errors.PROCESS_DIED, f"the host of {name} died, and {name} with it{when}")
        code = self.exit.code
        if self.exit.for_memory:
            return Verdict(errors.OUT_OF_MEMORY, f"{name} was killed by the kernel for lack of memory{when}")
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended by itself with exit code {code}"
        return Verdict(errors.PROCESS_DIED, f"{name} {how}{when}" + (f": {last_line}" if last_line else ""))

    def died(self, now: float) -> _Lost:
        """The process is dead: return what it was running, each since when, and what is not at fault."""
        to_blame = self.killed.mini_batches if self.killed is not None else frozenset()
        running, waiting = self.work.lost(to_blame)
        if self.state is not State.READY or (self.blameless and not to_blame):
            running, waiting = [], [lease for lease, _ in running] + waiting
        if self.state in (State.SPAWNING, State.STARTING):
            self.failures += 1
            self.not_before = now + (0.0 if self.failures < 3 else min(30.0, 0.1 * 2 ** min(self.failures, 10)))
        self.state = State.GONE
        return running, waiting


def _too_long(timeouts: Timeouts, *, loading: bool) -> str:
    if loading:
        return f"loading took longer than taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)"
    return errors.run_took_longer(timeouts.run_invocation)


def _limit(timeouts: Timeouts, *, loading: bool) -> float:
    return timeouts.task_overhead if loading else timeouts.run_invocation


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
