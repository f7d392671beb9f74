"""Reads what observations of all kinds have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from longshore_api.values import INT_MAX
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.pool import is_set, number
from longshore_operator.common.values import Control
from longshore_operator.manifests.subject import Subject

M = TypeVar("M", bound=BaseModel)


def existing(kube: Kube, kind: str, namespace: str, name: str) -> Manifest | None:
    """Return a resource; None when it does not exist or is being deleted. Raises ApiError."""
    raw = kube.read(kind, namespace, name)
    return None if raw is None or "deletionTimestamp" in raw["metadata"] else raw


def observation(raw: Manifest, status: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of an Observation, of a resource whose status has that model."""
    metadata = raw["metadata"]
    return {
        "subject": Subject(raw["kind"], metadata["namespace"], metadata["name"], metadata["uid"]),
        "generation": metadata.get("generation", 1),
        "created": datetime.fromisoformat(metadata["creationTimestamp"]),
        "status": status_of(status, raw),
        "control": control(raw.get("spec", {})),
    }


def status_of(model: type[M], raw: Manifest) -> M | None:
    """Return a resource's status; None where it has none, or one of another version, which is computed again."""
    try:
        return model.model_validate(raw["status"]) if raw.get("status") else None
    except ValidationError:
        return None


def control(spec: Mapping[str, Any]) -> Control:
    """Read what counts at any time, whatever the rest of the spec is: the schema has checked the types.

    It has not checked numbers in strings: one that is out of range deletes nothing.
    """
    ttl = number(spec.get("ttlSecondsAfterFinished"), -1)
    return Control(
        suspend=is_set(spec, "suspend"),
        cancel=is_set(spec, "cancel"),
        ttl_seconds=ttl if 0 <= ttl <= INT_MAX else None,
    )
