"""What a plan may ask for: a closed set, each safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from kubernetes.client import V1ConfigMap, V1NetworkPolicy, V1Pod, V1Service

from longshore_operator.cluster.coordinators import Endpoint
from longshore_operator.common.values import S
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.registering import Request


@dataclass(frozen=True)
class Create:
    """Create an object that is never changed. If its name is taken, the next reconcile observes why."""

    manifest: V1ConfigMap | V1NetworkPolicy | V1Pod | V1Service


@dataclass(frozen=True)
class Ensure:
    """Create an object unless it exists: its name follows from its content."""

    manifest: V1ConfigMap


@dataclass(frozen=True)
class Begin:
    """Create the resource that runs a step, after the ConfigMap with its frozen run."""

    frozen: V1ConfigMap
    resource: dict[str, Any]


@dataclass(frozen=True)
class Switch:
    """Set a switch in a resource's spec."""

    kind: str
    name: str
    uid: str
    field: str  # suspend or cancel
    value: bool


@dataclass(frozen=True)
class Continue:
    """Create the ConfigMap of a run that continues another one, unless a further resource continues that by now."""

    kind: str  # of both resources
    name: str
    run_id: str
    manifest: V1ConfigMap


@dataclass(frozen=True)
class Issue:
    """Create the Secret of a run, with a new token and certificate."""

    run: ClusterRun


@dataclass(frozen=True)
class Delete:
    """Delete the object that was observed, and no other one that has its name by now."""

    kind: str
    name: str
    uid: str
    at_once: bool = False  # do not wait for its node to confirm that it has ended


@dataclass(frozen=True)
class Occupy:
    """Create pods that are nodes of a ComputeCluster, as many as it has node slots for by then."""

    compute: str
    max_nodes: int
    pods: tuple[V1Pod, ...]


@dataclass(frozen=True)
class Drain:
    """Ask a coordinator to drain a worker that has nothing to do."""

    worker: str
    endpoint: Endpoint


@dataclass(frozen=True)
class ReportGone:
    """Report to a coordinator that a worker's agent is dead, so that others get its leases at once."""

    worker: str
    endpoint: Endpoint


@dataclass(frozen=True)
class Register:
    """Create a Model or Dataset with the next version of its name, and its status, unless it exists."""

    request: Request

    @property
    def name(self) -> str:
        """Its kind and name, for the log."""
        return f'{self.request.kind} "{self.request.name}"'


Command = Create | Ensure | Begin | Occupy | Continue | Issue | Switch | Delete | Drain | Register
Action = Command | ReportGone  # whose answer decides which pods are created in the same plan


@dataclass(frozen=True)
class Event:
    """What happened to a resource, for `kubectl describe`."""

    type: str  # Normal or Warning
    reason: str
    message: str


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What one reconcile does: actions in this order, then the status, then its events, then `after`.

    A new reason of the status is an event of itself (`conditions.milestones`).
    """

    actions: tuple[Action, ...] = ()
    status: S | None = None  # None: as it is
    events: tuple[Event, ...] = ()  # further ones
    requeue_after: float | None = None  # seconds; None: wait for the next event
    after: tuple[Action, ...] = ()  # actions that the status must precede
