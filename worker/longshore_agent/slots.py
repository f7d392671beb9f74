"""Process slots: each holds one child process after another and the mini-batches sent to it.

    SPAWNING ──hello──▶ STARTING ──ready──▶ READY ──shutdown──▶ ENDING
        └──────────────────┴───────────────────┴────── death ─────┴──▶ GONE ──(spawn)──▶ SPAWNING

The mini-batches sent to a child are its slot's `work`: `InOrder`, or `AtOnce` for async entry scripts. When the child
dies, those that have not begun are requeued without losing a try. Pure bookkeeping: no sockets, and the current time
(monotonic seconds) is an argument.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from longshore_agent.work import AtOnce, InOrder, Lost, Verdict
from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import process_name

BUSY = 100  # a child that holds this many mini-batches does not run out of work within a millisecond
SHUTDOWN_SECONDS = 30.0  # time limit of the script's shutdown()


class State(enum.Enum):
    """The state of a slot's process."""

    GONE = "gone"
    SPAWNING = "spawning"
    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"


class Exit(NamedTuple):
    """The end of a process, as its host reports it (`messages.EXITED`)."""

    code: int
    for_memory: bool
    last_line: str = ""
    stacks: str = ""


@dataclass(slots=True)
class Slot:
    """One process slot of a worker."""

    index: int
    state: State = State.GONE
    process: int = -1  # number of the current process
    host: int = 0  # number of the host that spawned it
    work: InOrder | AtOnce = field(default_factory=InOrder)
    since: float = 0.0  # monotonic: when the current state began
    average: float | None = None  # seconds of a mini-batch in the child, smoothed
    failures: int = 0  # deaths before READY, one after the other
    killed: Verdict | None = None  # why the agent asked the host to kill it
    dying_since: float | None = None  # monotonic: when it was killed, or disconnected before the host reported its exit
    exit: Exit | None = None  # once the host reported it
    connected: bool = False
    shuts_down: bool = False  # its script has a shutdown()
    device: str = ""  # the device assigned to the process; its successor gets the same
    blameless: bool = False  # the process exits because of a failure it already reported, not of its next mini-batch
    init_failed: bool = False  # the process itself reported why init() failed
    not_before: float = 0.0  # monotonic: the earliest time of the next spawn

    def spawned(self, process: int, now: float, *, host: int = 0) -> None:
        """Record that the host with number `host` was asked to spawn a process."""
        self.state, self.process, self.since, self.host = State.SPAWNING, process, now, host
        self.killed, self.dying_since, self.exit = None, None, None
        self.connected, self.blameless, self.init_failed = False, False, False

    def ready(self, now: float, grace: Sequence[float], *, at_once: int) -> None:
        """Record that init() succeeded.

        Args:
            now: Monotonic seconds.
            grace: Empty, or for an async entry script the seconds that it gets to cancel an overdue mini-batch.
            at_once: How many mini-batches an async entry script runs concurrently.
        """
        self.state, self.failures, self.since = State.READY, 0, now
        self.work = AtOnce(at_once, grace[0], now) if grace else InOrder()

    def postpone(self, seconds: float, now: float) -> None:
        """Exclude seconds during which the agent was suspended from all times of this slot."""
        self.since = min(now, self.since + seconds)
        if self.dying_since is not None:
            self.dying_since = min(now, self.dying_since + seconds)
        self.work.postpone(seconds, now)

    def described(self, now: float) -> dict[str, Any]:
        """Return the status of the process: name, state, mini-batch, seconds in that state, device."""
        mini_batch, since = self.work.oldest() or (None, self.since)
        described = {
            "process": process_name(self.process),
            "state": self.state.value,
            "mini_batch": mini_batch,
            "seconds": round(now - since, 1),
            "device": self.device,
        }
        return {**described, "shuts_down": True} if self.shuts_down else described

    def took(self, seconds: float, *, blameless: bool = False) -> None:
        """Add the duration of one mini-batch, in seconds, to the moving average.

        With `blameless`, the process exits because of what it reported, not of its next mini-batch.
        """
        self.blameless = self.blameless or blameless
        self.average = seconds if self.average is None else 0.8 * self.average + 0.2 * seconds

    def wanted(self) -> int:
        """Return how many mini-batches the child should hold."""
        return self.work.depth(self.average)

    def room(self) -> int:
        """Return how many mini-batches to send to the child now."""
        return self.work.room(self.average)

    def backlog(self) -> int:
        """Return how many more mini-batches to hold leased for this slot, so that it never waits for a lease call."""
        return self.work.backlog(self.average)

    def overdue(self, timeouts: Timeouts, now: float) -> Verdict | None:
        """Return why the process must be killed now, or None."""
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
        """Return why the process died, once its host reported the exit or died itself."""
        last_line = "" if self.exit is None else self.exit.last_line
        if self.killed is not None:
            text = f"{self.killed.message}; the last exception in its log is {last_line}" if last_line else ""
            return replace(self.killed, message=text or self.killed.message)
        name = process_name(self.process)
        when = " before init() finished" if self.state in (State.SPAWNING, State.STARTING) else ""
        if self.exit is None:
            return Verdict(errors.PROCESS_DIED, f"{name} exited with its host, which died{when}")
        code = self.exit.code
        if self.exit.for_memory:
            return Verdict(errors.OUT_OF_MEMORY, f"{name} was killed by the kernel because memory ran out{when}")
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        return Verdict(errors.PROCESS_DIED, f"{name} {how}{when}" + (f": {last_line}" if last_line else ""))

    def died(self, now: float) -> Lost:
        """Record the death of the process; return the leases that fail with their start times, and those to requeue."""
        to_blame = self.killed.mini_batches if self.killed is not None else frozenset()
        running, waiting = self.work.lost(to_blame)
        if self.state is not State.READY or (self.blameless and not to_blame):
            running, waiting = [], [lease for lease, _ in running] + waiting
        if self.state in (State.SPAWNING, State.STARTING):
            self.failures += 1
            self.not_before = now + (0.0 if self.failures < 3 else min(30.0, 0.1 * 2 ** min(self.failures, 10)))
        self.state = State.GONE
        return running, waiting


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
