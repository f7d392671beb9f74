"""Settings of the operator, read from environment variables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore_planner.cluster.environments import DefaultImages

_TOLERATION: Mapping[str, tuple[type, frozenset[Any]]] = {  # key -> type, the values it may have; empty: any
    "key": (str, frozenset()),
    "operator": (str, frozenset({"Exists", "Equal"})),
    "value": (str, frozenset()),
    "effect": (str, frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})),
    "tolerationSeconds": (int, frozenset()),
}
_SECONDS = re.compile(r"\d{1,9}")
_AMOUNT = re.compile(r"[1-9]\d{0,8}(\.\d{1,3})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")


class InvalidSettings(ValueError):
    """An environment variable is missing or invalid; the message names it and the rule."""


@dataclass(frozen=True)
class LowPriority:
    """Settings of workers of ComputeClusters with `vmPriority: lowpriority`."""

    priority_class_name: str = ""  # empty: the cluster's default
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()  # each as a pod has it

    @staticmethod
    def from_json(text: str) -> LowPriority:
        """Read {"priorityClassName": "...", "nodeSelector": {...}, "tolerations": [...]}, of which each may be absent.

        Raises ValueError.
        """
        raw = json.loads(text)
        if not isinstance(raw, dict):
            raise ValueError("must be an object")  # noqa: TRY004  (one kind of error for all that is wrong)
        if unknown := sorted(raw.keys() - {"priorityClassName", "nodeSelector", "tolerations"}):
            raise ValueError(f"has an unknown field: {unknown[0]}")
        name, selector = raw.get("priorityClassName", ""), raw.get("nodeSelector", {})
        tolerations = raw.get("tolerations", [])
        if not isinstance(name, str):
            raise ValueError(f"priorityClassName must be a string, not {name!r}")  # noqa: TRY004
        if not isinstance(selector, dict) or not all(isinstance(each, str) for each in selector.values()):
            raise ValueError(f"nodeSelector must be an object of strings, not {selector!r}")
        if not isinstance(tolerations, list):
            raise ValueError(f"tolerations must be a list, not {tolerations!r}")  # noqa: TRY004
        for each in tolerations:
            _check_toleration(each)
        return LowPriority(name, selector, tuple(tolerations))


@dataclass(frozen=True)
class Settings:
    """The operator's environment: each field is the variable of its name in capitals, after LONGSHORE_.

    What stands below each field is its description on the documentation site.
    """

    image: str
    """Image of coordinators and agents, which is the operator's own."""
    pull_policy: str = "IfNotPresent"
    """When nodes pull that image: `Always`, `IfNotPresent` or `Never`."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of the Secrets that nodes pull that image with, separated by commas; needed in each step's namespace."""
    host_paths: bool = False
    """`true` lets Datastores be folders of the nodes: for tests and single machines."""
    placeholder_priority_class: str = ""
    """PriorityClass of the pods that keep a ComputeCluster's nodes; empty: the cluster's default."""
    low_priority: LowPriority = field(default_factory=LowPriority)
    """Settings of workers with `vmPriority: lowpriority`: a JSON object with `priorityClassName`, `nodeSelector` and
    `tolerations`, each optional."""
    scratch_size_limit: str = "100Gi"
    """Size limit of each folder of a pod's own on the disk of its node. A pod that exceeds it is evicted."""
    coordinator_memory: str = "256Mi"
    """Memory that a coordinator requests; `make bench-finish` measures what it needs."""
    coordinator_memory_limit: str = "2Gi"
    """Memory limit of a coordinator."""
    missing_reference_grace_seconds: int = 600
    """Seconds that a step or run waits for an object that it refers to and that does not exist, before it fails."""
    default_image: str = ""
    """Image of scripts whose Environment names none. Without one, such an Environment is refused."""
    default_gpu_image: str = ""
    """The same on nodes with GPUs; if not given, the default image."""
    builder_memory: str = "512Mi"
    """Memory that the container which installs packages requests."""
    builder_memory_limit: str = "4Gi"
    """Memory limit of the container which installs packages."""
    agent_memory_limit: str = "2Gi"
    """Memory limit of each other container that runs Longshore's image in the pods of steps."""

    @property
    def default_images(self) -> DefaultImages:
        """Images of Environments that name none."""
        return DefaultImages(self.default_image, self.default_gpu_image)

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Settings:
        """Read the variables. Raises InvalidSettings."""
        image = environment.get("LONGSHORE_IMAGE", "")
        if not image:
            raise InvalidSettings("LONGSHORE_IMAGE is missing: it must be the image of coordinators and agents")
        secrets = environment.get("LONGSHORE_IMAGE_PULL_SECRETS", "").split(",")
        try:
            low_priority = LowPriority.from_json(environment.get("LONGSHORE_LOW_PRIORITY") or "{}")
        except ValueError as error:
            raise InvalidSettings(f"LONGSHORE_LOW_PRIORITY is invalid: {error}") from error
        return Settings(
            image=image,
            pull_policy=_one_of(environment, "LONGSHORE_PULL_POLICY", "IfNotPresent", "Always", "Never"),
            image_pull_secrets=tuple(filter(None, map(str.strip, secrets))),
            host_paths=_one_of(environment, "LONGSHORE_HOST_PATHS", "false", "true") == "true",
            placeholder_priority_class=environment.get("LONGSHORE_PLACEHOLDER_PRIORITY_CLASS", ""),
            low_priority=low_priority,
            scratch_size_limit=_amount(environment, "LONGSHORE_SCRATCH_SIZE_LIMIT", Settings.scratch_size_limit),
            coordinator_memory=_amount(environment, "LONGSHORE_COORDINATOR_MEMORY", Settings.coordinator_memory),
            coordinator_memory_limit=_amount(
                environment, "LONGSHORE_COORDINATOR_MEMORY_LIMIT", Settings.coordinator_memory_limit
            ),
            missing_reference_grace_seconds=_seconds(
                environment, "LONGSHORE_MISSING_REFERENCE_GRACE_SECONDS", Settings.missing_reference_grace_seconds
            ),
            default_image=environment.get("LONGSHORE_DEFAULT_IMAGE", ""),
            default_gpu_image=environment.get("LONGSHORE_DEFAULT_GPU_IMAGE", ""),
            builder_memory=_amount(environment, "LONGSHORE_BUILDER_MEMORY", Settings.builder_memory),
            builder_memory_limit=_amount(environment, "LONGSHORE_BUILDER_MEMORY_LIMIT", Settings.builder_memory_limit),
            agent_memory_limit=_amount(environment, "LONGSHORE_AGENT_MEMORY_LIMIT", Settings.agent_memory_limit),
        )


def _one_of(environment: Mapping[str, str], name: str, *allowed: str) -> str:
    """Return a variable's value, the first of those allowed when it is absent or empty."""
    value = environment.get(name) or allowed[0]
    if value not in allowed:
        raise InvalidSettings(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")
    return value


def _amount(environment: Mapping[str, str], name: str, default: str) -> str:
    """Return a variable's value, an amount of bytes as Kubernetes has it."""
    value = environment.get(name) or default
    if not _AMOUNT.fullmatch(value):
        raise InvalidSettings(f"{name} is {value!r}: it must be an amount of bytes, such as 100Gi")
    return value


def _seconds(environment: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable's value, a whole number of seconds."""
    value = environment.get(name) or str(default)
    if not _SECONDS.fullmatch(value):
        raise InvalidSettings(f"{name} is {value!r}: it must be a whole number of seconds, such as {default}")
    return int(value)


def _check_toleration(raw: Any) -> None:
    if not isinstance(raw, dict):
        raise ValueError(f"each of tolerations must be an object, not {raw!r}")  # noqa: TRY004
    for key, value in raw.items():
        if key not in _TOLERATION:
            raise ValueError(f"tolerations has an unknown field: {key}")
        type_, allowed = _TOLERATION[key]
        if type(value) is not type_ or (allowed and value not in allowed):
            rule = f"one of {', '.join(sorted(allowed))}" if allowed else f"of type {type_.__name__}"
            raise ValueError(f"{key} of tolerations must be {rule}, not {value!r}")
