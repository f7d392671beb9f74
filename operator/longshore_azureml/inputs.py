"""Inputs of steps: a dataset, an output of another step, or a parameter, under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from longshore_azureml.datasets import AbstractDataset, FileDataset
from longshore_azureml.datastores import DataPath, DataPathComputeBinding, DataReference
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.outputs import OutputDatasetConfig
from longshore_azureml.parameters import PipelineParameter
from longshore_azureml.placeholders import Placeholder

Source = AbstractDataset | OutputDatasetConfig | PipelineParameter


@checked
class DatasetConsumptionConfig(Placeholder):
    """Data that a step reads under a name.

    Args:
        name: Name of the input in the script.
        dataset: A dataset, an output of another step, or a PipelineParameter whose default is a dataset.
        mode: mount or download for files, direct for rows.
        path_on_compute: Ignored: scripts get the path as an argument.
    """

    def __init__(self, name: str, dataset: Any, mode: str = "direct", path_on_compute: str | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise UserErrorException(f"name is {name!r}: it must be the name of the input, a text.")
        if not isinstance(dataset, Source):
            raise UserErrorException(
                f'dataset of the input "{name}" is {dataset!r}: it must be a dataset, an output of a step, or a '
                "PipelineParameter whose default is a dataset."
            )
        self.name = name
        self.dataset = dataset
        self.mode = mode
        self.path_on_compute = path_on_compute

    def __repr__(self) -> str:
        return f"DatasetConsumptionConfig({self.name!r}, {self.dataset!r}, mode={self.mode!r})"

    def as_mount(self, path_on_compute: str | None = None) -> Self:
        """Return the input, read in place."""
        return self.changed(mode="mount", path_on_compute=path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> Self:
        """Return the input, copied before the script starts."""
        return self.changed(mode="download", path_on_compute=path_on_compute)

    @property
    def tabular(self) -> Mapping[str, Any] | None:
        """The settings of the rows of another step's output; None for files and for datasets."""
        return self.dataset.tabular if isinstance(self.dataset, OutputDatasetConfig) else None


def as_input(given: Any) -> DatasetConsumptionConfig | None:  # noqa: PLR0911  (one for each kind of data)
    """Return an object as an input of a step; None if it is no data."""
    match given:
        case DatasetConsumptionConfig():
            return given
        case AbstractDataset():
            return given.as_named_input(given.name or f"input_{given.id}")
        case OutputDatasetConfig():
            return DatasetConsumptionConfig(given.name, given)
        case DataReference():
            data = FileDataset([(given.datastore, given.path_on_datastore.lstrip("/") or ".")], {})
            return DatasetConsumptionConfig(given.data_reference_name, data, given.mode)
        case (PipelineParameter() as parameter, DataPathComputeBinding() as binding):
            return DatasetConsumptionConfig(parameter.name, parameter, binding.mode)
        case PipelineParameter(default_value=AbstractDataset() | DataPath()):
            return DatasetConsumptionConfig(given.name, given)
        case DataPath():
            data = FileDataset([(given.datastore, given.path_on_datastore.lstrip("/") or ".")], {})
            return DatasetConsumptionConfig(given.name or f"input_{data.id}", data)
        case _:
            return None
