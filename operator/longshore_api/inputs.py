"""Data that a script finds whole, at a path of its machine: inputs of ScriptSteps, side inputs of ParallelRunSteps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields
from longshore_api.data import FileDataset
from longshore_api.values import FilledString, PortName, ResourceName, broken


class ScriptInput(Fields):
    """Data that the script finds under a path of its machine; exactly one of `dataset`, `file` and `from`."""

    name: PortName
    """What `$(inputs.NAME)` calls it; unique among the step's inputs."""
    dataset: ResourceName | None = None
    """Name of a Dataset."""
    file: FileDataset | None = None
    """Files, described in place."""
    from_: Annotated[FilledString | None, Field(alias="from")] = None
    """Output of an earlier step: `$(steps.STEP.outputs.NAME)`."""
    mode: Literal["mount", "download"] = "mount"
    """Whether the script reads the data where it is, if that can be, or always a copy."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.dataset, self.file, self.from_)) != 1:
            raise broken("must have exactly one of dataset, file and from")
        return self
