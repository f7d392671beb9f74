"""Stores and disks that fail for a while: how long a run waits for them, and how seldom it tries. Pure, time passed in.

Such a failure is nobody's mistake and costs no try. The agent that met it is granted nothing for a pause, and then one
mini-batch at a time until one completes; others go on. A run in which nothing completes any more ends after its
`storageTimeoutSeconds`, and can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.verdict import Verdict
from longshore_protocol.errors import is_transient
from longshore_protocol.wire import INPUT, STORE
from longshore_storage.causes import lacks_credentials
from longshore_storage.retrying import fails_for_now

_FIRST, _LONGEST = 1.0, 30.0  # seconds of an agent's pauses: each is double the one before

_REASONS = {STORE: "WaitingForStorage", INPUT: "WaitingForInput"}
_VERDICTS = {STORE: verdicts.STORAGE_ERROR, INPUT: verdicts.INPUT_ERROR}


class Outage:
    """What has failed since something last succeeded. `limit` are the seconds that a run waits for it to end."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._origin = STORE
        self._message = ""  # "": nothing fails
        self._waited = 0.0  # seconds

    def __bool__(self) -> bool:
        return bool(self._message)

    def failed(self, origin: str, message: str) -> None:
        """Note a failure; `message` is a clause without its full stop."""
        if not self._message:
            self._waited = 0.0
        self._origin, self._message = origin, message.rstrip(".")

    def ended(self) -> None:
        """Note that something succeeded."""
        self._message = ""

    def passed(self, seconds: float) -> None:
        """Count time in which a further try was possible."""
        if self._message:
            self._waited += seconds

    def is_waited_out(self) -> bool:
        """Return whether something fails whose limit has not passed yet."""
        return bool(self._message) and self._waited < self._limit

    def verdict(self) -> Verdict | None:
        """Return the verdict once the limit has passed. Ask after a failure only, so that no try under way is cut."""
        if not self._message or self._waited < self._limit:
            return None
        text = f"nothing succeeded within storageTimeoutSeconds ({self._limit:g} s): {self._message}"
        return Verdict(_VERDICTS[self._origin], f"{text}; the run can be resumed")

    def waiting(self) -> tuple[str, str]:
        """Return why the run waits, as (reason, sentence); empty when nothing fails."""
        if not self._message:
            return "", ""
        return _REASONS[self._origin], f"waiting for the store: {self._message}"


@dataclass(slots=True)
class _Gate:
    until: float  # monotonic
    pause: float  # seconds


class Gates:
    """How many mini-batches each agent is granted that met a failing store."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    def failed(self, agent: str, now: float) -> None:
        """Pause an agent. What still fails of what it was granted before lengthens no pause."""
        gate = self._gates.get(agent)
        if gate is None:
            self._gates[agent] = _Gate(now + _FIRST, _FIRST)
        elif now >= gate.until:
            gate.pause = min(_LONGEST, 2 * gate.pause)
            gate.until = now + gate.pause

    def open(self, agent: str) -> None:
        """Forget an agent's failures: something of it succeeded, or it is gone."""
        self._gates.pop(agent, None)

    def allowed(self, agent: str, want: int, *, held: int, now: float) -> int:
        """Return how many of the wanted mini-batches an agent that holds `held` may be granted."""
        gate = self._gates.get(agent)
        if gate is None:
            return want
        return min(want, 1) if now >= gate.until and not held else 0


def is_outage(error: BaseException) -> bool:
    """Return whether a store, a volume or the network evidently fails for now; in doubt, it does not.

    Looks at the causes of `error`, too.
    """
    return fails_for_now(error) or is_transient(error) or lacks_credentials(error)
