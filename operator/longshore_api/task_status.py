"""The status of a task: of a ScriptStep or a TransferStep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longshore_api.base import keyed_by
from longshore_api.status import Conditions, Instant, Observed, ResourceStatus
from longshore_api.values import FreeForm


class NamedOutput(Observed):
    """One output of a step."""

    name: str
    """Name of the output."""
    uri: str
    """Where it is."""


class GitState(Observed):
    """The commit that a step's source was at."""

    repository: str = ""
    """Where the repository was cloned from, or its folder."""
    branch: str = ""
    """Branch; empty where none was checked out."""
    commit: str = ""
    """Commit."""
    dirty: bool = False
    """Whether there were changes that were not committed."""


class TaskStatus(ResourceStatus):
    """What became of a task so far."""

    conditions: Conditions
    """One per type: Succeeded (its reason is the state), Ready, Stalled, Finished."""
    outputs: Annotated[list[NamedOutput], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Where the outputs are."""
    metrics: FreeForm = Field(default_factory=dict)
    """What the script logged, by name."""
    exit_code: int | None = None
    """Of the script, once it has ended; negative: the signal that ended it."""
    git: GitState | None = None
    """The commit of the source, where that is a repository."""
    losses: int = 0
    """Pods that were lost before the task had ended, each replaced by another."""
    start_time: Instant | None = None
    """When its first pod ran."""
    completion_time: Instant | None = None
    """When it ended, either way."""
    run_id: str | None = None
    """Identifies the run."""
    run_uri: str | None = None
    """The run's folder: logs and artifacts."""
