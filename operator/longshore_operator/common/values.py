"""Plain values that observations of all kinds are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

LONG_AGO = datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True)
class Control:
    """What of a step's spec counts while it runs, too."""

    suspend: bool = False
    cancel: bool = False
    ttl_seconds: int | None = None  # after its end


@dataclass(frozen=True)
class Blocked:
    """Why a step, or one of its pods, does not go on."""

    reason: str  # one CamelCase word
    message: str  # one sentence


@dataclass(frozen=True)
class Pod:
    """A pod of the run."""

    name: str
    uid: str
    phase: str  # Pending, Running, Succeeded, Failed, Unknown
    index: int | None = None  # of a worker or placeholder; None: the coordinator
    created: datetime = LONG_AGO
    gone_by: datetime | None = None  # it is being deleted, and is to be gone then
    reason: str = ""  # why it failed, such as Evicted
    message: str = ""
    last_words: str = ""  # the termination message of its last container
    blocked: Blocked | None = None

    @property
    def leaving(self) -> bool:
        """Whether it is being deleted."""
        return self.gone_by is not None

    @property
    def is_over(self) -> bool:
        """Whether all of its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed") and not self.leaving
