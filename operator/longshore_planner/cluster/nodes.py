"""The shape of a ComputeCluster's nodes: resources, placement and template of one pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore_api.errors import InvalidDocuments, listed
from longshore_api.nodes import ResourceRequirements
from longshore_api.resources import ComputeCluster
from longshore_planner.catalogue import Document
from longshore_planner.cluster import vm_sizes

_FACTORS: Mapping[str, float] = {
    "": 1,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    **{letter: 1e3**power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
}
GPU = "nvidia.com/gpu"  # name of NVIDIA's device plugin


@dataclass(frozen=True)
class NodeShape:
    """The shape of a ComputeCluster's node; the defaults are those of a step without a ComputeCluster."""

    compute: str = ""  # name of the ComputeCluster
    requests: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    gpus: int = 0
    machine_cores: int = 0  # of the vmSize, more than a pod can request; 0: use `requests` and `limits`
    low_priority: bool = False
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    queue: str = ""  # Kueue's LocalQueue
    template: dict[str, Any] = field(default_factory=dict)  # a PodTemplate as JSON

    @property
    def processes(self) -> int:
        """Number of processes for `processCountPerNode: auto`: one per GPU, else per whole core, at least one."""
        amounts: Mapping[str, str] = {**self.requests, **self.limits}
        return self.gpus or self.machine_cores or max(1, int(amount(amounts.get("cpu", "1"))))


def node_shape(document: Document[ComputeCluster]) -> NodeShape:
    """Return the shape of a ComputeCluster's nodes; raise InvalidDocuments for an unknown machine size."""
    spec = document.resource.spec
    resources = spec.resources or ResourceRequirements()
    requests, limits, gpus, machine_cores = dict(resources.requests), dict(resources.limits), 0, 0
    if spec.vm_size is not None:
        size = vm_sizes.find(spec.vm_size)
        if size is None:
            near = vm_sizes.nearest(spec.vm_size)
            rule = "is an unknown machine size; set spec.resources instead" + (
                f", or a size such as {listed(near)}" if near else ""
            )
            raise InvalidDocuments([document.wrong("spec.vmSize", spec.vm_size, rule)])
        requests, gpus, machine_cores = vm_sizes.requests(size), size.gpus, int(size.cores)
    resource_name = spec.gpu.resource_name if spec.gpu else GPU
    if spec.gpu or gpus:
        gpus = spec.gpu.count if spec.gpu else gpus
        limits[resource_name] = str(gpus)
    return NodeShape(
        compute=document.name,
        requests=requests,
        limits=limits,
        gpus=int(amount(limits.get(resource_name, "0"))),
        machine_cores=machine_cores,
        low_priority=spec.vm_priority == "lowpriority",
        node_selector=dict(spec.node_selector),
        tolerations=tuple(each.model_dump(by_alias=True, exclude_none=True) for each in spec.tolerations),
        queue=spec.queue_name or "",
        template=spec.pod_template.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    )


def amount(text: str) -> float:
    """Parse a Kubernetes quantity, such as 2, 500m or 100Gi; return its number in base units."""
    digits = text.rstrip("numkKMGTPEi")
    return float(digits) * _FACTORS[text.removeprefix(digits)]
