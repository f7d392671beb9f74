"""Plain values that observations of all kinds are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from longshore_api.status import ResourceStatus
from longshore_operator.manifests.subject import Subject

LONG_AGO = datetime.fromtimestamp(0, tz=UTC)

S = TypeVar("S", bound=ResourceStatus)


@dataclass(frozen=True)
class Control:
    """The fields of a spec that count at any time, after a run has begun, too."""

    suspend: bool = False
    cancel: bool = False
    ttl_seconds: int | None = None  # after its end


@dataclass(frozen=True, kw_only=True)
class Observation(Generic[S]):
    """What a reconcile knows of a resource of any kind, whatever its spec holds; each kind adds its own."""

    subject: Subject
    generation: int
    created: datetime
    status: S | None = None
    control: Control = field(default_factory=Control)

    @property
    def name(self) -> str:
        """Name of the resource."""
        return self.subject.name

    @property
    def run_id(self) -> str | None:
        """Id of its run; None while none has begun, and of a kind that has none."""
        return getattr(self.status, "run_id", None)

    @property
    def completion_time(self) -> datetime | None:
        """When it ended; None before, and of a kind that does not end."""
        return getattr(self.status, "completion_time", None)

    @property
    def is_finished(self) -> bool:
        """Whether it has reached its end. One of which nothing was started may begin when its spec changes."""
        finished = self.status.condition("Finished") if self.status else None
        if self.status is None or finished is None or finished.status != "True":
            return False
        return self.run_id is not None or self.status.observed_generation == self.generation


@dataclass(frozen=True)
class Blocked:
    """Why a resource, or one of its pods, cannot proceed."""

    reason: str  # one CamelCase word
    message: str  # one sentence


@dataclass(frozen=True)
class Pod:
    """A pod that the operator made."""

    name: str
    uid: str
    phase: str  # Pending, Running, Succeeded, Failed, Unknown
    index: int | None = None  # of a worker, a placeholder or a task's pod; None: a pod without one
    created: datetime = LONG_AGO
    gone_by: datetime | None = None  # when its grace period ends; None unless it is being deleted
    reason: str = ""  # why it failed, such as Evicted
    message: str = ""
    last_words: str = ""  # the termination message of its last container
    blocked: Blocked | None = None
    lacks_environment: bool = False  # the archive of its packages does not exist any more

    @property
    def leaving(self) -> bool:
        """Whether it is being deleted."""
        return self.gone_by is not None

    @property
    def is_finished(self) -> bool:
        """Whether all of its containers have exited and none is restarted."""
        return self.phase in ("Succeeded", "Failed") and not self.leaving
