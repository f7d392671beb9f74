"""The run folder of a pipeline, and the history of earlier runs in its sibling folders.

pipeline.json     the frozen run
status.json       its current or final status
sources/          copies of the steps' code, made when the run began
steps/<name>/     the run folder of each step, with its outputs
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
HISTORY_RUNS = 200  # latest earlier runs whose outputs may be reused


@dataclass(frozen=True)
class PipelineFolder:
    """The local folder of one run of a pipeline."""

    path: str

    @property
    def sources(self) -> str:
        """Path of the folder for copies of the steps' code."""
        return os.path.join(self.path, SOURCES)

    def write_frozen(self, frozen: FrozenPipeline) -> None:
        """Write pipeline.json. Raises OSError."""
        open_store(self.path).put(PIPELINE, frozen.to_json().encode())

    def write_status(self, status: PipelineRunStatus) -> None:
        """Write status.json. Raises OSError."""
        open_store(self.path).put(STATUS, status.to_json().encode())

    def read(self) -> tuple[FrozenPipeline, PipelineRunStatus | None]:
        """Return the frozen run and its last status, None if there is none yet. Raises InvalidDocuments."""
        store = open_store(self.path)
        try:
            frozen = FrozenPipeline.from_json(store.get(PIPELINE).decode())
            status = PipelineRunStatus.model_validate_json(store.get(STATUS)) if store.exists(STATUS) else None
        except (OSError, ValueError) as error:
            text = f"is {self.path!r}: the run in this folder cannot be read: {error}"
            raise InvalidDocuments([Problem("--resume", "", text)]) from None
        if os.path.realpath(frozen.run_uri) != os.path.realpath(self.path):
            text = (
                f"is {self.path!r}: the run was started in {frozen.run_uri}, which its outputs refer to; "
                "move the folder back"
            )
            raise InvalidDocuments([Problem("--resume", "", text)])
        return frozen, status

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder's lock file. Raises InvalidDocuments if another command holds it, OSError."""
        os.makedirs(self.path, exist_ok=True)
        open_store(self.path).mark()
        with open(os.path.join(self.path, LOCK), "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                text = f"is {self.path!r}: another command is running it; wait for that command or interrupt it"
                raise InvalidDocuments([Problem("--resume", "", text)]) from None
            file.truncate(0)
            file.write(str(os.getpid()))  # for readers that show whether a command runs the pipeline
            file.flush()
            yield

    def history(self) -> History:
        """Return the steps of earlier runs in sibling folders whose outputs still exist."""
        statuses = self._read_sibling_statuses()
        return History(step for status in statuses for step in earlier_steps(status) if _outputs_exist(step))

    def _read_sibling_statuses(self) -> Iterator[PipelineRunStatus]:
        """Yield the statuses of earlier runs, latest first; skip those that cannot be read."""
        parent = os.path.dirname(self.path)
        found = []
        for name in os.listdir(parent) if os.path.isdir(parent) else []:
            folder = os.path.join(parent, name)
            path = os.path.join(folder, STATUS)
            if folder != self.path and os.path.isfile(os.path.join(folder, PIPELINE)):
                with suppress(OSError):  # the run was killed before it wrote a status
                    found.append((os.stat(path).st_mtime_ns, path))
        for _, path in heapq.nlargest(HISTORY_RUNS, found):
            try:
                with open(path, "rb") as file:
                    yield PipelineRunStatus.model_validate_json(file.read())
            except (OSError, ValueError):
                continue  # written by another version, or deleted meanwhile


def _outputs_exist(step: EarlierStep) -> bool:
    """Return whether none of a step's local outputs has been deleted."""
    local = [path for uri in step.outputs.values() if (path := local_path(uri)) is not None]
    return all(map(os.path.exists, local))
