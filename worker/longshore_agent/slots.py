"""Process slots: each holds one child process after another, and the mini-batches it was sent.

    SPAWNING ──hello──▶ STARTING ──ready──▶ READY ──shutdown──▶ ENDING
        └──────────────────┴───────────────────┴────── death ─────┴──▶ GONE ──(spawn)──▶ SPAWNING

A child runs what it was sent in order, so the head of `queue` is what it is running; what is queued behind has not
started: it goes back without losing a try when the child dies. Pure bookkeeping: no sockets, time passed in.
"""

from __future__ import annotations

import enum
import math
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import Grant, process_name

DEEPEST = 512  # mini-batches that a child may hold
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


@dataclass(slots=True)
class Slot:
    """One process slot."""

    index: int
    state: State = State.GONE
    process: int = -1  # number of the current process
    queue: deque[Lease] = field(default_factory=deque)
    since: float = 0.0  # monotonic: when the current state, or the head of the queue, began
    loading: bool = False  # the head is being read, run() has not begun
    average: float | None = None  # seconds of a mini-batch in the child, smoothed
    failures: int = 0  # deaths before READY, one after the other
    killed: Verdict | None = None  # we asked for its death, for this reason
    dying_since: float | None = None  # monotonic: killed, or disconnected without a word from the host
    exit: tuple[int, bool] | None = None  # exit code and "killed for memory", once the host said so
    connected: bool = False
    device: str = ""  # what the process was given to compute on; who comes after it has the same
    blameless: bool = False  # the process is ending for what it already reported: its next mini-batch is not at fault
    told: bool = False  # it said itself why init() failed
    not_before: float = 0.0  # monotonic: earliest moment of the next spawn

    def spawned(self, process: int, now: float) -> None:
        """A new process was asked for."""
        self.state, self.process, self.since = State.SPAWNING, process, now
        self.killed, self.dying_since, self.exit = None, None, None
        self.connected, self.blameless, self.told = False, False, False

    def sent(self, leases: list[Lease], now: float) -> None:
        """Mini-batches were sent to the child."""
        if not self.queue:
            self._head_begins(now, leases[0])
        self.queue.extend(leases)

    def described(self, now: float) -> dict[str, Any]:
        """Return what the process does, for the status: name, state, mini-batch, seconds since when, device."""
        return {
            "process": process_name(self.process),
            "state": self.state.value,
            "mini_batch": self.queue[0].grant.mini_batch if self.queue else None,
            "seconds": round(now - self.since, 1),
            "device": self.device,
        }

    def runs(self, mini_batch: int, attempt: int) -> bool:
        """Tell whether that is what the child is running."""
        return bool(self.queue) and self.queue[0].grant[:2] == (mini_batch, attempt)

    def head_done(self, now: float) -> Lease:
        """The child answered for its head, in whatever way. Raises IndexError when it had none."""
        lease = self.queue.popleft()
        if self.queue:
            self._head_begins(now, self.queue[0])
        return lease

    def head_loaded(self, now: float) -> None:
        """The head's rows are read; run() begins."""
        self.loading, self.since = False, now

    def took(self, seconds: float) -> None:
        """Smooth the duration of mini-batches, from which the depth of the queue follows."""
        self.average = seconds if self.average is None else 0.8 * self.average + 0.2 * seconds

    def depth(self) -> int:
        """How many mini-batches the child should hold: many of microseconds, one of seconds."""
        if self.average is None or self.average > 0.05:
            return 1
        return min(DEEPEST, 1 + math.ceil(0.01 / max(self.average, 1e-5)))

    def backlog(self) -> int:
        """How many more the agent should hold leased for this slot, so that a lease call never leaves it idle."""
        if self.average is None or self.average > 2.0:
            return 0
        return min(2000, math.ceil(0.25 / max(self.average, 1e-5)))

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
        if self.state is State.READY and self.queue:
            if self.loading and waited > timeouts.task_overhead:
                return Verdict(
                    errors.TIMEOUT,
                    f"loading took longer than taskOverheadTimeoutSeconds ({timeouts.task_overhead:g} s)",
                )
            if not self.loading and waited > timeouts.run_invocation:
                return Verdict(
                    errors.TIMEOUT,
                    f"run() took longer than runInvocationTimeoutSeconds ({timeouts.run_invocation:g} s)",
                )
        return None

    def cause_of_death(self) -> Verdict:
        """Say why the process died. The host has told its exit, or is gone itself."""
        if self.killed is not None:
            return self.killed
        name = process_name(self.process)
        when = " before init() was through" if self.state in (State.SPAWNING, State.STARTING) else ""
        if self.exit is None:
            return Verdict(errors.PROCESS_DIED, f"the host of {name} died, and {name} with it{when}")
        code, for_memory = self.exit
        if for_memory:
            return Verdict(errors.OUT_OF_MEMORY, f"{name} was killed by the kernel for lack of memory{when}")
        if code < 0:
            return Verdict(errors.PROCESS_DIED, f"{name} was killed by {_signal_name(-code)}{when}")
        return Verdict(errors.PROCESS_DIED, f"{name} ended by itself with exit code {code}{when}")

    def died(self, now: float) -> tuple[Lease | None, list[Lease]]:
        """The process is dead: return what it was running (None: nothing) and what it had not started."""
        waiting = list(self.queue)
        self.queue.clear()
        running = None
        if waiting and self.state is State.READY and not self.blameless:
            running = waiting.pop(0)
        if self.state in (State.SPAWNING, State.STARTING):
            self.failures += 1
            self.not_before = now + (0.0 if self.failures < 3 else min(30.0, 0.1 * 2 ** min(self.failures, 10)))
        self.state = State.GONE
        return running, waiting

    def _head_begins(self, now: float, lease: Lease) -> None:
        self.since, self.loading = now, lease.tabular


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
