"""What there is, as plain values: the step, its run, its objects, its pods, and what the coordinator says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from longshore_api.errors import Problem
from longshore_api.status import ParallelRunStepStatus
from longshore_planner.cluster import ClusterRun
from longshore_protocol.snapshot import Snapshot


@dataclass(frozen=True)
class Step:
    """A ParallelRunStep, whatever its spec holds."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    status: ParallelRunStepStatus | None = None


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not come up."""

    reason: str  # one CamelCase word
    message: str  # one sentence


@dataclass(frozen=True)
class Pod:
    """A pod of the run."""

    name: str
    uid: str
    phase: str  # Pending, Running, Succeeded, Failed, Unknown
    index: int | None = None  # of a worker; None: the coordinator
    leaving: bool = False  # it is being deleted
    reason: str = ""  # why it failed, such as Evicted
    message: str = ""
    last_words: str = ""  # the termination message of its last container
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Unreachable:
    """The coordinator could not be asked."""

    reason: str


@dataclass(frozen=True)
class Observed:
    """All that one reconcile knows."""

    step: Step
    run: ClusterRun | None = None  # as it was written down when it began
    resolved: ClusterRun | tuple[Problem, ...] | None = None  # as it would begin now; None when it has begun
    objects: dict[str, str] = field(default_factory=dict)  # kind -> uid: Secret, Service, NetworkPolicy
    pods: tuple[Pod, ...] = ()
    foreign: str = ""  # an object that has the name of one of ours, and is not
    progress: Snapshot | Unreachable | None = None  # None: there is no coordinator to ask

    @property
    def coordinator(self) -> Pod | None:
        """The coordinator's pod."""
        return next((each for each in self.pods if each.index is None), None)

    def worker(self, index: int) -> Pod | None:
        """The pod of the index-th worker."""
        return next((each for each in self.pods if each.index == index), None)
