"""The run that a script is part of, with the methods of Azure ML's Run that log metrics."""

from __future__ import annotations

import os
import sys
from typing import Any, Iterable, Optional

from longshore_run import metrics


class Run:
    """One run. Scripts ask for theirs with `Run.get_context()`."""

    def __init__(self, run_id: str, *, metrics_file: Optional[str] = None) -> None:
        self._id = run_id
        self._metrics_file = metrics_file  # None: outside of a run

    @classmethod
    def get_context(cls, allow_offline: bool = True) -> Run:  # noqa: FBT001, FBT002  (Azure ML's signature)
        """Return the run that this process is part of, one that only prints when it is part of none.

        Raises RuntimeError outside of a run when that is not allowed.
        """
        metrics_file = os.environ.get(metrics.VARIABLE)
        if metrics_file is None and not allow_offline:
            raise RuntimeError("This process is not part of a run, and allow_offline is False.")
        return cls(os.environ.get("AZUREML_RUN_ID", "offline"), metrics_file=metrics_file)

    @property
    def id(self) -> str:
        """The run's id; "offline" outside of a run."""
        return self._id

    def log(self, name: str, value: Any, description: str = "", step: Optional[int] = None) -> None:
        """Log a number or a text. The values of a name that is logged again become a list."""
        self._add(metrics.line(name, value), "{}: {}".format(name, value))

    def log_list(self, name: str, value: Iterable[Any], description: str = "") -> None:
        """Log several numbers or texts at once, behind those that the name has already."""
        values = list(value)
        self._add(metrics.line(name, values), "{}: {}".format(name, values))

    def log_row(self, name: str, description: str = "", **kwargs: Any) -> None:
        """Log one row of a table: its columns are the keyword arguments."""
        self._add(metrics.line(name, kwargs), "{}: {}".format(name, kwargs))

    def flush(self, timeout_seconds: int = 300) -> None:
        """Do nothing: what is logged is written at once."""

    def _add(self, line: bytes, shown: str) -> None:
        if self._metrics_file is None:
            print(shown)  # noqa: T201  (all that there is to do outside of a run)
            return
        try:
            metrics.append(self._metrics_file, line)
        except OSError as error:  # hours of training are worth more than a number about them
            sys.stderr.write("longshore: the metric is lost: {}: {}\n".format(shown, error))
