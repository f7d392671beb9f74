"""Where a pod runs and what it gets for being a node of a ComputeCluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.client import (
    V1Affinity,
    V1LocalObjectReference,
    V1ResourceRequirements,
    V1Toleration,
    V1TopologySpreadConstraint,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests import names
from longshore_operator.settings import Settings
from longshore_planner.cluster.environments import ARCHITECTURE
from longshore_planner.cluster.nodes import NodeShape

_LOST_AFTER = 60  # seconds on a node that does not answer; Kubernetes' own 300 would be long for a step to stand still
_LOST = tuple(
    V1Toleration(key=f"node.kubernetes.io/{key}", operator="Exists", effect="NoExecute", toleration_seconds=_LOST_AFTER)
    for key in ("not-ready", "unreachable")
)
_OF_IMAGE = ("tolerations", "image_pull_secrets")  # parts of a node's placement that running its image may need


def anywhere(settings: Settings) -> dict[str, Any]:
    """Return the placement of a pod that is no node: fields of a V1PodSpec."""
    return {"tolerations": list(_LOST), "image_pull_secrets": _references(settings.image_pull_secrets)}


def on_node(node: NodeShape, settings: Settings) -> dict[str, Any]:
    """Return the placement of a pod that is a node: fields of a V1PodSpec."""
    low, template = settings.low_priority, node.template.get("spec", {})
    selector, tolerations, priority_class = dict(node.node_selector), list(node.tolerations), ""
    if node.low_priority:
        selector = {**low.node_selector, **selector}
        tolerations += [dict(each) for each in low.tolerations]
        priority_class = low.priority_class_name
    affinity, spread = template.get("affinity"), template.get("topologySpreadConstraints", [])
    secrets = [*settings.image_pull_secrets, *(each["name"] for each in template.get("imagePullSecrets", []))]
    return {
        "node_selector": selector or None,
        "tolerations": [*map(_toleration, tolerations), *_LOST],
        "affinity": None if affinity is None else V1Affinity.from_dict(affinity),
        "topology_spread_constraints": list(filter(None, map(V1TopologySpreadConstraint.from_dict, spread))) or None,
        "priority_class_name": template.get("priorityClassName") or priority_class or None,
        "runtime_class_name": template.get("runtimeClassName"),
        "scheduler_name": template.get("schedulerName"),
        "image_pull_secrets": _references(secrets),
    }


def beside_node(node: NodeShape, settings: Settings) -> dict[str, Any]:
    """Return the placement of a pod with the image of a node, that needs neither its machine nor its devices."""
    where = on_node(node, settings)
    selector = {key: value for key, value in node.node_selector.items() if key == ARCHITECTURE}
    return {**anywhere(settings), **{name: where[name] for name in _OF_IMAGE}, "node_selector": selector or None}


def labels_of(node: NodeShape) -> dict[str, str]:
    """Return the labels of a node's pod, but for the step's own."""
    added = dict(node.template.get("metadata", {}).get("labels", {}))
    if node.queue:
        added[names.KUEUE_QUEUE] = node.queue
    return {**added, **compute_labels(node)}


def compute_labels(node: NodeShape) -> dict[str, str]:
    """Return the label by which a ComputeCluster finds its pods."""
    return {names.COMPUTE_LABEL: names.label_value(node.compute)} if node.compute else {}


# To the webhooks of EKS and AKS, which else give the token of the pod's cloud identity to every container: the names of
# those that get none, with the separator that each webhook expects.
_NO_IDENTITY = {"eks.amazonaws.com/skip-containers": ",", "azure.workload.identity/skip-containers": ";"}


def annotations_of(node: NodeShape, *without_identity: str) -> dict[str, str]:
    """Return the annotations of a node's pod, of which some containers get no cloud identity."""
    skipped = {name: separator.join(without_identity) for name, separator in _NO_IDENTITY.items()}
    return {**skipped, **node.template.get("metadata", {}).get("annotations", {})}


def resources_of(node: NodeShape) -> V1ResourceRequirements:
    """Return what the node has, as a container's resources."""
    return V1ResourceRequirements(requests=node.requests or None, limits=node.limits or None)


def volumes(node: NodeShape) -> list[V1Volume]:
    """Return the volumes that the node's template adds."""
    return list(filter(None, map(V1Volume.from_dict, node.template.get("spec", {}).get("volumes", []))))


def mounts(node: NodeShape) -> list[V1VolumeMount]:
    """Return the mounts that the node's template adds to `main`."""
    containers = node.template.get("spec", {}).get("containers", [])
    added = [each for main in containers for each in main.get("volumeMounts", [])]
    return list(filter(None, map(V1VolumeMount.from_dict, added)))


def unreadable(node: NodeShape, settings: Settings) -> str:
    """Return why the free parts of the node's template are no parts of a pod, in one sentence; "" when they are."""
    try:
        on_node(node, settings), volumes(node), mounts(node)
    except (ValueError, TypeError, AttributeError) as error:  # what models of the Kubernetes client raise
        return " ".join(str(error).split("[type=")[0].split())
    return ""


def _toleration(raw: Mapping[str, Any]) -> V1Toleration:
    found = V1Toleration.from_dict(dict(raw))
    assert found is not None, "there is something to read"
    return found


def _references(secrets: Iterable[str]) -> list[V1LocalObjectReference] | None:
    return [V1LocalObjectReference(name=name) for name in dict.fromkeys(secrets)] or None
