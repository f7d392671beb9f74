"""Datasets: files or rows at locations in datastores, registered under a name or not."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import longshore
from longshore_azureml.datastores import AbstractDatastore, DataPath, DataReference
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import digest, resource_name
from longshore_azureml.placeholders import Placeholder
from longshore_planner.locations import join
from longshore_run.context import Given
from longshore_shims.dataset import StepDataset, is_url
from longshore_storage.store import local_path

D = TypeVar("D", bound="AbstractDataset")

if TYPE_CHECKING:
    from longshore_azureml.inputs import DatasetConsumptionConfig
    from longshore_azureml.workspace import Workspace

FILE, TABULAR = "file", "tabular"
_HIVE = "hive"
_KEY = re.compile(r"\{([^{}:]+)[^{}]*\}")


@checked
class AbstractDataset(Placeholder):
    """Files or rows. `register` gives them a name; `as_named_input` makes them an input of a step."""

    kind: str

    def __init__(self, locations: Sequence[tuple[AbstractDatastore | None, str]], settings: Mapping[str, Any]) -> None:
        self._locations = tuple(locations)
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self.name: str | None = None
        self.version: int | None = None
        self.description: str | None = None
        self.tags: dict[str, str] = {}

    def __repr__(self) -> str:
        sources = ", ".join(path if store is None else f"({store.name}, {path})" for store, path in self._locations)
        name = "" if self.name is None else f", name={self.name!r}, version={self.version}"
        return f"{type(self).__name__}({sources}{name})"

    @property
    def id(self) -> str:
        """An identifier of the definition: equal definitions have the same one."""
        return digest(self.to_record())

    @property
    def partition_keys(self) -> list[str]:
        """The names that the paths' partition format extracts."""
        keys = self._settings.get("partition_keys")
        return list(keys) if keys else _KEY.findall(self._settings.get("partition_format", ""))

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """Return the dataset as an input of this name."""
        from longshore_azureml.inputs import DatasetConsumptionConfig

        return DatasetConsumptionConfig(name, self)

    def register(
        self,
        workspace: Workspace,
        name: str,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = False,
    ) -> Self:
        """Register the dataset under a name; return the registered one.

        An equal definition keeps its version.

        Raises:
            UserErrorException: Another definition has this name and `create_new_version` is False.
        """
        records = workspace.records("datasets")
        versions = records[name]["versions"] if name in records else []
        definition = self.to_record()
        about = {"description": description or "", "tags": dict(tags or {})}
        if not versions or versions[-1]["definition"] != definition:
            if versions and not create_new_version:
                raise UserErrorException(
                    f'Dataset "{name}" is registered already with other paths or settings; '
                    "set create_new_version=True to register this one as its next version."
                )
            versions = [*versions, {"definition": definition, **about}]
            records.put(name, {"versions": versions})
        return self.changed(name=name, version=len(versions), **about)

    def to_record(self) -> dict[str, Any]:
        """Return the definition as a record of the workspace."""
        places = [{"datastore": None if store is None else store.name, "path": path} for store, path in self._locations]
        return {"kind": self.kind, "locations": places, "settings": self._settings}

    def native(self, fallback: str) -> longshore.FileDataset | longshore.TabularDataset:
        """Return the Dataset document, which is named after this dataset, or after `fallback` and the definition."""
        if self._settings.keys() & {"keep", "drop"}:
            raise UserErrorException(
                "keep_columns() and drop_columns() have no effect in steps: select the columns in the script."
            )
        stores = {store.name: store for store, _ in self._locations if store is not None}
        store = next(iter(stores.values()), None)
        paths = [_native_path(each, path, alone=len(stores) == 1) for each, path in self._locations]
        name = f"{resource_name(self.name or fallback)[:50]}-{self.version or self.id}"
        settings = {key: value for key, value in self._settings.items() if key != "partition_keys"}
        made = longshore.FileDataset if self.kind == FILE else longshore.TabularDataset
        if self.kind == FILE:
            settings = {key: value for key, value in settings.items() if key == "partition_format"}
        return made(
            paths,
            name=name,
            dataset_name=self.name,
            version=self.version,
            description=self.description or None,
            tags=self.tags or None,
            datastore=store.native() if store is not None and len(stores) == 1 else None,
            **settings,
        )

    def take(self, count: int) -> StepDataset:
        """Return the first `count` files or rows."""
        return self._local().take(count)

    def skip(self, count: int) -> StepDataset:
        """Return all but the first `count` files or rows."""
        return self._local().skip(count)

    def _local(self) -> StepDataset:
        """Return the dataset with paths on this machine; files of a remote store are downloaded first."""
        paths = [full_path(store, path) for store, path in self._locations]
        remote = [each for each in paths if is_url(each)]
        if remote:
            paths = [each for each in paths if not is_url(each)] + [_downloaded(self._locations)]
        form = {"format": "csv", **self._settings} if self.kind == TABULAR else None
        return StepDataset(Given(self.name or "dataset", tuple(paths), form))

    def __getitem__(self, key: Any) -> Any:
        from longshore_azureml.unsupported import refuse

        refuse("Dataset[...]")


@checked
class FileDataset(AbstractDataset):
    """Files."""

    kind = FILE

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """Return the dataset as an input that is read in place."""
        return self.as_named_input(self.name or f"input_{self.id}").as_mount(path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """Return the dataset as an input that is copied before the script starts."""
        return self.as_named_input(self.name or f"input_{self.id}").as_download(path_on_compute)

    def to_path(self) -> list[str]:
        """Return the files' paths relative to the dataset, with a leading slash."""
        return self._local().to_path()

    def download(
        self, target_path: str | None = None, overwrite: bool = False, ignore_not_found: bool = False
    ) -> list[str]:
        """Copy the files to a folder, by default a temporary one; return the paths of the copies."""
        return self._local().download(target_path, overwrite)

    def mount(self, mount_point: str | None = None) -> Any:
        """Return a context manager that provides the files at a mount point."""
        return self._local().mount(mount_point)


@checked
class TabularDataset(AbstractDataset):
    """Rows of files."""

    kind = TABULAR

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null") -> Any:
        """Return all rows as a pandas.DataFrame."""
        frame = self._local().to_pandas_dataframe()
        kept = frame[self._settings["keep"]] if "keep" in self._settings else frame
        return kept.drop(columns=self._settings.get("drop", []))

    def keep_columns(self, columns: str | list[str], validate: bool = False) -> Self:
        """Return the dataset with these columns only, for `to_pandas_dataframe`; steps read all columns."""
        return self._with_columns(keep=[columns] if isinstance(columns, str) else list(columns))

    def drop_columns(self, columns: str | list[str]) -> Self:
        """Return the dataset without these columns, for `to_pandas_dataframe`; steps read all columns."""
        further = [columns] if isinstance(columns, str) else list(columns)
        return self._with_columns(drop=[*self._settings.get("drop", []), *further])

    def _with_columns(self, **columns: list[str]) -> Self:
        return self.changed(_settings={**self._settings, **columns}, name=None, version=None)

    def partition_by(
        self,
        partition_keys: list[str],
        target: tuple[AbstractDatastore, str] | DataPath,
        name: str | None = None,
        show_progress: bool = True,
        partition_as_file_dataset: bool = False,
    ) -> TabularDataset:
        """Write the rows into new files, in a folder KEY=VALUE for each value of a key; return their dataset.

        Raises:
            UserErrorException: A key is no column.
            ImportError: pandas or pyarrow is not installed; install longshore[tables,parquet].
        """
        frame = self.to_pandas_dataframe()
        unknown = [each for each in partition_keys if each not in frame.columns]
        if unknown:
            raise UserErrorException(
                f'partition_keys has "{unknown[0]}", which is no column; the columns are: {", ".join(frame.columns)}.'
            )
        ((store, path),) = locations([target])
        if store is None:
            raise UserErrorException("target must be a tuple of a datastore and a path in it.")
        with tempfile.TemporaryDirectory(prefix="longshore-partition-") as folder:
            for values, rows in frame.groupby(list(partition_keys), sort=True):
                parts = [f"{key}={value}" for key, value in zip(partition_keys, _tuple(values), strict=True)]
                below = os.path.join(folder, *parts)
                os.makedirs(below)
                rows.drop(columns=list(partition_keys)).to_parquet(os.path.join(below, "part-00000.parquet"))
            store.upload(folder, path, overwrite=True, show_progress=show_progress)
        settings = {"format": "parquet", "partition_format": _HIVE, "partition_keys": list(partition_keys)}
        made = TabularDataset([(store, path)], settings)
        return made if name is None else made.register(store.workspace, name, create_new_version=True)


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def locations(given: Any) -> list[tuple[AbstractDatastore | None, str]]:
    """Return the places that an argument `path` names. Raises UserErrorException."""
    many = given if isinstance(given, list) else [given]
    return [_location(each) for each in many]


def _location(given: Any) -> tuple[AbstractDatastore | None, str]:
    if isinstance(given, DataReference | DataPath):
        return given.datastore, given.path_on_datastore.lstrip("/") or "."
    if isinstance(given, AbstractDatastore):
        return given, "."
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], AbstractDatastore):
        return given[0], str(given[1]).lstrip("/") or "."
    if isinstance(given, str | os.PathLike):
        text = os.fspath(given)
        return None, text if is_url(text) else os.path.abspath(text)
    raise UserErrorException(
        f"path is {given!r}: it must be a tuple of a datastore and a path in it, datastore.path(...), a DataPath, a "
        "URL or a local path, or a list of them."
    )


def _native_path(store: AbstractDatastore | None, path: str, *, alone: bool) -> str:
    return path if store is None or alone else join(store.uri, path)


def full_path(store: AbstractDatastore | None, path: str) -> str:
    """Return the local path or URL of a path in a datastore."""
    if store is None:
        return path
    local = local_path(store.uri)
    return join(store.uri, path) if local is None else os.path.normpath(os.path.join(local, path))


def _downloaded(locations: Sequence[tuple[AbstractDatastore | None, str]]) -> str:
    """Download the files of remote locations; return the folder of the copies."""
    import fsspec

    folder = tempfile.mkdtemp(prefix="longshore-dataset-")
    for store, path in locations:
        system, root = fsspec.core.url_to_fs(path) if store is None else store.file_system()
        source = root if store is None else join(root, path)
        for file in system.find(source) if system.isdir(source) else system.glob(source) or [source]:
            target = os.path.join(folder, os.path.relpath(file, root) if store is not None else os.path.basename(file))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            system.get_file(file, target)
    return folder
