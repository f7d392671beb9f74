"""Models and Datasets that runs register, and where they came from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from longshore_api.base import Fields
from longshore_api.status import Observed, ResourceStatus
from longshore_api.task_status import GitState
from longshore_api.values import AssetName


class RegisterOnComplete(Fields):
    """The Model or Dataset that an output becomes once the step has succeeded."""

    kind: Literal["Dataset", "Model"] = "Dataset"
    """Kind of the resource to create."""
    name: AssetName
    """Name to register under; the version is the highest one of this name plus one."""
    description: str = ""
    """Free text."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Texts by name."""


class OriginInput(Observed):
    """One input of the step."""

    name: str
    """Name of the input."""
    uris: list[str]
    """Its files, folders or globs."""


class Origin(Observed):
    """The run that registered a Model or Dataset, and what it ran with."""

    run_id: str
    """Identifies the step's run, or the pipeline's."""
    run_uri: str
    """The step's run folder."""
    kind: Literal["ParallelRunStep", "ScriptStep"]
    """Kind of the step."""
    step: str
    """Name of the step."""
    pipeline: str = ""
    """Name of the pipeline; empty for a step that ran alone."""
    resource: str = ""
    """Clusters only: name of the step's resource, such as nightly-train."""
    code: str = ""
    """Digest of the files of the step's source; empty for a source in an image, which `environment` names."""
    git: GitState | None = None
    """The commit of the source, if that is a Git repository."""
    environment: str = ""
    """The image, or in a local run the interpreter."""
    arguments: list[str] = Field(default_factory=list)
    """The script's command line."""
    parameters: dict[str, str] = Field(default_factory=dict)
    """Values of `params`, and of the pipeline's parameters."""
    inputs: list[OriginInput] = Field(default_factory=list)
    """The step's inputs and side inputs."""
    models: list[str] = Field(default_factory=list)
    """The step's Models with their versions, such as "mnist 3"."""


class AssetStatus(ResourceStatus):
    """Status of a Model or Dataset."""

    origin: Origin | None = None
    """The run that registered it; absent for one that a user applied."""
