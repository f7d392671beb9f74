"""Base models of all custom resources: field spelling, API version and metadata."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import VERSION, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from longshore_api.values import ResourceName

API_VERSION = "longshore.dev/v1alpha1"
# Validators are built at first use: a command needs few of them. Before 2.14, pydantic builds them without a lock, and
# a second thread may then take the validator of a parent class.
DEFER_BUILD = tuple(map(int, VERSION.split(".")[:2])) >= (2, 14)


class Fields(BaseModel):
    """Fields that a user writes, in camelCase; an unknown field is an error, so that no typo passes silently."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        defer_build=DEFER_BUILD,
        protected_namespaces=(),
    )


def keyed_by(name: str) -> dict[str, Any]:
    """Return the schema extensions of a list whose elements the field `name` identifies, for merges by Kubernetes."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}


class Metadata(Fields):
    """The fields of Kubernetes' object metadata that a manifest sets."""

    name: ResourceName
    """Unique among the resources of its kind."""
    namespace: ResourceName | None = None
    """Namespace of the cluster; ignored by local runs."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Kubernetes labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Kubernetes annotations."""


class Resource(Fields):
    """A custom resource of the group longshore.dev."""

    api_version: Literal["longshore.dev/v1alpha1"]
    """Group and version."""
    kind: str
    """Kind of the resource."""
    metadata: Metadata
    """Name, namespace, labels and annotations."""


class NameRef(Fields):
    """Reference to a resource in the same namespace; the referring field defines its kind."""

    name: ResourceName
    """Name of the resource."""
