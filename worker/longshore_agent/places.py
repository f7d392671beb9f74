"""Where a worker's processes find and leave things.

In the run's own folders where those are paths of this machine, and else in copies of them here, which the agent fills
(models) or ships (output, logs):

    <shared>/longshore-copies-<run>-<worker>/models/<name>/<version>/    see `whole_data`
    <shared>/longshore-copies-<run>-<worker>/data/<input>/               see `whole_data`
    <shared>/longshore-copies-<run>-<worker>/output, logs                see `shipping`
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from longshore_protocol.job import Job, Model
from longshore_storage.errors import ShownError
from longshore_storage.store import local_path


class StagingError(ShownError):
    """Something the job names cannot be brought to this machine; the message says what.

    `origin` is given where infrastructure fails, so that a later try may succeed (`wire.Deferral.origin`).
    """

    def __init__(self, text: str, origin: str | None = None) -> None:
        super().__init__(text)
        self.origin = origin


@dataclass(frozen=True)
class Places:
    """Paths of one worker of a run. All may be there already: an agent that is started again goes on with them."""

    output: str
    logs: str
    models: str  # the folder of the copies
    data: str  # the same of inputs that are brought whole
    copies_output: bool  # the output folder is in a store: what is written here is a copy to be shipped
    copies_logs: bool

    def make(self) -> None:
        """Make the folders of the copies. Raises OSError."""
        if self.copies_output:
            os.makedirs(self.output, exist_ok=True)
        if self.copies_logs:
            os.makedirs(self.logs, exist_ok=True)


def places_of(job: Job, *, worker: str, shared: str) -> Places:
    """Return the places of a worker; `shared` is a folder that agent and processes both can write to."""
    copies = os.path.join(shared, f"longshore-copies-{job.run_id}-{worker}")
    output, run = local_path(job.output.uri), local_path(job.run_uri)
    return Places(
        output=output or f"{copies}/output",
        logs=f"{run or copies}/logs",
        models=f"{copies}/models",
        data=f"{copies}/data",
        copies_output=output is None,
        copies_logs=run is None,
    )


def model_path(model: Model, folder: str) -> str:
    """Return where a model is on this machine, once it was brought into the folder of the copies."""
    local = local_path(model.uri)
    if local is not None:
        return local
    as_folder, as_file = _targets(model, folder)
    return as_folder if os.path.isdir(as_folder) else as_file


def _targets(model: Model, folder: str) -> tuple[str, str]:
    from longshore_agent.fetching import base_name

    version = f"{folder}/{model.name}/{model.version}"
    return f"{version}/folder", f"{version}/file/{base_name(model.uri.rstrip('/'))}"
