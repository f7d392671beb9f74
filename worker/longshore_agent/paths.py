"""Local paths of a worker's output, logs, models and inputs.

These are the run's own folders if they are local. Otherwise they are local copies, which the agent downloads (models
and inputs) or uploads (output and logs):

    <shared>/longshore-copies-<run>-<worker>/models/<name>/<version>/    see `downloads`
    <shared>/longshore-copies-<run>-<worker>/data/<input>/               see `downloads`
    <shared>/longshore-copies-<run>-<worker>/named/               see `named_files`
    <shared>/longshore-copies-<run>-<worker>/output, logs                see `shipping`
    <shared>/longshore-copies-<run>-<worker>/registrations/<agent>/      see `registering`
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from longshore_protocol.job import Job, Model
from longshore_storage.errors import ShownError
from longshore_storage.store import local_path


class StagingError(ShownError):
    """Something that the job names cannot be staged; the message names it and the cause.

    `origin` is set if infrastructure failed, so that a retry may succeed (`wire.Deferral.origin`).
    """

    def __init__(self, text: str, origin: str | None = None) -> None:
        super().__init__(text)
        self.origin = origin


@dataclass(frozen=True)
class WorkerPaths:
    """Local paths of one worker of a run. They may exist already: a restarted agent continues with them."""

    output: str
    logs: str
    models: str  # the folder of downloaded models
    data: str  # the folder of downloaded side inputs and inputs
    named: str  # the folder of what scripts request by name
    copies_output: bool  # `output` is a local copy whose files must be uploaded
    copies_logs: bool  # the same of `logs`
    registrations: str = ""  # the folder for what processes register

    def make(self) -> None:
        """Create the folders of the copies, and for registrations. Raises OSError."""
        os.makedirs(self.registrations, exist_ok=True)
        if self.copies_output:
            os.makedirs(self.output, exist_ok=True)
        if self.copies_logs:
            os.makedirs(self.logs, exist_ok=True)


def paths_of(job: Job, *, worker: str, shared: str) -> WorkerPaths:
    """Return the paths of a worker; `shared` is a folder that both agent and processes can write to."""
    copies = os.path.join(shared, f"longshore-copies-{job.run_id}-{worker}")
    output, run = local_path(job.output.uri), local_path(job.run_uri)
    return WorkerPaths(
        output=output or f"{copies}/output",
        logs=f"{run or copies}/logs",
        models=f"{copies}/models",
        data=f"{copies}/data",
        named=f"{copies}/named",
        registrations=f"{copies}/registrations",
        copies_output=output is None,
        copies_logs=run is None,
    )


def model_path(model: Model, folder: str) -> str:
    """Return the local path of a model, which may be downloaded below `folder`."""
    local = local_path(model.uri)
    if local is not None:
        return local
    as_folder, as_file = _targets(model, folder)
    return as_folder if os.path.isdir(as_folder) else as_file


def _targets(model: Model, folder: str) -> tuple[str, str]:
    from longshore_agent.fetching import base_name

    version = f"{folder}/{model.name}/{model.version}"
    return f"{version}/folder", f"{version}/file/{base_name(model.uri.rstrip('/'))}"
