"""Who gets the nodes of a ComputeCluster: the step of the highest priority first, then the oldest.

A node that a step has is never taken from it. A free one goes to the first in line that can use it; who comes later
gets what those before cannot use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from longshore_operator.common.reasons import WITHOUT_NODES
from longshore_operator.manifests import names

_SHOWN = 5  # steps that a sentence names
_OVER = ("Succeeded", "Failed")


class Holder(NamedTuple):
    """A step: a ParallelRunStep and a task may have the same name."""

    name: str
    kind: str = names.STEP_KIND

    def __str__(self) -> str:
        return self.name if self.kind == names.STEP_KIND else f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Claim:
    """What one step has of a ComputeCluster's nodes, and can use."""

    step: Holder
    priority: int
    created: datetime
    held: int  # nodes
    wanted: int  # nodes, those it has included

    @property
    def unmet(self) -> int:
        """How many nodes it lacks."""
        return max(0, self.wanted - self.held)


@dataclass(frozen=True)
class Pool:
    """A ComputeCluster and all that claim its nodes."""

    compute: str
    max_nodes: int | None  # None: the ComputeCluster does not exist
    claims: tuple[Claim, ...] = ()
    held: int = 0  # all nodes, including those of deleted steps

    @property
    def free(self) -> int:
        """Number of nodes that no step has."""
        return max(0, (self.max_nodes or 0) - self.held)

    def allowed(self, step: Holder) -> int:
        """Return how many nodes the step may have now, those it has included."""
        free = self.free
        for claim in self._queue:
            if claim.step == step:
                return claim.held + min(free, claim.unmet)
            free -= min(free, claim.unmet)
        return 0

    @property
    def _queue(self) -> list[Claim]:
        return sorted(self.claims, key=lambda each: (-each.priority, each.created, each.step))

    def waiting(self, step: Holder) -> str:
        """Return why the step has no node, in one sentence."""
        if self.max_nodes is None:
            return f'ComputeCluster "{self.compute}" does not exist, so no nodes can be allocated; create it'
        holders = [f"{each.step} {each.held}" for each in self.claims if each.held and each.step != step]
        more = f" and {len(holders) - _SHOWN} other steps" if len(holders) > _SHOWN else ""
        used = f"in use: {', '.join(sorted(holders)[:_SHOWN])}{more}"
        if not holders:
            used = "nodes of deleted steps are still ending"
        if self.free:
            used = "free ones go to steps that come first"
        return f"waiting for a node of ComputeCluster {self.compute}, which has {self.max_nodes}; {used}"


def is_node(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod occupies a node; the finished pod of a task, kept as a record, does not."""
    labels = pod["metadata"].get("labels") or {}
    if labels.get(names.ROLE_LABEL) != names.WORKER or names.COMPUTE_LABEL not in labels:
        return False
    return names.TASK_LABEL not in labels or pod.get("status", {}).get("phase") not in _OVER


def claim_of(raw: Mapping[str, Any], *, asking: int | None = None) -> Claim:
    """Return the claim of a step or task, with none of the nodes that it has.

    `asking` is the number of workers of its run, which replaces the number in its spec. A step that asks is not
    standing still any more.
    """
    spec, metadata, status = part(raw, "spec"), raw["metadata"], part(raw, "status")
    holder = Holder(metadata["name"], raw["kind"])
    nodes = asking if asking is not None else 0 if _stands(status) else _nodes(holder, spec, status)
    return Claim(
        step=holder,
        priority=number(spec.get("priority"), 0),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        held=0,
        wanted=0 if "deletionTimestamp" in metadata else _wanted(spec, status, nodes),
    )


def _stands(status: Mapping[str, Any]) -> bool:
    return condition_of(status, "Succeeded").get("reason") in WITHOUT_NODES


def _nodes(holder: Holder, spec: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    """Return the nodes that a step requests: those of its run if it has begun, else those of its spec."""
    if holder.kind != names.STEP_KIND:
        return 1
    of_run = number(part(status, "progress", "workers").get("wanted"), 0) if status.get("runId") else 0
    return of_run or number(spec.get("nodeCount"), 1)


def _wanted(spec: Mapping[str, Any], status: Mapping[str, Any], nodes: int) -> int:
    """Return how many of these nodes a step can use: never more than mini-batches are left."""
    over = condition_of(status, "Finished").get("status") == "True"
    if over or is_set(spec, "suspend") or is_set(spec, "cancel"):
        return 0
    counts = part(status, "progress", "miniBatches")
    total, ended = counts.get("total"), number(counts.get("succeeded"), 0) + number(counts.get("failed"), 0)
    return nodes if total is None else min(nodes, number(total, 0) - ended)


def is_set(spec: Mapping[str, Any], switch: str) -> bool:
    """Return whether a switch of a spec is on."""
    return str(spec.get(switch, False)).lower() == "true"


def is_finished(raw: Mapping[str, Any]) -> bool:
    """Return whether the status of a resource has the condition Finished."""
    return condition_of(part(raw, "status"), "Finished").get("status") == "True"


def condition_of(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """Return a condition of a status that anybody may have written; an empty one where there is none."""
    conditions = status.get("conditions")
    found = conditions if isinstance(conditions, list) else []
    return next((each for each in found if isinstance(each, Mapping) and each.get("type") == type_), {})


def part(raw: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the mapping at `path` of an object, or {} if there is none."""
    found: Any = raw
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def number(value: Any, default: int) -> int:
    """Return a number as a spec holds it, which may be a string."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
