"""The controller of ComputeClusters: reads the cluster, the steps that claim its nodes, and the pods that are nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from longshore_api.errors import InvalidDocuments
from longshore_api.resources import ComputeCluster
from longshore_api.status import ComputeClusterStatus
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.conditions import sentence
from longshore_operator.common.observe import existing, observation
from longshore_operator.common.pods import observed_pod
from longshore_operator.common.pool import is_node
from longshore_operator.common.references import document, owner
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.compute_clusters.decide import ClusterPlan, ObservedCluster, Scale, after_refusal, decide
from longshore_operator.manifests import names, placement
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document
from longshore_planner.cluster.nodes import node_shape


@dataclass(frozen=True)
class ClusterController:
    """Controller of ComputeClusters: keeps idle nodes according to the spec."""

    kube: Kube
    settings: Settings

    def observe(self, kind: str, namespace: str, name: str, *, now: datetime) -> ObservedCluster | None:
        raw = existing(self.kube, kind, namespace, name)
        return None if raw is None else _observed(self.kube, raw, self.settings)

    def decide(self, seen: ObservedCluster, *, now: datetime) -> ClusterPlan:
        return decide(seen, self.settings, now=now)

    def refused(self, seen: ObservedCluster, plan: ClusterPlan, refusal: Blocked, *, now: datetime) -> ClusterPlan:
        return after_refusal(seen, plan, refusal, now=now)


def _observed(kube: Kube, raw: Manifest, settings: Settings) -> ObservedCluster:
    metadata = raw["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    pods = kube.list("Pod", namespace, names.compute_selector(name))
    workers = [each for each in pods if is_node(each) and _step(each)]
    placeholders = [each for each in pods if _role(each) == names.PLACEHOLDER and owner(each) == metadata["uid"]]
    seen = ObservedCluster(
        **observation(raw, ComputeClusterStatus),
        pool=kube.pool(namespace, name),
        workers=tuple(map(_worker, workers)),
        placeholders=tuple(_placeholder(each, compute=name) for each in placeholders),
    )
    try:
        found = document(raw)
        assert isinstance(found.resource, ComputeCluster), "the kind determines the model"
        shape = node_shape(Document(found.where, found.folder, found.resource))
    except InvalidDocuments as error:
        return replace(seen, problem=sentence(error.problems))
    spec = found.resource.spec
    if problem := placement.unreadable(shape, settings):
        return replace(seen, problem=f"spec.podTemplate.spec is wrong: {problem}")
    idle = timedelta(seconds=spec.idle_seconds_before_scale_down)
    return replace(seen, scale=Scale(spec.min_nodes, spec.max_nodes, idle), shape=shape)


def _worker(raw: Mapping[str, Any]) -> Pod:
    return observed_pod(raw, index=names.worker_index(_step(raw), raw["metadata"]["name"]))


def _placeholder(raw: Manifest, *, compute: str) -> Pod:
    return observed_pod(raw, index=names.placeholder_index(compute, raw["metadata"]["name"]))


def _role(raw: Manifest) -> str:
    return str(raw["metadata"]["labels"].get(names.ROLE_LABEL, ""))


def _step(raw: Mapping[str, Any]) -> str:
    """Return the step that a pod works for; "" for a pod without one."""
    labels = raw["metadata"]["labels"]
    return str(labels.get(names.STEP_LABEL) or labels.get(names.TASK_LABEL, ""))
