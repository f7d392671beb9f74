"""What a plan may ask for: a closed set, each safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubernetes.client import V1ConfigMap, V1NetworkPolicy, V1Pod, V1Service

from longshore_api.status import ResourceStatus
from longshore_planner.cluster import ClusterRun


@dataclass(frozen=True)
class Create:
    """Make an object that is never changed; one that is there already is looked at in the next reconcile."""

    manifest: V1ConfigMap | V1NetworkPolicy | V1Pod | V1Service


@dataclass(frozen=True)
class Ensure:
    """Make an object unless it is there already: its name says what is in it."""

    manifest: V1ConfigMap


@dataclass(frozen=True)
class Begin:
    """Make the resource that runs a step, once the run that it is to carry out is written down."""

    frozen: V1ConfigMap
    resource: dict[str, Any]


@dataclass(frozen=True)
class Retry:
    """Write a PipelineRun down that goes on with another one's run, unless a further one has done so by now."""

    manifest: V1ConfigMap
    run_id: str


@dataclass(frozen=True)
class Switch:
    """Turn a switch of a resource's spec."""

    kind: str
    name: str
    uid: str
    field: str  # suspend or cancel
    value: bool


@dataclass(frozen=True)
class Resume:
    """Write a run down that goes on with another step's, unless a further step has done so by now."""

    run: ClusterRun


@dataclass(frozen=True)
class Issue:
    """Make the run's secret, with a new token and certificate."""

    run: ClusterRun


@dataclass(frozen=True)
class Delete:
    """Delete what was looked at, and nothing that has its name by now."""

    kind: str
    name: str
    uid: str
    at_once: bool = False  # do not wait for its node to say that it has ended


@dataclass(frozen=True)
class Occupy:
    """Make pods that are nodes of a ComputeCluster, as far as it has room when it comes to that."""

    compute: str
    max_nodes: int
    pods: tuple[V1Pod, ...]


@dataclass(frozen=True)
class Drain:
    """Ask the coordinator to let a worker end that has nothing to do."""

    worker: str


@dataclass(frozen=True)
class TellGone:
    """Tell the coordinator that a worker's agent is dead, so that others get at once what it held."""

    worker: str


RunAction = Ensure | Begin | Retry | Switch
Action = RunAction | Create | Resume | Occupy | Issue | Delete | Drain | TellGone


@dataclass(frozen=True)
class Event:
    """What happened to a resource, for `kubectl describe`."""

    type: str  # Normal or Warning
    reason: str
    message: str


S = TypeVar("S", bound=ResourceStatus)


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What one reconcile does: actions in this order, then the status, then the events, then what follows from it."""

    actions: tuple[Action, ...] = ()
    status: S | None = None  # None: as it is
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None  # seconds; None: when something happens
    after: tuple[Action, ...] = ()  # what the status must say before it is done
