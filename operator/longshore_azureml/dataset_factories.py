"""`Dataset`: makes datasets of paths, and finds those that scripts and steps registered."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic.alias_generators import to_snake

import longshore
from longshore_azureml.datasets import FILE, AbstractDataset, FileDataset, TabularDataset, full_path, locations
from longshore_azureml.datastores import Datastore
from longshore_azureml.errors import DatasetValidationError, UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import resource_name
from longshore_azureml.unsupported import Supported
from longshore_planner.locations import join
from longshore_shims.dataset import is_url

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

D = TypeVar("D", bound=AbstractDataset)


@checked
class FileDatasetFactory(Supported):
    """`Dataset.File`."""

    @staticmethod
    def from_files(
        path: Any, validate: bool = True, partition_format: str | None = None, is_file: bool = False
    ) -> FileDataset:
        """Return the dataset of files, folders or globs.

        Args:
            path: A tuple of a datastore and a path in it, `datastore.path(...)`, a DataPath, a URL, a local path, or a
                list of them.
            validate: Whether to raise DatasetValidationError if there is nothing at a local path.
            partition_format: Pattern of the end of each path.
            is_file: Ignored: what a path is, the store knows.
        """
        return _validated(FileDataset(locations(path), {"partition_format": partition_format}), validate)


@checked
class TabularDatasetFactory(Supported):
    """`Dataset.Tabular`."""

    @staticmethod
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Mapping[str, Any] | None = None,
        separator: str = ",",
        header: Any = True,
        partition_format: str | None = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
    ) -> TabularDataset:
        """Return the rows of csv files; `path` is as for `Dataset.File.from_files`."""
        settings = {
            "format": "csv",
            "separator": None if separator == "," else separator,
            "header": None if header not in (False, "NO_HEADERS") else False,
            "encoding": None if encoding == "utf8" else encoding,
            "infer_column_types": None if infer_column_types else False,
            "path_column": "Path" if include_path else None,
            "keep_default_na": False if empty_as_string else None,
            "support_multi_line": support_multi_line or None,
            "column_types": None if set_column_types is None else {k: str(v) for k, v in set_column_types.items()},
            "partition_format": partition_format,
        }
        return _validated(TabularDataset(locations(path), settings), validate)

    @staticmethod
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, Any] | None = None,
        partition_format: str | None = None,
    ) -> TabularDataset:
        """Return the rows of Parquet files; `path` is as for `Dataset.File.from_files`."""
        settings = {
            "format": "parquet",
            "path_column": "Path" if include_path else None,
            "partition_format": partition_format,
        }
        return _validated(TabularDataset(locations(path), settings), validate)

    @staticmethod
    def from_json_lines_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, Any] | None = None,
        partition_format: str | None = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
    ) -> TabularDataset:
        """Return the rows of files of JSON lines; `path` is as for `Dataset.File.from_files`."""
        settings = {"format": "jsonl", "path_column": "Path" if include_path else None}
        return _validated(TabularDataset(locations(path), {**settings, "partition_format": partition_format}), validate)

    @staticmethod
    def register_pandas_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        show_progress: bool = True,
    ) -> TabularDataset:
        """Write a DataFrame to a Parquet file of the target and register it; return the dataset.

        Raises ImportError if pyarrow is not installed; install longshore[parquet].
        """
        ((store, path),) = locations([target])
        if store is None:
            raise UserErrorException("target must be a datastore, or a tuple of a datastore and a path in it.")
        file = f"{name}.parquet"
        with tempfile.TemporaryDirectory(prefix="longshore-frame-") as folder:
            dataframe.to_parquet(os.path.join(folder, file))
            store.upload(folder, path, overwrite=True, show_progress=show_progress)
        made = TabularDataset([(store, join(path, file).lstrip("/"))], {"format": "parquet"})
        return made.register(store.workspace, name, description, tags, create_new_version=True)


@checked
class Dataset(Supported):
    """Makes datasets, by `Dataset.File` and `Dataset.Tabular`, and finds registered ones."""

    File = FileDatasetFactory
    Tabular = TabularDatasetFactory

    @staticmethod
    def get_by_name(workspace: Workspace, name: str, version: int | str = "latest") -> AbstractDataset:
        """Return a registered dataset, by default its latest version. Raises UserErrorException."""
        versions = _versions(workspace, name)
        if not versions:
            known = ", ".join(registered_names(workspace)) or "none"
            raise UserErrorException(
                f'Dataset "{name}" does not exist in workspace "{workspace.name}"; its datasets are: {known}.'
            )
        number = max(versions) if version == "latest" else int(version)
        if number not in versions:
            raise UserErrorException(f'Dataset "{name}" has no version {number}; its latest one is {max(versions)}.')
        return versions[number]

    @staticmethod
    def get_all(workspace: Workspace) -> Mapping[str, AbstractDataset]:
        """Return the latest version of each registered dataset, by name."""
        return workspace.datasets


def registered_names(workspace: Workspace) -> list[str]:
    """Return the names of the datasets that scripts and steps registered."""
    return sorted({*workspace.records("datasets"), *(each.dataset_name or each.name for each in _of_steps(workspace))})


def _versions(workspace: Workspace, name: str) -> dict[int, AbstractDataset]:
    """Return the versions of a dataset: those that scripts registered, then those of steps."""
    found: dict[int, AbstractDataset] = {}
    for number, record in enumerate(workspace.records("datasets").get(name, {"versions": []})["versions"], 1):
        about = {"description": record["description"], "tags": record["tags"]}
        found[number] = from_record(workspace, record["definition"]).changed(name=name, version=number, **about)
    for each in _of_steps(workspace):
        if name == (each.dataset_name or each.name):
            number = len(found) + 1
            about = {"description": each.description, "tags": dict(each.tags or {})}
            found[number] = _from_native(workspace, each).changed(name=name, version=number, **about)
    return found


def _of_steps(workspace: Workspace) -> list[Any]:
    found = workspace.native.resources("Dataset")
    return sorted(found, key=lambda each: int(getattr(each, "version", None) or 1))


def _from_native(workspace: Workspace, dataset: Any) -> AbstractDataset:
    fields = dataset.to_description()
    stores = {resource_name(name): store for name, store in workspace.datastores.items()}
    places = [(stores.get(fields.pop("datastore", "")), str(path)) for path in fields.pop("paths")]
    if isinstance(dataset, longshore.FileDataset):
        return FileDataset(places, {"partition_format": dataset.partition_format})
    return TabularDataset(places, {to_snake(name): value for name, value in fields.items()})


def from_record(workspace: Workspace, record: Mapping[str, Any]) -> AbstractDataset:
    """Return the dataset of a definition."""
    places = [
        (None if each["datastore"] is None else Datastore.get(workspace, each["datastore"]), each["path"])
        for each in record["locations"]
    ]
    made = FileDataset if record["kind"] == FILE else TabularDataset
    return cast("AbstractDataset", made(places, record["settings"]))


def _validated(dataset: D, validate: bool) -> D:
    """Return the dataset. Raises DatasetValidationError if `validate` and a local path has nothing."""
    for store, path in dataset.__dict__["_locations"] if validate else ():
        full = full_path(store, path)
        if not is_url(full) and not os.path.exists(full) and not glob.glob(full, recursive=True):
            raise DatasetValidationError(
                f"path: there is nothing at {full}; write the data first, or set validate=False."
            )
    return dataset
