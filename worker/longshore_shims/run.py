"""Run: the run of a step, with the methods that scripts for Azure ML use."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any, Dict, Iterable, Iterator, Mapping, NoReturn, Optional

import longshore_run
from longshore_run import context, metrics
from longshore_shims.absent import Refusing, refuse
from longshore_shims.artifacts import artifact, keep, keep_folder, keep_plot
from longshore_shims.dataset import as_script_input, given
from longshore_shims.errors import RunEnvironmentException
from longshore_shims.model import Model
from longshore_shims.workspace import StepExperiment, experiment


class Run(longshore_run.Run, Refusing):
    """The run of a step, of its pipeline, or a child run that the script created.

    All of them log metrics to the step. In a ParallelRunStep, metrics are printed to the log of the process, because
    its processes share no metrics.
    """

    def __init__(self, run_id: str, *, metrics_file: Optional[str] = None, name: str = "") -> None:
        super().__init__(run_id, metrics_file=metrics_file)
        self.name = name or run_id
        self.tags: Dict[str, str] = {}
        self._parent: Optional[Run] = None  # of a child run

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **_: Any) -> Run:
        """Return the run of this process's step, or an offline run outside of a step.

        Raises:
            RunEnvironmentException: The process is not part of a step and `allow_offline` is False.
        """
        metrics_file = os.environ.get(metrics.VARIABLE)
        if context.VARIABLE in os.environ or metrics_file is not None:
            return Run(os.environ.get("AZUREML_RUN_ID", ""), metrics_file=metrics_file)
        if not allow_offline:
            raise RunEnvironmentException("This process is not part of a run, and allow_offline is False.")
        return OfflineRun()

    @property
    def parent(self) -> Run:
        """The run of the step's pipeline, or the run itself without a pipeline; of a child run, its parent."""
        if self._parent is not None:
            return self._parent
        step = context.current()
        parent_id = step.parent_id if step is not None else ""
        return Run(parent_id, metrics_file=self._metrics_file) if parent_id else self

    @property
    def experiment(self) -> StepExperiment:
        """The experiment of the run, which has a workspace."""
        return experiment()

    @property
    def input_datasets(self) -> Mapping[str, Any]:
        """The step's inputs by name: the path of a file or folder, or the dataset of a table."""
        return _Inputs()

    @property
    def output_datasets(self) -> Mapping[str, str]:
        """The step's output folders by name."""
        step = context.current()
        return {} if step is None else dict(step.outputs)

    def child_run(self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Any = None) -> Run:
        """Return a child run with its own name or id, which logs metrics to the step."""
        part_id = run_id or "{}_{}".format(self.id, uuid.uuid4())
        part = Run(part_id, metrics_file=self._metrics_file, name=name or "")
        part._parent = self
        return part

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Log a table by columns: each is a list, or one value for all rows."""
        columns = {each: list(cells) if isinstance(cells, (list, tuple)) else cells for each, cells in value.items()}
        count = max([len(cells) for cells in columns.values() if isinstance(cells, list)] or [1])
        for row in range(count):
            self.log_row(name, **{each: _cell(cells, row) for each, cells in columns.items()})

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Log a description of a model: a dict, or its JSON."""
        content = json.loads(value) if isinstance(value, str) else dict(value)
        self.log_list(name, [content])

    log_accuracy_table = log_confusion_matrix = log_predictions = log_residuals

    def log_image(self, name: str, path: Optional[str] = None, plot: Any = None, description: str = "") -> None:
        """Keep an image as an artifact: a file, with its extension, or a matplotlib figure as a PNG.

        Raises the exceptions of upload_file().
        """
        if path is not None:
            keep("Run.log_image", name + os.path.splitext(path)[1], path)
        else:
            keep_plot("Run.log_image", name, plot)

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        """Keep a file or the contents of a stream as an artifact of a script step; below outputs/ by default.

        Raises:
            NotInsideAStep: The process is part of a ParallelRunStep, which writes files to its output folder.
            UserErrorException: The file does not exist.
        """
        keep("Run.upload_file", name, path_or_stream)

    def upload_files(self, names: Iterable[str], paths: Iterable[str], *_: Any, **__: Any) -> None:
        """Keep several files as artifacts. Raises the exceptions of upload_file()."""
        for name, path in zip(names, paths):
            keep("Run.upload_files", name, path)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Keep all files of a folder as artifacts. Raises the exceptions of upload_file()."""
        keep_folder("Run.upload_folder", name, path)

    def register_model(
        self,
        model_name: str,
        model_path: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None,
        properties: Optional[Mapping[str, Any]] = None,
        description: Optional[str] = None,
        **_: Any,
    ) -> Model:
        """Register an artifact, or another file or folder, as a new version of a model once the step has succeeded.

        Args:
            model_name: The name to register under.
            model_path: An artifact such as outputs/model.pkl, or a path; the name if not given.
            tags: Texts by name.
            properties: Texts by name.
            description: Free text.

        Raises:
            UserErrorException: The path does not exist, or the call is in init() or run().
        """
        path = artifact(model_path or model_name)
        return Model.registered("Run.register_model", path, model_name, tags, properties, description)

    def complete(self, *_: Any, **__: Any) -> None:
        """Do nothing: a step and its child runs are complete when the script ends."""

    def tag(self, key: str, value: Any = None) -> None:
        """Set a tag on this object and print it; only the log of the process records it."""
        self.tags[key] = str(value)
        print("tag of {}: {}={}".format(self.name, key, value))  # noqa: T201  (the only record of it)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        for key, value in tags.items():
            self.tag(key, value)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _cell(cells: Any, row: int) -> Any:
    if not isinstance(cells, list):
        return cells
    return cells[row] if row < len(cells) else None


class OfflineRun(Run):
    """The run outside of a step, which prints metrics."""

    def __init__(self) -> None:
        super().__init__("OfflineRun_{}".format(uuid.uuid4()))

    @property
    def experiment(self) -> NoReturn:
        """Raise NotInsideAStep, by which scripts detect an offline run."""
        refuse("OfflineRun.experiment")


class _Inputs(Mapping[str, Any]):
    """The step's inputs. Only access to an input in a store raises an error."""

    def __init__(self) -> None:
        step = context.current()
        self._names = [] if step is None else [each.name for each in step.inputs]

    def __getitem__(self, name: str) -> Any:
        return as_script_input(given(name))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
