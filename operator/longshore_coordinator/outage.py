"""Temporary failures of stores and disks: how long a run waits, and backoff of grants. No I/O; time is an argument.

Such a failure costs no try. The agent that reports it is granted nothing for a pause, and then one mini-batch at a time
until one completes; other agents are not affected. A run in which no mini-batch completes any more ends after
`storageTimeoutSeconds` and can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.verdict import Verdict
from longshore_protocol.errors import is_transient
from longshore_protocol.wire import INPUT, STORE
from longshore_storage.causes import lacks_credentials
from longshore_storage.retrying import is_temporary_failure

_FIRST, _LONGEST = 1.0, 30.0  # seconds of an agent's pauses, which double each time

_REASONS = {STORE: "WaitingForStorage", INPUT: "WaitingForInput"}
_VERDICTS = {STORE: verdicts.STORAGE_ERROR, INPUT: verdicts.INPUT_ERROR}


class Outage:
    """The failure that has lasted since the last success. A run waits `limit` seconds for its end."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._origin = STORE
        self._message = ""  # "" while nothing fails
        self._waited = 0.0  # seconds

    def __bool__(self) -> bool:
        return bool(self._message)

    def record_failure(self, origin: str, message: str) -> None:
        """Record a failure; `message` is a clause."""
        if not self._message:
            self._waited = 0.0
        self._origin, self._message = origin, message.rstrip(".")

    def record_success(self) -> None:
        """End the outage, because something has succeeded."""
        self._message = ""

    def add_time(self, seconds: float) -> None:
        """Count time in which a retry was possible."""
        if self._message:
            self._waited += seconds

    def is_waited_out(self) -> bool:
        """Return whether something fails and the limit has not passed yet."""
        return bool(self._message) and self._waited < self._limit

    def verdict(self) -> Verdict | None:
        """Return the verdict once the limit has passed. Call it only after a failure, not during a retry."""
        if not self._message or self._waited < self._limit:
            return None
        text = f"nothing succeeded within storageTimeoutSeconds ({self._limit:g} s): {self._message}"
        return Verdict(_VERDICTS[self._origin], f"{text}; the run can be resumed")

    def waiting(self) -> tuple[str, str]:
        """Return why the run waits, as (reason, message); empty strings if nothing fails."""
        if not self._message:
            return "", ""
        return _REASONS[self._origin], f"waiting for the store: {self._message}"


@dataclass(slots=True)
class _Pause:
    until: float  # monotonic seconds
    duration: float  # seconds


class GrantBackoff:
    """Backoff of the grants to agents that reported a failing store."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def record_failure(self, agent: str, now: float) -> None:
        """Pause an agent; failures during a pause, of mini-batches granted before it, do not lengthen it."""
        pause = self._pauses.get(agent)
        if pause is None:
            self._pauses[agent] = _Pause(now + _FIRST, _FIRST)
        elif now >= pause.until:
            pause.duration = min(_LONGEST, 2 * pause.duration)
            pause.until = now + pause.duration

    def reset(self, agent: str) -> None:
        """Discard an agent's failures, because it completed a mini-batch or has ended."""
        self._pauses.pop(agent, None)

    def limit(self, agent: str, capacity: int, *, leased: int, now: float) -> int:
        """Return how many of `capacity` mini-batches an agent with `leased` leases may be granted."""
        pause = self._pauses.get(agent)
        if pause is None:
            return capacity
        return min(capacity, 1) if now >= pause.until and not leased else 0


def is_outage(error: BaseException) -> bool:
    """Return whether an error or one of its causes is evidently a temporary failure of a store, volume or network."""
    return is_temporary_failure(error) or is_transient(error) or lacks_credentials(error)
