"""Workspace: a folder beside the script or notebook, with everything that was registered and run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import yaml

import longshore
from longshore_azureml.compute import AmlCompute
from longshore_azureml.dataset_factories import Dataset, registered_names
from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DEFAULT, AbstractDatastore, Datastore
from longshore_azureml.environments import Environment
from longshore_azureml.errors import ProjectSystemException, UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.models import Model
from longshore_azureml.records import Records
from longshore_azureml.unsupported import Supported, refuse

VARIABLE = "LONGSHORE_WORKSPACE"  # the folder of the workspace, instead of the current one
FOLDER = ".longshore"
_CONFIG = ("config.json", ".azureml/config.json", "aml_config/config.json")
_NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"

T = TypeVar("T")


class Named(Mapping[str, T]):
    """Objects of a workspace by name; each is read when it is asked for."""

    def __init__(self, names: Callable[[], Iterator[str]], get: Callable[[str], T]) -> None:
        self._names, self._get = names, get

    def __getitem__(self, name: str) -> T:
        if name not in list(self._names()):
            raise KeyError(name)
        return self._get(name)

    def __iter__(self) -> Iterator[str]:
        return self._names()

    def __len__(self) -> int:
        return len(list(self._names()))

    def __repr__(self) -> str:
        return repr(dict(self))


@checked
class Workspace(Supported):
    """A local workspace. Subscription, resource group and location are mere texts.

    Its folder is `.longshore` in the folder that LONGSHORE_WORKSPACE names, or in the current one.
    """

    def __init__(
        self,
        subscription_id: str,
        resource_group: str,
        workspace_name: str,
        auth: Any = None,
        _location: str | None = None,
        _disable_service_check: bool = False,
        _workspace_id: str | None = None,
        sku: str = "basic",
        tags: Mapping[str, str] | None = None,
        _cloud: str = "AzureCloud",
    ) -> None:
        self.subscription_id = str(subscription_id)
        self.resource_group = str(resource_group)
        self.name = str(workspace_name)
        self.location = _location or "local"
        self.sku = sku
        self.tags = dict(tags or {})
        root = os.path.abspath(os.environ.get(VARIABLE) or os.getcwd())
        self.native = longshore.Workspace.local(root)
        self.folder = os.path.join(root, FOLDER)

    def __repr__(self) -> str:
        return (
            f"Workspace.create(name={self.name!r}, subscription_id={self.subscription_id!r}, "
            f"resource_group={self.resource_group!r})"
        )

    @staticmethod
    def from_config(
        path: str | None = None, auth: Any = None, _logger: Any = None, _file_name: str | None = None
    ) -> Workspace:
        """Return the workspace of a config.json in `path`, the current folder or one above; names only.

        Without such a file, the names are placeholders. Raises ProjectSystemException for a file that cannot be read.
        """
        file = _config_file(path, _file_name)
        if file is None:
            return Workspace(_NO_SUBSCRIPTION, "local", "local")
        try:
            with open(file, encoding="utf-8") as opened:
                found = json.load(opened)
            return Workspace(
                found.get("subscription_id", _NO_SUBSCRIPTION),
                found.get("resource_group", "local"),
                found["workspace_name"],
            )
        except (OSError, ValueError, KeyError) as error:
            raise ProjectSystemException(
                f'"{file}" cannot be read as the configuration of a workspace ({error}); write workspace_name, '
                "subscription_id and resource_group into it, or delete it."
            ) from None

    @staticmethod
    def get(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: str | None = None,
    ) -> Workspace:
        """Return the workspace with these names."""
        return Workspace(subscription_id or _NO_SUBSCRIPTION, resource_group or "local", name, _location=location)

    @staticmethod
    def create(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: Mapping[str, str] | None = None,
        friendly_name: str | None = None,
        storage_account: str | None = None,
        key_vault: str | None = None,
        app_insights: str | None = None,
        container_registry: str | None = None,
        default_cpu_compute_target: Any = None,
        default_gpu_compute_target: Any = None,
        exist_ok: bool = False,
        show_output: bool = True,
    ) -> Workspace:
        """Return the local workspace with these names, which exists always; `exist_ok` must be True.

        Raises:
            NotSupportedException: `exist_ok` is False.
        """
        if not exist_ok:
            refuse("Workspace.create", hint="a local workspace exists already: set exist_ok=True; for a cluster, "
                   "kubectl create namespace")  # fmt: skip
        return Workspace.get(name, auth, subscription_id, resource_group, location)

    def write_config(self, path: str | None = None, file_name: str | None = None) -> None:
        """Write the names to .azureml/config.json below `path`, the current folder if not given."""
        file = os.path.join(path or ".", ".azureml", file_name or "config.json")
        os.makedirs(os.path.dirname(file), exist_ok=True)
        names = ("subscription_id", "resource_group")
        with open(file, "w", encoding="utf-8") as opened:
            json.dump({**{name: getattr(self, name) for name in names}, "workspace_name": self.name}, opened, indent=4)

    def get_details(self) -> dict[str, Any]:
        """Return the names and the folder of the workspace."""
        return {
            "id": self.folder,
            "name": self.name,
            "location": self.location,
            "type": "longshore.dev/local",
            "tags": self.tags,
            "sku": self.sku,
            "workspaceid": self.folder,
            "resourceGroup": self.resource_group,
            "subscriptionId": self.subscription_id,
        }

    def records(self, kind: str) -> Records:
        """Return what the workspace remembers of one kind."""
        return Records(self.folder, kind)

    def account_uri(self, account: str, container: str) -> str | None:
        """Return the location that replaces a container of a storage account; None if the account is Azure's.

        The file accounts.yaml in the workspace's folder maps storage accounts to folders, relative to that of the
        script, or to URLs. Each has one folder per container.
        """
        try:
            with open(os.path.join(self.folder, "accounts.yaml"), encoding="utf-8") as file:
                base = (yaml.safe_load(file) or {}).get(account)
        except FileNotFoundError:
            return None
        if base is None or "://" in base:
            return None if base is None else f"{base.rstrip('/')}/{container}"
        return os.path.normpath(os.path.join(os.path.dirname(self.folder), base, container))

    @property
    def default_datastore_name(self) -> str:
        """The name of the default datastore."""
        return str(self.records("settings").get("default_datastore", {}).get("name", DEFAULT))

    @property
    def default_store(self) -> str:
        """The folder of the default datastore."""
        return os.path.join(self.folder, "datastore")

    def get_default_datastore(self) -> AbstractDatastore:
        """Return the default datastore."""
        return Datastore.get_default(self)

    def set_default_datastore(self, name: str) -> None:
        """Make a datastore the default one. Raises UserErrorException if there is none of this name."""
        Datastore.get(self, name)
        self.records("settings").put("default_datastore", {"name": name})

    @property
    def datastores(self) -> Mapping[str, AbstractDatastore]:
        """The datastores by name."""
        names = self.records("datastores")
        return Named(lambda: iter(dict.fromkeys([*names, DEFAULT])), lambda name: Datastore.get(self, name))

    @property
    def datasets(self) -> Mapping[str, AbstractDataset]:
        """The latest version of each registered dataset, by name."""
        return Named(lambda: iter(registered_names(self)), lambda name: Dataset.get_by_name(self, name))

    @property
    def compute_targets(self) -> Mapping[str, AmlCompute]:
        """The compute targets by name."""
        return Named(lambda: iter(self.records("computes")), lambda name: AmlCompute(self, name))

    @property
    def environments(self) -> Mapping[str, Environment]:
        """The registered environments by name; Azure's curated ones are found, but not listed."""
        return _Environments(lambda: iter(self.records("environments")), lambda name: Environment.get(self, name))

    @property
    def models(self) -> Mapping[str, Model]:
        """The latest version of each model, by name."""
        return {each.name: each for each in Model.list(self, latest=True)}

    @property
    def experiments(self) -> Mapping[str, Any]:
        """The experiments by name."""
        from longshore_azureml.experiments import Experiment

        return Named(lambda: iter(self.records("experiments")), lambda name: Experiment(self, name))

    def get_default_keyvault(self) -> Keyvault:
        """Return the secrets of this process's environment."""
        return Keyvault()


class _Environments(Named[Environment]):
    def __getitem__(self, name: str) -> Environment:
        try:
            return self._get(name)
        except UserErrorException:
            raise KeyError(name) from None


@checked
class Keyvault(Supported):
    """Secrets: environment variables of this process."""

    def get_secret(self, name: str) -> str:
        """Return the environment variable of this name, with "_" for "-". Raises UserErrorException."""
        variable = name.replace("-", "_")
        value = os.environ.get(name) or os.environ.get(variable) or os.environ.get(variable.upper())
        if value is None:
            raise UserErrorException(
                f'Secret "{name}" does not exist; set the environment variable {variable.upper()}, or read a Secret '
                "of Kubernetes."
            )
        return value

    def set_secret(self, name: str, value: str) -> None:
        """Raise NotSupportedException: secrets are environment variables, or Secrets of Kubernetes."""
        refuse("Keyvault.set_secret", hint="set an environment variable, or create a Secret with kubectl")


def _config_file(path: str | None, file_name: str | None) -> str | None:
    """Return the configuration at a path, or in a folder or one above; None if there is none."""
    if path is not None and os.path.isfile(path):
        return path
    start = os.path.abspath(path or ".")
    candidates = _CONFIG if file_name is None else (file_name, f".azureml/{file_name}")
    while True:
        for each in candidates:
            if os.path.isfile(os.path.join(start, each)):
                return os.path.join(start, each)
        if os.path.dirname(start) == start:
            return None
        start = os.path.dirname(start)
