"""Nodes of a ComputeCluster: their resources, the placement of their pods, and additions to these pods."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields, NameRef, keyed_by
from longshore_api.values import FilledString, FreeForm, Quantity, ResourceName, Whole, broken

_VOLUMES = ("emptyDir", "configMap", "persistentVolumeClaim")
_UNCONFINED = ("container.apparmor.security.beta.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/")
# Names of the volumes that every pod with a script has, besides those of Datastores.
_OURS = ("authority", "hidden", "packages", "run", "scratch", "source", "staged", "work")


class ResourceRequirements(Fields):
    """Resources of one node, as in a Kubernetes container."""

    requests: dict[str, Quantity] = Field(default_factory=dict)
    """Reserved amounts, such as `{cpu: 2, memory: 4Gi}`."""
    limits: dict[str, Quantity] = Field(default_factory=dict)
    """Upper limits, such as `{memory: 4Gi, nvidia.com/gpu: 1}`."""


class GpuRequest(Fields):
    """The GPUs of one node."""

    count: Annotated[int, Whole(1)]
    """Number of GPUs; they are divided among the processes of the node's worker."""
    resource_name: FilledString = "nvidia.com/gpu"
    """Resource name that the cluster's device plugin uses."""


class Toleration(Fields):
    """Toleration of a taint of nodes, as in a Kubernetes pod."""

    key: str | None = None
    """Key of the taint; any if not given."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How key and value are compared."""
    value: str | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; any if not given."""
    toleration_seconds: Annotated[int, Whole(0)] | None = None
    """Seconds for which a NoExecute taint is tolerated; without limit if not given."""


class TemplateMetadata(Fields):
    """Additions to the metadata of worker pods."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels; those that Longshore sets take precedence."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""

    @model_validator(mode="after")
    def _not_ours(self) -> Self:
        ours = next((each for each in self.labels if each.startswith("longshore.dev/")), None)
        if ours is not None:
            raise broken(f"must not have {ours}: labels of longshore.dev are Longshore's own", field="labels")
        loose = next((each for each in self.annotations if each.startswith(_UNCONFINED)), None)
        if loose is not None:
            raise broken(f"must not have {loose}: it could lift a container's confinement", field="annotations")
        return self


class TemplateContainer(Fields):
    """Additions to a container of worker pods."""

    name: Literal["main"]
    """`main`, which runs the entry script."""
    volume_mounts: list[FreeForm] = Field(default_factory=list)
    """Mounts of the template's volumes, such as `{name: shm, mountPath: /dev/shm}`."""


class TemplateSpec(Fields):
    """Additions to the spec of worker pods: only fields that keep a pod within Pod Security's level `restricted`."""

    affinity: FreeForm | None = None
    """Affinity, as in a pod."""
    topology_spread_constraints: list[FreeForm] = Field(default_factory=list)
    """Topology spread constraints, as in a pod."""
    priority_class_name: ResourceName | None = None
    """PriorityClass of the pods; replaces the one of lowpriority nodes."""
    runtime_class_name: ResourceName | None = None
    """RuntimeClass of the pods."""
    scheduler_name: ResourceName | None = None
    """Scheduler of the pods."""
    image_pull_secrets: list[NameRef] = Field(default_factory=list)
    """Secrets to pull the environment's image with."""
    volumes: list[FreeForm] = Field(default_factory=list)
    """Volumes for `main`: emptyDir, configMap or persistentVolumeClaim, as in a pod."""
    containers: Annotated[list[TemplateContainer], Field(json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
    """Additions to `main`."""

    @model_validator(mode="after")
    def _volumes_are_harmless(self) -> Self:
        for index, volume in enumerate(self.volumes):
            kinds = volume.keys() - {"name"}
            if "name" not in volume or len(kinds) != 1 or not kinds <= set(_VOLUMES):
                raise broken(
                    f"must have a name and one of emptyDir, configMap and persistentVolumeClaim; "
                    f"volume {index} has {', '.join(sorted(map(str, volume))) or 'nothing'}",
                    field="volumes",
                )
            if volume["name"] in _OURS or str(volume["name"]).startswith("data-"):
                raise broken(f"must have other names: worker pods have a volume {volume['name']}", field="volumes")
        return self

    @model_validator(mode="after")
    def _takes_nothing_of_others(self) -> Self:
        own = [volume.get("name") for volume in self.volumes]
        mounted = [mount.get("name") for container in self.containers for mount in container.volume_mounts]
        others = [name for name in mounted if name not in own]
        if others:
            raise broken(f"must mount volumes of this template only, and {others[0]!r} is none", field="containers")
        if self.priority_class_name is not None and self.priority_class_name.startswith("system-"):
            raise broken(
                "must not begin with system-: such pods displace those of the cluster", field="priorityClassName"
            )
        return self


class PodTemplate(Fields):
    """Additions to the pods that are the nodes."""

    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata)
    """Labels and annotations."""
    spec: TemplateSpec = Field(default_factory=TemplateSpec)
    """Placement of the pods, and volumes."""
