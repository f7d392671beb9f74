"""Resources that steps use: ComputeCluster, Environment and Model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields, Resource
from longshore_api.nodes import GpuRequest, PodTemplate, ResourceRequirements, Toleration
from longshore_api.packages import Packages
from longshore_api.registrations import AssetStatus
from longshore_api.status import ComputeClusterStatus, ResourceStatus
from longshore_api.values import AssetName, FilledString, LabelValue, ResourceName, Variables, Whole, broken


class ComputeClusterSpec(Fields):
    """Number and size of nodes; in a local run, `maxNodes` limits the workers."""

    vm_size: FilledString | None = None
    """Azure's name of a machine size, such as STANDARD_D2_V2; not together with `resources`."""
    resources: ResourceRequirements | None = None
    """The resources of one node; not together with `vmSize`."""
    gpu: GpuRequest | None = None
    """GPUs of one node; if not given, those of the `vmSize`, as nvidia.com/gpu."""
    vm_priority: Literal["dedicated", "lowpriority"] = "dedicated"
    """`lowpriority` nodes may be reclaimed at any time, `dedicated` nodes may not."""
    min_nodes: Annotated[int, Whole(0)] = 0
    """Nodes that are kept while no step runs."""
    max_nodes: Annotated[int, Whole(1)] = 4
    """Maximum number of nodes, over all steps that run at the same time."""
    idle_seconds_before_scale_down: Annotated[int, Whole(0)] = 1800
    """Idle time after which a node is removed."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the Kubernetes nodes that pods may run on."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Tolerations of taints of the Kubernetes nodes that pods may run on."""
    queue_name: LabelValue | None = None
    """LocalQueue of Kueue that admits worker pods (label kueue.x-k8s.io/queue-name)."""
    pod_template: PodTemplate = Field(default_factory=PodTemplate)
    """Additions to worker pods, such as labels, affinity and volumes."""

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
    """Image, interpreter, packages and environment variables of scripts."""

    image: FilledString | None = None
    """Container image; required on clusters, ignored by local runs."""
    variables: Variables = Field(default_factory=dict)
    """Environment variables of the script's process; those of the step take precedence."""
    python: FilledString | None = None
    """Python interpreter: inside the image (`python` if not given), or in local runs on your machine (the one that runs
    Longshore if not given)."""
    packages: Packages | None = None
    """Python packages, installed on top of the image or interpreter."""


class Environment(Resource):
    """Interpreter, packages and environment variables."""

    kind: Literal["Environment"]
    """Kind of the resource."""
    spec: EnvironmentSpec
    """Image, interpreter, packages, variables."""
    status: ResourceStatus | None = None
    """Written by Longshore."""


class ModelSpec(Fields):
    """A file or folder that scripts look up by name and version."""

    name: AssetName | None = None
    """Name that scripts and steps use; the resource's own name if not given."""
    version: Annotated[int, Whole(1)] = 1
    """Version; scripts and steps that name none use the highest."""
    datastore: ResourceName | None = None
    """Datastore that the path is relative to; the default one if not given."""
    path: FilledString
    """File or folder: a full URL, or relative to the Datastore."""
    description: str = ""
    """Free text."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Texts by name, which scripts read as `tags`."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Texts by name, which scripts read as `properties`."""


class Model(Resource):
    """One version of a registered model."""

    kind: Literal["Model"]
    """Kind of the resource."""
    spec: ModelSpec
    """Name, version and location."""
    status: AssetStatus | None = None
    """Written by Longshore."""
