"""Who gets the nodes of a ComputeCluster: the step of the highest priority first, then the oldest.

A node that a step has is never taken from it. A free one goes to the first in line that can use it; who comes later
gets what those before cannot use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from longshore_operator.manifests import names

_SHOWN = 5  # steps that a sentence names
# Reasons for which a step can use no node.
_STANDING = ("InvalidInput", "NameTaken", "Refused", "WaitingForStep", "WaitingForPipelineRun")
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
    max_nodes: int | None  # None: the ComputeCluster is gone, and gives no node any more
    claims: tuple[Claim, ...] = ()
    held: int = 0  # nodes in all, those of steps that are gone included

    @property
    def free(self) -> int:
        """How many nodes nobody has."""
        return max(0, (self.max_nodes or 0) - self.held)

    def allowed(self, step: Holder) -> int:
        """Return how many nodes the step may have now, those it has included."""
        free = self.free
        for claim in self._line:
            if claim.step == step:
                return claim.held + min(free, claim.unmet)
            free -= min(free, claim.unmet)
        return 0

    def before(self, step: Holder) -> int:
        """Return how many other steps that lack nodes come before this one."""
        line = [each.step for each in self._line if each.unmet or each.step == step]
        return line.index(step) if step in line else len(line)

    @property
    def _line(self) -> list[Claim]:
        return sorted(self.claims, key=lambda each: (-each.priority, each.created, each.step))

    def waiting(self, step: Holder) -> str:
        """Return why the step has no node, in one sentence."""
        if self.max_nodes is None:
            return f"ComputeCluster {self.compute} is gone: there is no node to be had"
        holders = [f"{each.step} {each.held}" for each in self.claims if each.held and each.step != step]
        more = f" and {len(holders) - _SHOWN} other steps" if len(holders) > _SHOWN else ""
        used = f"in use: {', '.join(sorted(holders)[:_SHOWN])}{more}"
        if not holders:
            used = "nodes of deleted steps are still ending"
        if self.free:
            used = "free ones go to steps that come first"
        return f"waiting for a node of ComputeCluster {self.compute}, which has {self.max_nodes}; {used}"


def pool(
    compute: str,
    cluster: Mapping[str, Any] | None,
    steps: Iterable[Mapping[str, Any]],
    pods: Iterable[Mapping[str, Any]],
    *,
    asking: tuple[Holder, int] | None = None,
) -> Pool:
    """Return the pool of a ComputeCluster from objects of the API: itself, its namespace's steps, its worker pods.

    `asking` is the step that asks, with its run's workers: what its spec says by now is not for its run, and what it
    stood still for is over, or it would not ask.
    """
    held = [_holder(each) for each in nodes_among(pods)]
    max_nodes = None if cluster is None else number(cluster.get("spec", {}).get("maxNodes"), 4)
    return Pool(compute, max_nodes, tuple(_claims(compute, steps, held, asking or (Holder(""), 0))), len(held))


def nodes_among(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those of the worker pods that are nodes. The ended pod of a task stays as a record, and is none."""
    return [
        each
        for each in pods
        if names.TASK_LABEL not in each["metadata"]["labels"] or each.get("status", {}).get("phase") not in _OVER
    ]


def _holder(pod: Mapping[str, Any]) -> Holder:
    labels = pod["metadata"]["labels"]
    if names.TASK_LABEL in labels:
        return Holder(str(labels[names.TASK_LABEL]), names.SCRIPT_KIND)
    return Holder(str(labels.get(names.STEP_LABEL, "")))


def _claims(
    compute: str, steps: Iterable[Mapping[str, Any]], held: list[Holder], asking: tuple[Holder, int]
) -> Iterator[Claim]:
    for raw in steps:
        spec, metadata, status = raw.get("spec", {}), raw["metadata"], raw.get("status", {})
        holder = Holder(metadata["name"], raw["kind"])
        asks = holder == asking[0]
        if asks or spec.get("computeTarget") == compute:
            nodes = asking[1] if asks else 0 if _stands(status) else _nodes(holder, spec, status)
            yield Claim(
                step=holder,
                priority=number(spec.get("priority"), 0),
                created=datetime.fromisoformat(metadata["creationTimestamp"]),
                held=held.count(holder),
                wanted=0 if "deletionTimestamp" in metadata else _wanted(spec, status, nodes),
            )


def _stands(status: Mapping[str, Any]) -> bool:
    return _condition(status, "Succeeded").get("reason") in _STANDING


def _nodes(holder: Holder, spec: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    """Return how many nodes a step has asked for: its run, when it has begun, as its spec may say otherwise by now."""
    if holder.kind != names.STEP_KIND:
        return 1
    of_run = status.get("progress", {}).get("workers", {}).get("wanted", 0) if status.get("runId") else 0
    return int(of_run) or number(spec.get("nodeCount"), 1)


def _wanted(spec: Mapping[str, Any], status: Mapping[str, Any], nodes: int) -> int:
    """Return how many of these nodes a step can use: never more than mini-batches are left."""
    over = _condition(status, "Finished").get("status") == "True"
    if over or is_set(spec, "suspend") or is_set(spec, "cancel"):
        return 0
    counts = status.get("progress", {}).get("miniBatches", {})
    total = counts.get("total")
    return nodes if total is None else min(nodes, total - counts.get("succeeded", 0) - counts.get("failed", 0))


def is_set(spec: Mapping[str, Any], switch: str) -> bool:
    """Tell whether a switch of a spec is on."""
    return str(spec.get(switch, False)).lower() == "true"


def is_finished(raw: Mapping[str, Any]) -> bool:
    """Tell whether a resource of ours has ended, as its status says."""
    return _condition(raw.get("status", {}), "Finished").get("status") == "True"


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", []) if each.get("type") == type_), {})


def number(value: Any, default: int) -> int:
    """Return a number as a spec holds it, which may be a string."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
