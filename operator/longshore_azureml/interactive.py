"""Runs that a script logs itself, by `experiment.start_logging()`."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.models import Model
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.experiments import Experiment


@checked
class InteractiveRun(Supported):
    """A run of this process: its metrics and files are in the workspace's folder `interactive/ID`."""

    def __init__(self, experiment: Experiment, name: str | None = None) -> None:
        self.experiment = experiment
        self.id = str(uuid.uuid4())
        self.name = name or self.id
        self.folder = os.path.join(experiment.workspace.folder, "interactive", self.id)
        self._write({"experiment": experiment.name, "metrics": {}, "tags": {}, "status": "Running"})

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name},\nId: {self.id},\nStatus: {self.get_status()})"

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Log a number or text; of a name that is logged again, the values become a list."""
        metrics = self._record["metrics"]
        known = metrics.get(name)
        several = value if known is None else [*(known if isinstance(known, list) else [known]), value]
        self._change(metrics={**metrics, name: several})

    def log_list(self, name: str, value: list[Any], description: str = "") -> None:
        """Log a list."""
        self._change(metrics={**self._record["metrics"], name: list(value)})

    def get_metrics(self, name: str | None = None) -> dict[str, Any]:
        """Return the logged values by name."""
        metrics = dict(self._record["metrics"])
        return metrics if name is None else {key: value for key, value in metrics.items() if key == name}

    def tag(self, key: str, value: str | None = None) -> None:
        """Add a tag."""
        self._change(tags={**self._record["tags"], key: str(value)})

    def get_status(self) -> str:
        """Return Running, Completed or Failed."""
        return str(self._record["status"])

    def upload_file(self, name: str, path_or_stream: str | BinaryIO, datastore_name: str | None = None) -> None:
        """Keep a file, or the content of a stream, under a name. Raises UserErrorException."""
        target = self._path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if isinstance(path_or_stream, str):
            if not os.path.isfile(path_or_stream):
                raise UserErrorException(f'path_or_stream is "{path_or_stream}": there is no such file.')
            shutil.copy(path_or_stream, target)
        else:
            with open(target, "wb") as file:
                shutil.copyfileobj(path_or_stream, file)

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        datasets: Any = None,
    ) -> Model:
        """Register an uploaded file or folder as the next version of a model. Raises UserErrorException."""
        path = self._path(model_path or model_name)
        return Model.register(self.experiment.workspace, path, model_name, tags, properties, description)

    def complete(self) -> None:
        """End the run."""
        self._change(status="Completed")

    def fail(self, error_details: Any = None) -> None:
        """End the run as failed."""
        self._change(status="Failed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.complete() if kind is None else self.fail()

    @property
    def _record(self) -> dict[str, Any]:
        return self.experiment.workspace.records("interactive")[self.id]

    def _change(self, **changes: Any) -> None:
        self._write({**self._record, **changes})

    def _write(self, record: Mapping[str, Any]) -> None:
        self.experiment.workspace.records("interactive").put(self.id, record)

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self.folder, name))
        if not path.startswith(self.folder + os.sep):
            raise UserErrorException(f'name is "{name}": it must be a path below the files of the run.')
        return path
