"""Decisions for a ComputeCluster: the number of idle nodes to keep, and its status.

A node is a pod: a step's worker, or a placeholder that holds the place of one. What workers leave is held for
`idleSecondsBeforeScaleDown`, then given back down to `minNodes`; a placeholder's own age is how long its node is idle.
Whatever steps have or can use takes the place of placeholders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from longshore_api import status as api
from longshore_operator.common.actions import Action, Create, Delete, Plan
from longshore_operator.common.lifecycle import LATE
from longshore_operator.common.pool import Pool
from longshore_operator.common.reasons import INVALID
from longshore_operator.common.values import Blocked, Observation, Pod
from longshore_operator.manifests.placeholder import placeholder_pod
from longshore_operator.settings import Settings
from longshore_planner.cluster.nodes import NodeShape
from longshore_planner.status import condition

_REFUSED = 30.0  # seconds until what the API server refused is tried again
_LOST = ("Evicted", "Preempting", "Preempted", "Shutdown", "NodeShutdown", "NodeLost", "Terminated")


ClusterPlan = Plan[api.ComputeClusterStatus]


@dataclass(frozen=True)
class Scale:
    """How many nodes there may be without work."""

    min_nodes: int
    max_nodes: int
    idle: timedelta


@dataclass(frozen=True)
class ObservedCluster(Observation[api.ComputeClusterStatus]):
    """All that one reconcile of a ComputeCluster knows."""

    pool: Pool
    scale: Scale | None = None  # None: its spec is wrong
    shape: NodeShape = field(default_factory=NodeShape)
    problem: str = ""  # what is wrong with its spec
    workers: tuple[Pod, ...] = ()
    placeholders: tuple[Pod, ...] = ()


def decide(seen: ObservedCluster, settings: Settings, *, now: datetime) -> ClusterPlan:
    """Return what to do next."""
    staying = [each for each in seen.placeholders if not each.leaving and not each.is_finished]
    gone = [Delete("Pod", each.name, each.uid) for each in seen.placeholders if each.is_finished]
    kept = _kept(seen, seen.scale, staying, now=now) if seen.scale else len(staying)
    surplus = sorted(staying, key=lambda each: (each.phase != "Running", each.created, each.name))
    surplus = surplus[: max(0, len(staying) - kept)]
    actions: tuple[Action, ...] = (
        *gone,
        *(Delete("Pod", each.name, each.uid) for each in surplus),
        *_made(seen, settings, missing=kept - len(staying)),
    )
    status = _status(seen, kept, now=now)
    ends = [each.created + seen.scale.idle for each in staying if each not in surplus] if seen.scale else []
    left = [min((end - now).total_seconds(), LATE) for end in ends if end > now]
    # Who claims nodes may have been a moment old, and no further event may come.
    return Plan(actions, status, requeue_after=min(left, default=LATE))


def after_refusal(seen: ObservedCluster, plan: ClusterPlan, refusal: Blocked, *, now: datetime) -> ClusterPlan:
    """Return the rest of a plan after the API server refused a placeholder: a status with the refusal, and a retry."""
    assert plan.status is not None, "placeholders are created with a status only"
    there = sum(not each.leaving and not each.is_finished for each in seen.placeholders)
    ready = condition(
        "Ready",
        "False",
        reason=refusal.reason,
        message=refusal.message,
        previous=seen.status,
        generation=seen.generation,
        now=now,
    )
    update = {"conditions": [ready], "current_node_count": seen.pool.held + there}
    status = plan.status.model_copy(update=update)
    return Plan((), status, requeue_after=_REFUSED)


def _busy(seen: ObservedCluster) -> int:
    """Return how many nodes steps have, or can use as far as they may."""
    usable = sum(max(each.held, each.wanted) for each in seen.pool.claims)
    return max(seen.pool.held, min(seen.scale.max_nodes if seen.scale else 0, usable))


def _kept(seen: ObservedCluster, scale: Scale, staying: list[Pod], *, now: datetime) -> int:
    """Return the number of placeholders: the nodes to keep, without those that steps use."""
    before = seen.status.current_node_count if seen.status else seen.pool.held + len(staying)
    cold = sum(each.created + scale.idle <= now for each in staying)
    warm = max(0, before - cold) if scale.idle else 0
    return max(0, max(scale.min_nodes, min(scale.max_nodes, warm)) - _busy(seen))


def _made(seen: ObservedCluster, settings: Settings, *, missing: int) -> Iterator[Action]:
    taken, index = {each.index for each in seen.placeholders}, 0
    while missing > 0:
        if index not in taken:
            subject = seen.subject
            yield Create(
                placeholder_pod(seen.shape, settings, namespace=subject.namespace, uid=subject.uid, index=index)
            )
            missing -= 1
        index += 1


def _status(seen: ObservedCluster, kept: int, *, now: datetime) -> api.ComputeClusterStatus:
    target = _busy(seen) + kept
    counts = _counts(seen)
    # What is being given up is no longer counted: else the next look would take it for left by a worker.
    current = seen.pool.held + kept
    ready = counts.running_node_count + counts.idle_node_count
    steady = current == ready == target and not counts.leaving_node_count
    state: Literal["Steady", "Resizing"] = "Steady" if steady else "Resizing"
    previous = seen.status
    since = previous.allocation_state_transition_time if previous and previous.allocation_state == state else now
    reason: str = state
    message = f"{ready} of {target} nodes are ready"
    blocked = next((each.blocked for each in (*seen.workers, *seen.placeholders) if each.blocked), None)
    if blocked is not None and ready < target:
        reason, message = blocked.reason, f"waiting for {target - ready} of {target} nodes: {blocked.message}"
    if seen.problem:
        reason, message = INVALID, seen.problem
    return api.ComputeClusterStatus(
        observed_generation=seen.generation,
        conditions=[
            condition(
                "Ready",
                "False" if seen.problem else "True",
                reason=reason,
                message=message,
                previous=previous,
                generation=seen.generation,
                now=now,
            )
        ],
        allocation_state=state,
        allocation_state_transition_time=since,
        current_node_count=current,
        target_node_count=target,
        node_state_counts=counts,
    )


def _counts(seen: ObservedCluster) -> api.NodeStateCounts:
    states = [_state(each, at_work="running") for each in seen.workers]
    states += [_state(each, at_work="idle") for each in seen.placeholders]
    return api.NodeStateCounts(
        idle_node_count=states.count("idle"),
        leaving_node_count=states.count("leaving"),
        preempted_node_count=states.count("preempted"),
        preparing_node_count=states.count("preparing"),
        running_node_count=states.count("running"),
        unusable_node_count=states.count("unusable"),
    )


def _state(pod: Pod, *, at_work: str) -> str:
    if pod.leaving or pod.phase == "Succeeded":
        return "leaving"
    if pod.phase == "Failed":
        return "preempted" if pod.reason in _LOST else "unusable"
    return at_work if pod.phase == "Running" else "preparing"
