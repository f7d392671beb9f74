"""Compute targets: each is a ComputeCluster, which limits the number of workers in a local workspace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.errors import ComputeTargetException
from longshore_azureml.keywords import checked
from longshore_azureml.names import resource_name
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

_IDLE_SECONDS = 1800


class AmlComputeProvisioningConfiguration(Supported):
    """Settings of a compute target. Numbers may be texts, as environment variables are."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)


class ScaleSettings(Supported):
    """Number of nodes."""

    def __init__(self, minimum: int, maximum: int, idle_seconds: int) -> None:
        self.minimum_node_count = minimum
        self.maximum_node_count = maximum
        self.idle_seconds_before_scaledown = idle_seconds

    def serialize(self) -> dict[str, Any]:
        """Return the settings as Azure ML shows them."""
        return {
            "minNodeCount": self.minimum_node_count,
            "maxNodeCount": self.maximum_node_count,
            "nodeIdleTimeBeforeScaleDown": f"PT{self.idle_seconds_before_scaledown}S",
        }


class AmlComputeStatus(Supported):
    """State of a compute target."""

    def __init__(self, target: AmlCompute) -> None:
        self.scale_settings = target.scale_settings
        self.vm_size, self.vm_priority = target.vm_size, target.vm_priority
        self.provisioning_state = "Succeeded"
        self.allocation_state = "Steady"
        self.current_node_count = self.target_node_count = self.scale_settings.minimum_node_count
        self.errors: list[Any] | None = None
        self.creation_time = self.modified_time = datetime.fromtimestamp(target.created, UTC)

    def serialize(self) -> dict[str, Any]:
        """Return the state as Azure ML shows it."""
        created = self.creation_time.isoformat()
        names = ("preparing", "running", "idle", "unusable", "leaving", "preempted")
        return {
            "currentNodeCount": self.current_node_count,
            "targetNodeCount": self.target_node_count,
            "nodeStateCounts": {f"{name}NodeCount": 0 for name in names},
            "allocationState": self.allocation_state,
            "allocationStateTransitionTime": created,
            "errors": self.errors,
            "creationTime": created,
            "modifiedTime": created,
            "provisioningState": self.provisioning_state,
            "provisioningStateTransitionTime": None,
            "scaleSettings": self.scale_settings.serialize(),
            "vmPriority": self.vm_priority,
            "vmSize": self.vm_size,
        }


@checked
class ComputeTarget(Supported):
    """A compute target. `ComputeTarget(workspace, name)` finds one, `ComputeTarget.create` makes one."""

    type = "AmlCompute"

    def __new__(cls, workspace: Workspace, name: str) -> Any:
        """Return the compute target of this name. Raises ComputeTargetException if there is none."""
        return object.__new__(AmlCompute)

    @staticmethod
    def create(
        workspace: Workspace, name: str, provisioning_configuration: AmlComputeProvisioningConfiguration
    ) -> AmlCompute:
        """Register a compute target in the workspace; return it. Raises ComputeTargetException."""
        if not isinstance(provisioning_configuration, AmlComputeProvisioningConfiguration):
            raise ComputeTargetException(
                "provisioning_configuration must be a result of AmlCompute.provisioning_configuration()."
            )
        record = {**provisioning_configuration.settings, "created": datetime.now(UTC).timestamp()}
        _native(name, record)  # raises for settings that break a rule
        workspace.records("computes").put(name, record)
        return AmlCompute(workspace, name)

    @staticmethod
    def list(workspace: Workspace) -> list[AmlCompute]:
        """Return the compute targets of the workspace."""
        return list(workspace.compute_targets.values())


@checked
class AmlCompute(ComputeTarget):
    """A compute target: in Longshore, a ComputeCluster."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        records = workspace.records("computes")
        if name not in records:
            known = ", ".join(records) or "none"
            raise ComputeTargetException(
                f'ComputeTargetNotFound: compute target "{name}" does not exist in workspace "{workspace.name}"; its '
                f"compute targets are: {known}."
            )
        record = records[name]
        self.workspace = workspace
        self.name = name
        self.vm_size: str = record["vm_size"]
        self.vm_priority: str = record["vm_priority"]
        self.created: float = record["created"]
        self.scale_settings = ScaleSettings(record["min_nodes"], record["max_nodes"], record["idle_seconds"])
        self.provisioning_state = "Succeeded"
        self.provisioning_errors = None
        self.cluster_resource_id = f"longshore/{workspace.name}/{name}"
        self.tags: dict[str, str] = record["tags"]
        self.description: str | None = record["description"]
        self._record = record

    def __repr__(self) -> str:
        return f"AmlCompute(workspace={self.workspace!r}, name={self.name!r})"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        vm_priority: str = "dedicated",
        min_nodes: int | str = 0,
        max_nodes: int | str | None = None,
        idle_seconds_before_scaledown: int | str | None = None,
        admin_username: str | None = None,
        admin_user_password: str | None = None,
        admin_user_ssh_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: str | None = None,
        identity_id: Any = None,
        location: str | None = None,
        enable_node_public_ip: bool = True,
    ) -> AmlComputeProvisioningConfiguration:
        """Return settings of a compute target. Those of networks and accounts are ignored.

        Raises:
            ComputeTargetException: A number is none.
        """
        return AmlComputeProvisioningConfiguration(
            {
                "vm_size": vm_size,
                "vm_priority": vm_priority.lower(),
                "min_nodes": _number("min_nodes", min_nodes),
                "max_nodes": 4 if max_nodes is None else _number("max_nodes", max_nodes),
                "idle_seconds": _IDLE_SECONDS
                if idle_seconds_before_scaledown is None
                else _number("idle_seconds_before_scaledown", idle_seconds_before_scaledown),
                "tags": dict(tags or {}),
                "description": description,
            }
        )

    def wait_for_completion(
        self,
        show_output: bool = False,
        min_node_count: int | None = None,
        timeout_in_minutes: float = 25,
        is_delete_operation: bool = False,
    ) -> None:
        """Return at once: a local workspace has no nodes to wait for."""
        if show_output:
            print("Succeeded\nAmlCompute wait for completion finished\n")
            if min_node_count is None:
                print("Minimum number of nodes requested have been provisioned")

    def get_status(self) -> AmlComputeStatus:
        """Return the state."""
        return AmlComputeStatus(self)

    @property
    def status(self) -> AmlComputeStatus:
        """The state."""
        return self.get_status()

    def refresh_state(self) -> None:
        """Do nothing: the state is read when it is asked for."""

    def serialize(self) -> dict[str, Any]:
        """Return the compute target as Azure ML shows it."""
        inner = {
            "vmSize": self.vm_size,
            "vmPriority": self.vm_priority,
            "scaleSettings": self.scale_settings.serialize(),
            "provisioningState": self.provisioning_state,
        }
        properties = {"computeType": self.type, "properties": inner, "provisioningState": self.provisioning_state}
        return {"id": self.cluster_resource_id, "name": self.name, "tags": self.tags, "properties": properties}

    def update(
        self,
        min_nodes: int | str | None = None,
        max_nodes: int | str | None = None,
        idle_seconds_before_scaledown: int | str | None = None,
    ) -> None:
        """Change the number of nodes. Raises ComputeTargetException."""
        given = {"min_nodes": min_nodes, "max_nodes": max_nodes, "idle_seconds": idle_seconds_before_scaledown}
        changes = {name: _number(name, value) for name, value in given.items() if value is not None}
        record = {**self._record, **changes}
        _native(self.name, record)
        self.workspace.records("computes").put(self.name, record)
        self.__init__(self.workspace, self.name)  # type: ignore[misc]  # the new record

    def delete(self) -> None:
        """Remove the compute target from the workspace."""
        self.workspace.records("computes").remove(self.name)

    def native(self) -> longshore.ComputeCluster:
        """Return the ComputeCluster document."""
        return _native(self.name, self._record)


def _native(name: str, record: Mapping[str, Any]) -> longshore.ComputeCluster:
    try:
        return longshore.ComputeCluster(
            resource_name(name),
            vm_size=record["vm_size"] or None,
            vm_priority=record["vm_priority"],
            min_nodes=record["min_nodes"],
            max_nodes=record["max_nodes"],
            idle_seconds_before_scale_down=record["idle_seconds"],
        )
    except longshore.InvalidArgument as error:
        raise ComputeTargetException(str(error)) from None


def _number(name: str, value: float | str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ComputeTargetException(f"{name} is {value!r}: it must be a whole number.") from None
