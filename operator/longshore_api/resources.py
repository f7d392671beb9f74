"""What a step runs on and with: ComputeCluster, Environment, Model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields, Resource
from longshore_api.nodes import GpuRequest, PodTemplate, ResourceRequirements, Toleration
from longshore_api.status import ComputeClusterStatus, ResourceStatus
from longshore_api.values import FilledString, LabelValue, PortName, ResourceName, Variables, Whole, broken


class ComputeClusterSpec(Fields):
    """How many nodes there may be, and of what size; in a local run, `maxNodes` caps the workers."""

    vm_size: FilledString | None = None
    """Azure's name of a machine size, such as STANDARD_D2_V2; not together with `resources`."""
    resources: ResourceRequirements | None = None
    """The resources of one node; not together with `vmSize`."""
    gpu: GpuRequest | None = None
    """The GPUs of one node; if not given those of the `vmSize`, under the name nvidia.com/gpu."""
    vm_priority: Literal["dedicated", "lowpriority"] = "dedicated"
    """Whether nodes may be reclaimed at any time."""
    min_nodes: Annotated[int, Whole(0)] = 0
    """Nodes that are kept while there is nothing to do."""
    max_nodes: Annotated[int, Whole(1)] = 4
    """Nodes at most, over all steps that run at a time."""
    idle_seconds_before_scale_down: Annotated[int, Whole(0)] = 1800
    """How long a node may be idle before it goes."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the Kubernetes nodes that pods may run on."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints of the Kubernetes nodes that pods may run on."""
    queue_name: LabelValue | None = None
    """Kueue's LocalQueue that worker pods wait in (label kueue.x-k8s.io/queue-name)."""
    pod_template: PodTemplate = Field(default_factory=PodTemplate)
    """What worker pods get besides: labels, affinity, volumes and the like."""

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.min_nodes > self.max_nodes:
            raise broken(f"must not be above maxNodes, which is {self.max_nodes}", field="minNodes")
        if self.vm_size and self.resources:
            raise broken("must have only one of vmSize and resources")
        return self


class ComputeCluster(Resource):
    """A pool of nodes (worker pods) that steps share."""

    kind: Literal["ComputeCluster"]
    """Kind of the resource."""
    spec: ComputeClusterSpec
    """Number and size of the nodes."""
    status: ComputeClusterStatus | None = None
    """Written by Longshore."""


class EnvironmentSpec(Fields):
    """Where the entry script finds its packages."""

    image: FilledString | None = None
    """Container image; a cluster needs one, a local run does not look at it."""
    variables: Variables = Field(default_factory=dict)
    """Environment variables of the entry script's process; those of the step win."""
    python: FilledString | None = None
    """The interpreter: inside the image (`python` if not given), or on this machine for a local run (the one that
    runs Longshore if not given)."""


class Environment(Resource):
    """Interpreter, packages and environment variables."""

    kind: Literal["Environment"]
    """Kind of the resource."""
    spec: EnvironmentSpec
    """Image, interpreter, variables."""
    status: ResourceStatus | None = None
    """Written by Longshore."""


class ModelSpec(Fields):
    """A file or folder that scripts find by name and version."""

    name: PortName | None = None
    """Name that scripts and steps ask for; the resource's own name if not given."""
    version: Annotated[int, Whole(1)] = 1
    """Version; who asks for none gets the highest."""
    datastore: ResourceName | None = None
    """Datastore that the path is relative to; the default one if not given."""
    path: FilledString
    """File or folder: a full URL, or relative to the Datastore."""


class Model(Resource):
    """One version of a registered model."""

    kind: Literal["Model"]
    """Kind of the resource."""
    spec: ModelSpec
    """Name, version and place."""
    status: ResourceStatus | None = None
    """Written by Longshore."""
