"""A placeholder: a pod that does nothing on a node, so that the node is there when a worker wants it.

It asks for what a worker's `main` asks for, under a PriorityClass below all others: the scheduler removes it as soon
as any pod needs its room, and the operator as soon as a worker takes its place.
"""

from __future__ import annotations

from kubernetes.client import V1Container, V1Pod

from longshore_operator.manifests import names, placement
from longshore_operator.manifests.metadata import metadata
from longshore_operator.manifests.parts import OUR_USER, confined, pod
from longshore_operator.manifests.subject import Subject
from longshore_operator.settings import Settings
from longshore_planner.cluster.nodes import NodeShape


def placeholder_pod(node: NodeShape, settings: Settings, *, namespace: str, uid: str, index: int) -> V1Pod:
    """Return the index-th placeholder of a ComputeCluster, whose uid is given."""
    owner = Subject(names.COMPUTE_KIND, namespace, node.compute, uid)
    labels = {names.ROLE_LABEL: names.PLACEHOLDER, **placement.compute_labels(node)}
    about = metadata(owner, names.placeholder(node.compute, index), labels)
    where = placement.on_node(node, settings)
    where["priority_class_name"] = settings.placeholder_priority_class or where["priority_class_name"]
    container = V1Container(
        name="placeholder",
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=["sleep", "infinity"],
        resources=placement.resources_of(node),
        security_context=confined(OUR_USER),
    )
    return pod(about, where, containers=[container], grace=0)  # there is nothing to finish
