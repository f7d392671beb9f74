"""The status of a task: of a ScriptStep or a TransferStep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore_api.base import keyed_by
from longshore_api.status import Conditions, Instant, Observed, Registered, ResourceStatus
from longshore_api.values import FreeForm


class NamedOutput(Observed):
    """One output of a step."""

    name: str
    """Name of the output."""
    uri: str
    """Location of the output."""


class GitState(Observed):
    """Commit of a step's source."""

    repository: str = ""
    """URL that the repository was cloned from, or its folder."""
    branch: str = ""
    """Branch; empty if none was checked out."""
    commit: str = ""
    """Hash of the commit."""
    dirty: bool = False
    """Whether the source had uncommitted changes."""


class TaskStatus(ResourceStatus):
    """Current state and result of a step that one pod runs."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    outputs: Annotated[list[NamedOutput], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Locations of the outputs."""
    metrics: FreeForm = Field(default_factory=dict)
    """Values that the script logged, by name."""
    exit_code: int | None = None
    """Exit code of the script, once it has exited; negative: the number of the signal that killed it."""
    git: GitState | None = None
    """The commit of the source, if that is a Git repository."""
    registered: list[Registered] | None = None
    """Models and Datasets that the step registered, once it has succeeded."""
    losses: int = 0
    """Number of pods that were lost before the step finished and then replaced."""
    start_time: Instant | None = None
    """Time at which its first pod ran."""
    completion_time: Instant | None = None
    """End of the step, whatever its result."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder: logs and artifacts."""
