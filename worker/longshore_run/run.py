"""The run of a script, with the methods of Azure ML's Run that log metrics."""

from __future__ import annotations

import os
import sys
from typing import Any, Iterable, Optional

from longshore_run import metrics


class Run:
    """One run. Scripts call `Run.get_context()` for theirs."""

    def __init__(self, run_id: str, *, metrics_file: Optional[str] = None) -> None:
        self._id = run_id
        self._metrics_file = metrics_file  # None: outside of a run

    @classmethod
    def get_context(cls, allow_offline: bool = True) -> Run:  # noqa: FBT001, FBT002  (Azure ML's signature)
        """Return the run of this process; outside of a run, return one that only prints.

        Raises:
            RuntimeError: The process is not part of a run and `allow_offline` is False.
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
        """Log a number or a text. Logging a name again makes its values a list."""
        self._add(metrics.line(name, value), "{}: {}".format(name, value))

    def log_list(self, name: str, value: Iterable[Any], description: str = "") -> None:
        """Append several numbers or texts to the values of a name."""
        values = list(value)
        self._add(metrics.line(name, values), "{}: {}".format(name, values))

    def log_row(self, name: str, description: str = "", **kwargs: Any) -> None:
        """Log one row of a table, with keyword arguments as columns."""
        self._add(metrics.line(name, kwargs), "{}: {}".format(name, kwargs))

    def flush(self, timeout_seconds: int = 300) -> None:
        """Do nothing: metrics are written immediately."""

    def _add(self, line: bytes, shown: str) -> None:
        if self._metrics_file is None:
            print(shown)  # noqa: T201  (the only effect outside of a run)
            return
        try:
            metrics.append(self._metrics_file, line)
        except OSError as error:  # a lost metric must not end a long training
            sys.stderr.write("longshore: metric {} could not be written: {}\n".format(shown, error))
