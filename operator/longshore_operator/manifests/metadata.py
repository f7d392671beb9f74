"""Metadata of every object that the operator creates: who owns it, and the labels by which it is found."""

from __future__ import annotations

from collections.abc import Mapping

from kubernetes.client import V1ConfigMap, V1ObjectMeta, V1OwnerReference

from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject


def metadata(owner: Subject, name: str, labels: Mapping[str, str]) -> V1ObjectMeta:
    """Return the metadata of an object that is deleted with its owner, in whose namespace it is."""
    reference = V1OwnerReference(
        api_version=names.API_VERSION, kind=owner.kind, name=owner.name, uid=owner.uid, controller=True
    )
    return V1ObjectMeta(
        name=name,
        namespace=owner.namespace,
        labels={**labels, names.MANAGED_BY: names.MANAGER},
        owner_references=[reference],
    )


def immutable_map(
    about: V1ObjectMeta, data: Mapping[str, str] | None, binary: Mapping[str, str] | None = None
) -> V1ConfigMap:
    """Return a ConfigMap that is never changed; `binary` is base64."""
    return V1ConfigMap(
        api_version="v1",
        kind="ConfigMap",
        metadata=about,
        immutable=True,
        data=dict(data) if data else None,
        binary_data=dict(binary) if binary else None,
    )
