"""What whoever installs the operator decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LowPriority:
    """What the pods of lowpriority nodes get besides."""

    priority_class_name: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Settings:
    """The environment contract of the operator."""

    image: str  # of coordinators and agents: the operator's own
    pull_policy: str = "IfNotPresent"
    host_paths: bool = False  # whether Datastores may lie on folders of the nodes: for tests and single machines
    placeholder_priority_class: str = ""  # PriorityClass below all others: placeholders yield to whatever needs room
    low_priority: LowPriority = LowPriority()
    image_pull_secrets: tuple[str, ...] = ()

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Settings:
        """Read LONGSHORE_IMAGE, LONGSHORE_PULL_POLICY and LONGSHORE_HOST_PATHS. Raises KeyError without an image."""
        return Settings(
            image=environment["LONGSHORE_IMAGE"],
            pull_policy=environment.get("LONGSHORE_PULL_POLICY", "IfNotPresent"),
            host_paths=environment.get("LONGSHORE_HOST_PATHS", "") == "true",
        )
