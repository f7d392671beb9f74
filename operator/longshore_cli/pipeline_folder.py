"""The run folder of a pipeline, and what the folders beside it tell of earlier runs.

pipeline.json     the run, frozen
status.json       how far it is, or how it ended
sources/          the code of the steps, as it was when the run began
steps/<name>/     each step's own run folder, with its outputs
"""

from __future__ import annotations

import fcntl
import heapq
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_cli.folders import PIPELINE
from longshore_planner.pipelines.frozen import FrozenPipeline
from longshore_planner.pipelines.history import EarlierStep, History
from longshore_planner.pipelines.status import earlier_steps
from longshore_storage.store import local_path, open_store

STATUS, SOURCES, LOCK = "status.json", "sources", ".lock"
REMEMBERED = 200  # earlier runs that are looked at, the latest ones


@dataclass(frozen=True)
class PipelineFolder:
    """A folder of this machine with one run of a pipeline."""

    path: str

    @property
    def sources(self) -> str:
        """The folder for copies of the steps' code."""
        return os.path.join(self.path, SOURCES)

    def keep(self, frozen: FrozenPipeline) -> None:
        """Write down what is run. Raises OSError."""
        open_store(self.path).put(PIPELINE, frozen.to_json().encode())

    def keep_status(self, status: PipelineRunStatus) -> None:
        """Write down how far the run is. Raises OSError."""
        open_store(self.path).put(STATUS, status.to_json().encode())

    def read(self) -> tuple[FrozenPipeline, PipelineRunStatus | None]:
        """Return what is run, and how far it was; None if it was killed before it was told. Raises InvalidDocuments."""
        store = open_store(self.path)
        try:
            frozen = FrozenPipeline.from_json(store.get(PIPELINE).decode())
            status = PipelineRunStatus.model_validate_json(store.get(STATUS)) if store.exists(STATUS) else None
        except (OSError, ValueError) as error:
            text = f"is {self.path!r}: the run in it cannot be read: {error}"
            raise InvalidDocuments([Problem("--resume", "", text)]) from None
        if os.path.realpath(frozen.run_uri) != os.path.realpath(self.path):
            text = f"is {self.path!r}: the run in it was begun in {frozen.run_uri}, where its outputs are told to be"
            raise InvalidDocuments([Problem("--resume", "", text)])
        return frozen, status

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other commands from the run while this one has it. Raises InvalidDocuments when another one has."""
        os.makedirs(self.path, exist_ok=True)
        open_store(self.path).mark()
        with open(os.path.join(self.path, LOCK), "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                text = f"is {self.path!r}: another command runs it"
                raise InvalidDocuments([Problem("--resume", "", text)]) from None
            yield

    def history(self) -> History:
        """Return the steps of earlier runs, in the folders beside this one, whose outputs are still there."""
        return History(step for status in self._beside() for step in earlier_steps(status) if _is_there(step))

    def _beside(self) -> Iterator[PipelineRunStatus]:
        parent = os.path.dirname(self.path)
        found = []
        for name in os.listdir(parent) if os.path.isdir(parent) else []:
            folder = os.path.join(parent, name)
            path = os.path.join(folder, STATUS)
            if folder != self.path and os.path.isfile(os.path.join(folder, PIPELINE)):
                with suppress(OSError):  # a run that was killed before it had a status
                    found.append((os.stat(path).st_mtime_ns, path))
        for _, path in heapq.nlargest(REMEMBERED, found):
            try:
                with open(path, "rb") as file:
                    yield PipelineRunStatus.model_validate_json(file.read())
            except (OSError, ValueError):
                continue  # of another version, or gone meanwhile: a run that cannot be read is not reused


def _is_there(step: EarlierStep) -> bool:
    """Tell whether outputs can be taken: those on this machine may have been deleted."""
    local = [path for uri in step.outputs.values() if (path := local_path(uri)) is not None]
    return all(map(os.path.exists, local))
