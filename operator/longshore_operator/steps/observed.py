"""Observation of a step as plain values: the step, its run, objects and pods, and the coordinator's snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field

from longshore_api.errors import Problem
from longshore_api.status import ParallelRunStepStatus
from longshore_operator.cluster.coordinators import Endpoint
from longshore_operator.common.environments import ObservedEnvironment
from longshore_operator.common.pool import Pool
from longshore_operator.common.registering import Registrations
from longshore_operator.common.values import Blocked, Observation, Pod
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_protocol.snapshot import ENDED, Snapshot

_NO_VERDICT = ("Interrupted", "Superseded")  # another coordinator goes on


@dataclass(frozen=True)
class Unreachable:
    """The coordinator could not be asked."""

    reason: str


@dataclass(frozen=True)
class ObservedStep(Observation[ParallelRunStepStatus]):
    """All that one reconcile of a ParallelRunStep knows."""

    run: ClusterRun | None = None  # as it was frozen when it began
    resolved: ClusterRun | tuple[Problem, ...] | Blocked | None = None  # as it would begin now; None when it has begun
    objects: dict[str, str] = field(default_factory=dict)  # kind -> uid: Secret, Service, NetworkPolicy
    pods: tuple[Pod, ...] = ()
    foreign: str = ""  # an object that has the name of one of ours, and is not
    endpoint: Endpoint | None = None  # of the coordinator; None: none runs
    progress: Snapshot | Unreachable | None = None  # None: there is no coordinator to ask
    environment: ObservedEnvironment | None = None  # None: the image has all packages
    registrations: Registrations = field(default_factory=Registrations)  # once it has succeeded
    pool: Pool | None = None  # None: the step shares no ComputeCluster, or has all the nodes it can use

    @property
    def verdict(self) -> Snapshot | None:
        """The last snapshot of a finished run, from a poll or from its coordinator's termination message."""
        last, coordinator = self.progress, self.coordinator
        if not isinstance(last, Snapshot) and coordinator is not None and coordinator.phase == "Succeeded":
            try:
                last = Snapshot.from_json(coordinator.last_words)
            except ValueError:
                return None
        if isinstance(last, Snapshot) and last.state in ENDED and last.reason not in _NO_VERDICT:
            return last
        return None

    @property
    def coordinator(self) -> Pod | None:
        """The coordinator's pod."""
        return next((each for each in self.pods if each.index is None), None)

    @property
    def workers(self) -> list[Pod]:
        """The workers' pods, by index."""
        return sorted((each for each in self.pods if each.index is not None), key=lambda each: each.index or 0)
