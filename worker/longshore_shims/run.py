"""Run: the step's run, with what scripts written for Azure ML ask of theirs."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any, Dict, Iterable, Iterator, Mapping, NoReturn, Optional

import longshore_run
from longshore_run import context, metrics
from longshore_shims.absent import Refusing, refuse
from longshore_shims.artifacts import keep, keep_folder, keep_plot
from longshore_shims.dataset import as_script_input, given
from longshore_shims.errors import RunEnvironmentException
from longshore_shims.workspace import StepExperiment, experiment


class Run(longshore_run.Run, Refusing):
    """One run: a step's, the pipeline's that it is in, or a part of a step's that the script gave a name.

    All of them log to the step: Longshore keeps the metrics of steps. In a ParallelRunStep, whose many processes have
    none in common, what is logged is printed, and is in the logs of the process.
    """

    def __init__(self, run_id: str, *, metrics_file: Optional[str] = None, name: str = "") -> None:
        super().__init__(run_id, metrics_file=metrics_file)
        self.name = name or run_id
        self.tags: Dict[str, str] = {}
        self._parent: Optional[Run] = None  # of a part: the run that it is part of

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **_: Any) -> Run:
        """Return the run of the step that this process is part of, an offline one if it is part of none.

        Raises RunEnvironmentException outside of a step when that is not allowed.
        """
        metrics_file = os.environ.get(metrics.VARIABLE)
        if context.VARIABLE in os.environ or metrics_file is not None:
            return Run(os.environ.get("AZUREML_RUN_ID", ""), metrics_file=metrics_file)
        if not allow_offline:
            raise RunEnvironmentException("This process is not part of a run, and allow_offline is False.")
        return OfflineRun()

    @property
    def parent(self) -> Run:
        """The run of the pipeline that the step is in; of a step by itself, its own; of a part, the whole."""
        if self._parent is not None:
            return self._parent
        step = context.current()
        parent_id = step.parent_id if step is not None else ""
        return Run(parent_id, metrics_file=self._metrics_file) if parent_id else self

    @property
    def experiment(self) -> StepExperiment:
        """What the run is listed under; it knows a workspace."""
        return experiment()

    @property
    def input_datasets(self) -> Mapping[str, Any]:
        """The step's inputs by name: the path of a file or a folder; of a table, its dataset."""
        return _Inputs()

    @property
    def output_datasets(self) -> Mapping[str, str]:
        """The step's output folders by name."""
        step = context.current()
        return {} if step is None else dict(step.outputs)

    def child_run(self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Any = None) -> Run:
        """Return a run by a name or an id of its own; what it logs is logged by the step."""
        part_id = run_id or "{}_{}".format(self.id, uuid.uuid4())
        part = Run(part_id, metrics_file=self._metrics_file, name=name or "")
        part._parent = self
        return part

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Log a table by its columns: each a list, or one value for all rows."""
        columns = {each: list(cells) if isinstance(cells, (list, tuple)) else cells for each, cells in value.items()}
        count = max([len(cells) for cells in columns.values() if isinstance(cells, list)] or [1])
        for row in range(count):
            self.log_row(name, **{each: _cell(cells, row) for each, cells in columns.items()})

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Log what describes a model: a dict, or JSON of one."""
        content = json.loads(value) if isinstance(value, str) else dict(value)
        self.log_list(name, [content])

    log_accuracy_table = log_confusion_matrix = log_predictions = log_residuals

    def log_image(self, name: str, path: Optional[str] = None, plot: Any = None, description: str = "") -> None:
        """Keep a picture in outputs/, as `name` with the ending of its file, or as the PNG of what matplotlib draws.

        Raises as upload_file() does.
        """
        if path is not None:
            keep("Run.log_image", name + os.path.splitext(path)[1], path)
        else:
            keep_plot("Run.log_image", name, plot)

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        """Keep a file, or what a stream holds, with the run of a script step; below outputs/ if `name` is not.

        Raises NotInsideAStep in a ParallelRunStep, whose files are written below the output folder, UserErrorException
        for a file that is not there.
        """
        keep("Run.upload_file", name, path_or_stream)

    def upload_files(self, names: Iterable[str], paths: Iterable[str], *_: Any, **__: Any) -> None:
        """Keep several files."""
        for name, path in zip(names, paths):
            keep("Run.upload_files", name, path)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Keep all files of a folder. Raises as upload_file() does."""
        keep_folder("Run.upload_folder", name, path)

    def complete(self, *_: Any, **__: Any) -> None:
        """Do nothing: a step is complete when its script ends, and so are its parts."""

    def tag(self, key: str, value: Any = None) -> None:
        """Note a tag on this object, and print it: nothing but the process's log keeps it."""
        self.tags[key] = str(value)
        print("tag of {}: {}={}".format(self.name, key, value))  # noqa: T201  (all that there is to do)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Do the same with several."""
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
    """What get_context() returns outside of a step: it prints what is logged."""

    def __init__(self) -> None:
        super().__init__("OfflineRun_{}".format(uuid.uuid4()))

    @property
    def experiment(self) -> NoReturn:
        """Raise NotInsideAStep: scripts find out by it that they are not in one."""
        refuse("OfflineRun.experiment")


class _Inputs(Mapping[str, Any]):
    """The step's inputs. What lies in a store has no path, and says so only to who asks for it."""

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
