"""Datastores: named stores of files, and locations in them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import longshore
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import digest, resource_name
from longshore_azureml.placeholders import Placeholder
from longshore_azureml.unsupported import Supported
from longshore_planner.locations import join
from longshore_storage.store import local_path

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

DEFAULT = "workspaceblobstore"
_DEFAULTS = (DEFAULT, "workspacefilestore")  # names that every workspace of Azure ML has
_URLS = {"AzureBlob": "abfs://{container}@{account}.dfs.core.windows.net/"}


@checked
class AbstractDatastore(Supported):
    """A store of files: a container of a storage account, or a folder in a local workspace."""

    def __init__(self, workspace: Workspace, name: str, record: Mapping[str, Any]) -> None:
        self.workspace = workspace
        self.name = name
        self.datastore_type = "AzureBlob"
        self.uri: str = record["uri"]
        self.account_name: str | None = record.get("account_name")
        self.container_name: str | None = record.get("container_name")
        self.is_default = workspace.default_datastore_name == name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, uri={self.uri!r})"

    @property
    def account_key(self) -> str | None:
        """The key that this client registered; None for others."""
        key = self.workspace.records("keys").get(self.name, {}).get("account_key")
        return None if key is None else str(key)

    def path(self, path: str | None = None, data_reference_name: str | None = None) -> DataReference:
        """Return a reference to a file or folder of the datastore."""
        return DataReference(self, data_reference_name, path)

    def as_mount(self) -> DataReference:
        """Return a reference to the whole datastore."""
        return DataReference(self).as_mount()

    def as_download(self, path_on_compute: str | None = None) -> DataReference:
        """Return a reference to the whole datastore, which is copied before the script starts."""
        return DataReference(self).as_download()

    def upload(
        self, src_dir: str, target_path: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> DataReference:
        """Upload all files of a folder; return a reference to the target.

        Raises:
            UserErrorException: The folder does not exist, or a file exists already and `overwrite` is False.
        """
        if not os.path.isdir(src_dir):
            raise UserErrorException(f'src_dir is "{src_dir}": there is no such folder.')
        files = [os.path.join(folder, name) for folder, _, names in os.walk(src_dir) for name in sorted(names)]
        return self.upload_files(files, src_dir, target_path, overwrite, show_progress)

    def upload_files(
        self,
        files: list[str],
        relative_root: str | None = None,
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Upload files; return a reference to the target.

        Args:
            files: Paths of the files.
            relative_root: Folder that the paths below the target are relative to; the files' common one if not given.
            target_path: Folder of the datastore; its root if not given.
            overwrite: Whether to replace existing files; otherwise they are kept, with a note.
            show_progress: Whether to print each file.

        Raises:
            UserErrorException: A file does not exist or is not below `relative_root`.
        """
        system, root = self.file_system()
        paths = [os.path.abspath(each) for each in files]
        base = os.path.abspath(relative_root) if relative_root else _common_folder(paths)
        done = 0
        for path in paths:
            name = os.path.relpath(path, base)
            if name.startswith(os.pardir) or not os.path.isfile(path):
                why = f'is not below relative_root "{base}"' if os.path.isfile(path) else "does not exist"
                raise UserErrorException(f'files: "{path}" {why}.')
            target = join(join(root, target_path or ""), name.replace(os.sep, "/"))
            if not overwrite and system.exists(target):
                self._print(f"Target already exists. Skipping upload for {target_path or ''}/{name}", show_progress)
                continue
            system.makedirs(posixpath.dirname(target), exist_ok=True)
            system.put_file(path, target)
            done += 1
            self._print(f"Uploaded {path}, {done} files out of an estimated total of {len(paths)}", show_progress)
        return DataReference(self, path_on_datastore=target_path)

    def download(
        self, target_path: str, prefix: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> int:
        """Download the files whose paths begin with `prefix`; return their number.

        The files' paths below `target_path` are those in the datastore.
        """
        system, root = self.file_system()
        start = (prefix or "").strip("/")
        count = 0
        for path in sorted(system.find(root)):
            name = posixpath.relpath(path, root)
            local = os.path.join(target_path, name)
            if name.startswith(start) and (overwrite or not os.path.exists(local)):
                os.makedirs(os.path.dirname(local), exist_ok=True)
                system.get_file(path, local)
                count += 1
                self._print(f"Downloaded {name}", show_progress)
        return count

    def file_system(self) -> tuple[Any, str]:
        """Return an fsspec file system and the path of the datastore's root in it.

        Raises ImportError if the package of the store's extra is missing.
        """
        import fsspec

        options: dict[str, Any] = {}
        if self.uri.startswith(("abfs", "az:")):
            key = self.account_key
            options = {"account_name": self.account_name, **({"account_key": key} if key else {"anon": True})}
        system, root = fsspec.core.url_to_fs(self.uri, **options)
        if local_path(self.uri) is not None:
            os.makedirs(root, exist_ok=True)
        return system, root.rstrip("/")

    def native(self) -> longshore.Datastore:
        """Return the Datastore document of this store."""
        return longshore.Datastore(resource_name(self.name), self.uri, default=self.is_default or None)

    def _print(self, text: str, shown: bool) -> None:
        if shown:
            print(text)


class AzureBlobDatastore(AbstractDatastore):
    """A container of Azure Blob Storage, or what replaces it (see `Workspace.accounts`)."""


class AzureDataLakeGen2Datastore(AbstractDatastore):
    """A file system of Azure Data Lake Storage Gen2."""


class AzureFileDatastore(AbstractDatastore):
    """A file share; in Longshore, the default datastore."""


@checked
class Datastore(Supported):
    """Finds and registers the datastores of a workspace. `Datastore(workspace, name)` returns one."""

    def __new__(cls, workspace: Workspace, name: str | None = None) -> Any:
        """Return the datastore of this name, the default one without a name."""
        return cls.get_default(workspace) if name is None else cls.get(workspace, name)

    @staticmethod
    def get_default(workspace: Workspace) -> AbstractDatastore:
        """Return the default datastore."""
        return Datastore.get(workspace, workspace.default_datastore_name)

    @staticmethod
    def get(workspace: Workspace, datastore_name: str) -> AbstractDatastore:
        """Return a datastore. Raises UserErrorException if there is none of this name."""
        records = workspace.records("datastores")
        if datastore_name in records:
            return AzureBlobDatastore(workspace, datastore_name, records[datastore_name])
        if datastore_name in _DEFAULTS:
            return AzureBlobDatastore(workspace, datastore_name, {"uri": workspace.default_store})
        known = ", ".join((*records, DEFAULT))
        raise UserErrorException(
            f'Datastore "{datastore_name}" does not exist in workspace "{workspace.name}"; its datastores are: {known}.'
        )

    @staticmethod
    def register_azure_blob_container(
        workspace: Workspace,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        blob_cache_timeout: int | None = None,
        grant_workspace_access: bool = False,
        subscription_id: str | None = None,
        resource_group: str | None = None,
    ) -> AbstractDatastore:
        """Register a container under a name; return its datastore.

        Without a key, the container is read anonymously. An account in the workspace's accounts.yaml is replaced by the
        location there.

        Raises:
            UserErrorException: The name is registered and `overwrite` is False.
        """
        uri = workspace.account_uri(account_name, container_name)
        if uri is None:
            uri = _URLS["AzureBlob"].format(container=container_name, account=account_name)
        return _register(
            workspace,
            datastore_name,
            {"uri": uri, "account_name": account_name, "container_name": container_name},
            key=account_key,
            overwrite=overwrite,
        )

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Workspace,
        datastore_name: str,
        filesystem: str,
        account_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
    ) -> AbstractDatastore:
        """Register a file system of Data Lake Storage Gen2. Its client takes credentials from the environment."""
        return Datastore.register_azure_blob_container(
            workspace, datastore_name, filesystem, account_name, overwrite=overwrite
        )


def _register(
    workspace: Workspace, name: str, record: dict[str, Any], *, key: str | None, overwrite: bool
) -> AbstractDatastore:
    records = workspace.records("datastores")
    if name in records and records[name] != record and not overwrite:
        raise UserErrorException(
            f'Datastore "{name}" is registered already, at {records[name]["uri"]}; set overwrite=True to replace it.'
        )
    records.put(name, record)
    if key is not None:
        workspace.records("keys").put(name, {"account_key": key}, private=True)
    return Datastore.get(workspace, name)


def _common_folder(paths: Sequence[str]) -> str:
    return os.path.commonpath([os.path.dirname(each) for each in paths]) if paths else os.getcwd()


@checked
class DataReference(Placeholder):
    """A file or folder of a datastore, as input of a step or path of a dataset."""

    def __init__(
        self,
        datastore: AbstractDatastore,
        data_reference_name: str | None = None,
        path_on_datastore: str | None = None,
        mode: str = "mount",
        path_on_compute: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.datastore = datastore
        self.path_on_datastore = path_on_datastore or ""
        self.data_reference_name = data_reference_name or f"data_{digest(self.path_on_datastore)}"
        self.mode = mode

    def __repr__(self) -> str:
        return f"DataReference({self.datastore.name!r}, {self.path_on_datastore!r})"

    @property
    def name(self) -> str:
        """The name of the reference as an input."""
        return self.data_reference_name

    @property
    def datastore_name(self) -> str:
        """The name of the datastore."""
        return self.datastore.name

    def path(self, path: str | None = None, data_reference_name: str | None = None) -> Self:
        """Return a reference to a path below this one."""
        below = posixpath.join(self.path_on_datastore, path or "")
        name = data_reference_name or f"data_{digest(below)}"
        return self.changed(path_on_datastore=below, data_reference_name=name)

    def as_mount(self) -> Self:
        """Return the reference, read in place."""
        return self.changed(mode="mount")

    def as_download(self, path_on_compute: str | None = None, overwrite: bool = False) -> Self:
        """Return the reference, copied before the script starts."""
        return self.changed(mode="download")


@checked
class DataPath(Placeholder):
    """A path in a datastore: the value of a parameter."""

    def __init__(
        self, datastore: AbstractDatastore | None = None, path_on_datastore: str | None = None, name: str | None = None
    ) -> None:
        self.datastore = datastore
        self.path_on_datastore = path_on_datastore or ""
        self.name = name

    def __repr__(self) -> str:
        store = None if self.datastore is None else self.datastore.name
        return f"DataPath({store!r}, {self.path_on_datastore!r})"

    @property
    def datastore_name(self) -> str | None:
        """The name of the datastore."""
        return None if self.datastore is None else self.datastore.name

    def native(self) -> longshore.DataPath:
        """Return the location for a parameter of Longshore."""
        store = None if self.datastore is None else self.datastore.native()
        return longshore.DataPath(self.path_on_datastore.lstrip("/") or ".", store)


@checked
class DataPathComputeBinding(Supported):
    """How a script receives the data of a DataPath parameter: mount or download."""

    def __init__(self, mode: str = "mount", path_on_compute: str | None = None, overwrite: bool = False) -> None:
        self.mode = mode
        self.path_on_compute = path_on_compute
