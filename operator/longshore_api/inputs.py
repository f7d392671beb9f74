"""Data that a script reads as a whole from a local path: inputs of ScriptSteps, side inputs of ParallelRunSteps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields
from longshore_api.data import FileDataset
from longshore_api.values import AssetName, FilledString, PortName, broken


class ScriptInput(Fields):
    """Data that the script reads from a local path; exactly one of `dataset`, `file` and `from`."""

    name: PortName
    """The name in `$(inputs.NAME)`; unique among the step's inputs."""
    dataset: AssetName | None = None
    """Name of a Dataset: its `spec.name`, of which the highest version counts, or the name of the resource."""
    file: FileDataset | None = None
    """Files, described in place."""
    from_: Annotated[FilledString | None, Field(alias="from")] = None
    """Output of an earlier step: `$(steps.STEP.outputs.NAME)`."""
    mode: Literal["mount", "download"] = "mount"
    """`mount` lets the script read the data in place where possible; `download` always copies it first."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.dataset, self.file, self.from_)) != 1:
            raise broken("must have exactly one of dataset, file and from")
        return self
