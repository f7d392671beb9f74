"""Pipeline parameters."""

from __future__ import annotations

from typing import Any

from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DataPath
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.placeholders import Placeholder


@checked
class PipelineParameter(Placeholder):
    """A value that each run may pass to a pipeline.

    Args:
        name: Name of the parameter.
        default_value: A text, number or boolean, a DataPath or a dataset; its type is that of the parameter.
    """

    def __init__(self, name: str, default_value: Any) -> None:
        if not isinstance(name, str) or not name:
            raise UserErrorException(f"name is {name!r}: it must be the name of the parameter, a text.")
        if not isinstance(default_value, str | int | float | list | DataPath | AbstractDataset):
            raise UserErrorException(
                f'default_value of the parameter "{name}" is {default_value!r}: it must be a text, a number, a '
                "boolean, a DataPath or a dataset."
            )
        self.name = name
        self.default_value = default_value

    def __repr__(self) -> str:
        return f"PipelineParameter({self.name!r}, {self.default_value!r})"
