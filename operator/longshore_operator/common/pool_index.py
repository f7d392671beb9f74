"""Who has and wants the nodes of each ComputeCluster, kept up to date object by object.

A pool is read for each step that lacks a node, so its cost follows the nodes of the ComputeCluster, and not the number
of steps that wait for them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from longshore_operator.common.pool import Claim, Holder, Pool, claim_of, is_node, number
from longshore_operator.manifests import names

PoolKey = tuple[str, str]  # namespace, label value of the ComputeCluster

_CLAIMING = (names.STEP_KIND, names.SCRIPT_KIND)
_MAX_NODES = 4  # default of spec.maxNodes
_Place = tuple[int, datetime, Holder]  # in the line, in the order of places


@dataclass
class _State:
    """One ComputeCluster."""

    name: str = ""
    max_nodes: int | None = None  # None: there is no such ComputeCluster
    nodes: dict[str, Holder] = field(default_factory=dict)  # by name of the pod
    held: Counter[Holder] = field(default_factory=Counter)
    claims: dict[Holder, Claim] = field(default_factory=dict)
    line: list[_Place] = field(default_factory=list)  # the claims that lack nodes, sorted
    claimed: int = 0  # nodes of the steps that claim some

    @property
    def is_empty(self) -> bool:
        return self.max_nodes is None and not self.nodes and not self.claims

    def claim(self, holder: Holder, claim: Claim | None) -> None:
        """Set or remove a step's claim."""
        known = self.claims.pop(holder, None)
        if known is not None:
            self.claimed -= known.held
            if known.unmet:
                del self.line[bisect_left(self.line, _place(known))]
        if claim is not None:
            claim = self.claims[holder] = replace(claim, held=self.held[holder])
            self.claimed += claim.held
            if claim.unmet:
                insort(self.line, _place(claim))

    def occupy(self, pod: str, holder: Holder | None) -> None:
        """Set who has the node that a pod is; None: it is no node (any more)."""
        known = self.nodes.pop(pod, None)
        if known is not None:
            self.held[known] -= 1
            if not self.held[known]:
                del self.held[known]
        if holder is not None:
            self.nodes[pod] = holder
            self.held[holder] += 1
        for each in filter(None, {known, holder}):
            self.claim(each, self.claims.get(each))


class Pools:
    """The node pools of all ComputeClusters, as the objects that were noted make them. Not thread-safe."""

    def __init__(self) -> None:
        self._states: dict[PoolKey, _State] = {}

    def note(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> set[PoolKey]:
        """Take in a change of an object; return the pools that are no longer what they were."""
        kind = (after or before or {})["kind"]
        if kind == "Pod":
            return self._note(_node(before), _node(after), _State.occupy)
        if kind in _CLAIMING:
            return self._note(_claim(before), _claim(after), _State.claim)
        if kind == names.COMPUTE_KIND:
            return self._note(_size(before), _size(after), _resize)
        return set()

    def pool(self, namespace: str, compute: str, *, asking: Claim | None = None) -> Pool:
        """Return the pool of a ComputeCluster with the claims that matter: of who has nodes, and the first in line.

        `asking` is the claim of the asking step, which replaces the claim from its status.
        """
        state = self._states.get((namespace, names.label_value(compute)), _State())
        claims = {holder: state.claims[holder] for holder in state.held if holder in state.claims}
        for _, _, holder in state.line[: max(0, (state.max_nodes or 0) - state.claimed) + 1]:
            claims[holder] = state.claims[holder]
        if asking is not None:
            claims[asking.step] = replace(asking, held=state.held[asking.step])
        return Pool(compute, state.max_nodes, tuple(claims.values()), len(state.nodes))

    def name(self, key: PoolKey) -> str:
        """Return the name of a pool's ComputeCluster; "" if no claim names it."""
        state = self._states.get(key)
        return state.name if state is not None else ""

    def next_waiting(self, key: PoolKey) -> list[Holder]:
        """Return the steps that free nodes go to: one for each free node at most."""
        state = self._states.get(key, _State())
        free = max(0, (state.max_nodes or 0) - len(state.nodes))
        return [holder for _, _, holder in state.line[:free]]

    def _note(self, before: Any, after: Any, change: Any) -> set[PoolKey]:
        """Undo what an object was, then do what it is; each is (pool, name, subject, value), or None."""
        if before == after:
            return set()
        changed = set()
        if before is not None and (after is None or before[:3] != after[:3]):
            key, _, subject, _ = before
            change(self._states[key], subject, None)
            changed.add(key)
            if self._states[key].is_empty:
                del self._states[key]
        if after is not None:
            key, name, subject, value = after
            state = self._states.setdefault(key, _State())
            state.name = name or state.name
            change(state, subject, value)
            changed.add(key)
        return changed


def _resize(state: _State, _: str, max_nodes: int | None) -> None:
    state.max_nodes = max_nodes


def _size(raw: Mapping[str, Any] | None) -> tuple[PoolKey, str, str, int] | None:
    if raw is None:
        return None
    metadata = raw["metadata"]
    name = metadata["name"]
    max_nodes = number(raw.get("spec", {}).get("maxNodes"), _MAX_NODES)
    return (metadata["namespace"], names.label_value(name)), name, name, max_nodes


def _claim(raw: Mapping[str, Any] | None) -> tuple[PoolKey, str, Holder, Claim] | None:
    compute = None if raw is None else raw.get("spec", {}).get("computeTarget")
    if raw is None or not compute:
        return None
    claim = claim_of(raw)
    return (raw["metadata"]["namespace"], names.label_value(compute)), compute, claim.step, claim


def _node(raw: Mapping[str, Any] | None) -> tuple[PoolKey, str, str, Holder] | None:
    if raw is None or not is_node(raw):
        return None
    metadata = raw["metadata"]
    labels = metadata["labels"]
    holder = Holder(str(labels.get(names.STEP_LABEL, "")))
    if names.TASK_LABEL in labels:
        holder = Holder(str(labels[names.TASK_LABEL]), names.SCRIPT_KIND)
    return (metadata["namespace"], labels[names.COMPUTE_LABEL]), "", metadata["name"], holder


def _place(claim: Claim) -> _Place:
    return -claim.priority, claim.created, claim.step
