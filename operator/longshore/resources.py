"""What steps run on and with: ComputeClusters, Environments and Models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from longshore.data import Datastore
from longshore.resource import Folder, Integer, Resource, Text
from longshore.values import Parameter


@dataclass(frozen=True, eq=False)
class ComputeCluster(Resource):
    """A pool of nodes, which are pods, that steps share; in a local run, `max_nodes` limits the workers.

    Mappings have the fields of the kind, in snake case; those of Kubernetes' own objects, such as an affinity, have
    Kubernetes' names.

    Example:
        ComputeCluster("cpu", resources={"requests": {"cpu": 2, "memory": "4Gi"}}, max_nodes=4)
    """

    kind: ClassVar[str] = "ComputeCluster"

    name: str
    _: KW_ONLY
    vm_size: Text | None = None
    resources: Mapping[str, Mapping[str, str | float]] | None = None
    gpu: Mapping[str, Any] | None = None
    vm_priority: Literal["dedicated", "lowpriority"] | Parameter | None = None
    min_nodes: Integer | None = None
    max_nodes: Integer | None = None
    idle_seconds_before_scale_down: Integer | None = None
    node_selector: Mapping[str, str] | None = None
    tolerations: Sequence[Mapping[str, Any]] | None = None
    queue_name: Text | None = None
    pod_template: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Environment(Resource):
    """Image, interpreter, packages and environment variables of scripts.

    `packages` are requirement lines, or a mapping with the fields of the kind, in snake case.

    Example:
        Environment("scoring", packages=["scikit-learn", "pillow"])
        Environment("scikit", image="registry.example/scikit:1.5", variables={"OMP_NUM_THREADS": "1"})
    """

    kind: ClassVar[str] = "Environment"

    name: str
    _: KW_ONLY
    image: Text | None = None
    variables: Mapping[str, str] | None = None
    python: Folder | None = None
    packages: Sequence[str] | Mapping[str, Any] | None = None

    def to_spec(self) -> dict[str, Any]:
        given = self.packages
        lines = given is not None and not isinstance(given, Mapping)
        return self.fields_of(self.spec_model(), {"packages": {"pip": given} if lines else given})


@dataclass(frozen=True, eq=False)
class Model(Resource):
    """One version of a file or folder that scripts look up by name.

    `model_name` is the name that scripts use: `name`, if not given.

    Example:
        Model("mnist-2", "models/mnist/2", model_name="mnist", version=2)
    """

    kind: ClassVar[str] = "Model"
    renamed: ClassVar[Mapping[str, str]] = {"name": "model_name"}

    name: str
    path: Folder
    _: KW_ONLY
    model_name: Text | None = None
    version: Integer | None = None
    description: str | None = None
    tags: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    datastore: str | Datastore | Parameter | None = None
