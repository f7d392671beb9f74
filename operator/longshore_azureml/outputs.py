"""Outputs of steps. One class has them all, whatever their names in Azure ML's SDK."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from longshore_azureml.datastores import AbstractDatastore, DataPath
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.placeholders import Placeholder

if TYPE_CHECKING:
    from longshore_azureml.inputs import DatasetConsumptionConfig

_numbers = itertools.count(1)


class OutputDatasetConfig(Placeholder):
    """A folder that a step writes, and that later steps read.

    `datastore` and `path` are its place: the default datastore and azureml/<step run id>/<name> if not given.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise UserErrorException(f"name is {name!r}: it must be the name of the output, a text.")
        self.name = name
        self.datastore: AbstractDatastore | None = None
        self.path: str | None = None
        self.mode: str | None = None
        self.overwrite: bool | None = None
        self.registration: dict[str, Any] | None = None
        self.tabular: Mapping[str, Any] | None = None  # of its rows, for the steps that read it
        self.partition_format: str | None = None
        self.origin: OutputDatasetConfig = self  # the output that this object is a view of

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """Return the output as an input of another step."""
        from longshore_azureml.inputs import DatasetConsumptionConfig

        return DatasetConsumptionConfig(name or self.name, self)

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """Return the output as an input of another step."""
        return self.as_input(name)

    def _rows(self, **settings: Any) -> Self:
        return self.changed(tabular={key: value for key, value in settings.items() if value is not None})


@checked
class PipelineData(OutputDatasetConfig):
    """An intermediate folder between steps.

    Args:
        name: Name of the folder.
        datastore: Where it is; the default one if not given.
        output_name: Name for the script's step; `name` if not given.
        output_mode: mount, or upload after the script's success.
        output_path_on_compute: Ignored: scripts get the path as an argument.
        output_overwrite: Whether existing files may be replaced.
        data_type: Ignored.
        is_directory: Ignored: it is a folder.
        pipeline_output_name: Name by which PipelineRun.get_pipeline_output finds it.
        training_output: Not supported.
    """

    def __init__(
        self,
        name: str,
        datastore: AbstractDatastore | None = None,
        output_name: str | None = None,
        output_mode: str = "mount",
        output_path_on_compute: str | None = None,
        output_overwrite: bool | None = None,
        data_type: str | None = None,
        is_directory: bool | None = None,
        pipeline_output_name: str | None = None,
        training_output: Any = None,
    ) -> None:
        super().__init__(name)
        self.datastore = datastore
        self.mode = None if output_mode == "mount" else output_mode
        self.overwrite = output_overwrite
        self.pipeline_output_name = pipeline_output_name

    def as_dataset(self) -> PipelineOutputFileDataset:
        """Return the folder as a file dataset."""
        return PipelineOutputFileDataset(self)

    def as_mount(self, input_name: str | None = None, path_on_compute: str | None = None) -> Any:
        """Return the folder as an input of another step, read in place."""
        return self.as_input(input_name).as_mount(path_on_compute)

    def as_download(
        self, input_name: str | None = None, path_on_compute: str | None = None, overwrite: bool | None = None
    ) -> Any:
        """Return the folder as an input of another step, copied before its script starts."""
        return self.as_input(input_name).as_download(path_on_compute)


@checked
class PipelineOutputFileDataset(OutputDatasetConfig):
    """A PipelineData as a dataset of files."""

    def __init__(self, pipeline_data: PipelineData) -> None:
        super().__init__(pipeline_data.name)
        self.origin = pipeline_data.origin

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """Return the dataset as an input that is read in place."""
        return self.as_input().as_mount(path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """Return the dataset as an input that is copied before the script starts."""
        return self.as_input().as_download(path_on_compute)

    def as_direct(self) -> DatasetConsumptionConfig:
        """Return the dataset as an input."""
        return self.as_input()

    def parse_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = True,
        partition_format: str | None = None,
        file_extension: str = "",
        set_column_types: Any = None,
        quoted_line_breaks: bool = False,
    ) -> Self:
        """Return the rows of the csv files."""
        other = None if separator == "," else separator
        return self._rows(format="csv", separator=other, header=None if header not in (False, "NO_HEADERS") else False)

    def parse_parquet_files(
        self,
        include_path: bool = False,
        partition_format: str | None = None,
        file_extension: str = ".parquet",
        set_column_types: Any = None,
    ) -> Self:
        """Return the rows of the Parquet files."""
        return self._rows(format="parquet", partition_format=partition_format)


class PipelineOutputTabularDataset(PipelineOutputFileDataset):
    """Rows of a PipelineData, by `parse_delimited_files` and `parse_parquet_files`."""


@checked
class OutputFileDatasetConfig(OutputDatasetConfig):
    """A folder that a step writes to a place in a datastore.

    Args:
        name: Name of the folder; numbered if not given.
        destination: A tuple of a datastore and a path in it, which may contain {run-id} and {output-name}.
        source: Not supported: scripts get the path as an argument.
        partition_format: Pattern of the end of each path, for the steps that read it.
    """

    def __init__(
        self,
        name: str | None = None,
        destination: tuple[AbstractDatastore, str] | DataPath | None = None,
        source: str | None = None,
        partition_format: str | None = None,
    ) -> None:
        super().__init__(name or f"output_{next(_numbers)}")
        if source is not None:
            raise UserErrorException("source is not supported: pass the output in arguments and write to that path.")
        self.partition_format = partition_format
        if isinstance(destination, DataPath):
            destination = (destination.datastore, destination.path_on_datastore)  # type: ignore[assignment]
        if destination is not None:
            if not (isinstance(destination, tuple) and isinstance(destination[0], AbstractDatastore)):
                raise UserErrorException(
                    f"destination is {destination!r}: it must be a tuple of a datastore and a path in it, such as "
                    "(datastore, 'scores/{run-id}')."
                )
            self.datastore = destination[0]
            self.path = str(destination[1]).strip("/") if len(destination) > 1 and destination[1] else None

    def as_mount(self, disable_metadata_cache: bool = False) -> Self:
        """Return the output, written in place."""
        return self.changed(mode="mount")

    def as_upload(self, overwrite: bool = False, source_globs: str | None = None) -> Self:
        """Return the output, uploaded after the script's success."""
        return self.changed(mode="upload", overwrite=overwrite)

    def register_on_complete(
        self, name: str, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Self:
        """Return the output, which is registered as a dataset after the step's success."""
        registration = {"name": name, "description": description or "", "tags": dict(tags or {})}
        return self.changed(registration=registration)

    def read_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = True,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: Any = None,
    ) -> Self:
        """Return the output, whose csv files the next step reads as rows."""
        other = None if separator == "," else separator
        return self._rows(
            format="csv", separator=other, header=None if header not in (False, "NO_HEADERS") else False,
            partition_format=partition_format, paths=None if path_glob is None else [path_glob],
        )  # fmt: skip

    def read_parquet_files(
        self,
        include_path: bool = False,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: Any = None,
    ) -> Self:
        """Return the output, whose Parquet files the next step reads as rows."""
        paths = None if path_glob is None else [path_glob]
        return self._rows(format="parquet", partition_format=partition_format, paths=paths)


class OutputTabularDatasetConfig(OutputFileDatasetConfig):
    """An output read as rows, by `read_delimited_files` and `read_parquet_files`."""
