"""The interface of runs, wherever they are."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

from longshore_runs.records import RunState, StepState
from longshore_runs.step_folder import StepFolder


class RunReader(ABC):
    """One run, to be read. Each call reads the state again, so the caller sees the current state."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Id of the run, by which its workspace finds it."""

    @abstractmethod
    def state(self) -> RunState:
        """Return the current state. Raises OSError."""

    def tags(self) -> Mapping[str, str]:
        """Return the tags that the run was submitted with."""
        return {}

    def pause(self, seconds: float) -> None:
        """Wait for a change of the run, at most `seconds`."""
        time.sleep(seconds)

    def folder(self, step: StepState) -> StepFolder:
        """Return the run folder of a step."""
        return StepFolder(step.uri)


class ControlledRun(RunReader):
    """One run, to be read and controlled."""

    @abstractmethod
    def cancel(self) -> None:
        """End the run permanently; processes that run are killed. Raises RuntimeError for a run that has ended."""

    @abstractmethod
    def suspend(self) -> None:
        """Let what runs finish, and start no more, until `resume`. Raises RuntimeError unless the run is running."""

    @abstractmethod
    def resume(self, *, accept_changed_code: bool = False) -> None:
        """Continue the run from what is committed, also with other code if requested. Raises RuntimeError."""

    @abstractmethod
    def retry(self, *, accept_changed_code: bool = False) -> ControlledRun:
        """Run what failed again, if requested with other code; return the run that does, this one or a new one.

        Raises:
            RuntimeError: The run has not ended.
        """
