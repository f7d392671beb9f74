"""EntryScript: what an entry script may ask of the process it runs in."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from typing import Any, Optional, Tuple, Union

from longshore_run import context

NAME = "ParallelRunStep"  # of the logger
_FORMAT = "%(asctime)s|%(levelname)s|%(process)d|%(message)s"
_FIRST = "process000"


class EntryScript:
    """The one object of its process that knows the step's folders and has a logger; pickled, it is that of its reader.

    Outside of a step the logger writes to stderr, and the folders are temporary ones that end with the process.
    """

    _only: Optional[EntryScript] = None
    _is_set_up = False

    def __new__(cls, *_: object, **__: object) -> EntryScript:
        """Return the one object, made when it is first asked for."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __init__(self, logging_level: Union[int, str, None] = None) -> None:
        """Take the level that is given from now on."""
        if not self._is_set_up:
            self._set_up()
            self._is_set_up = True
        if logging_level is not None:
            self._logger.setLevel(logging_level)

    def __reduce__(self) -> Tuple[Any, Tuple[()]]:
        return EntryScript, ()

    def _set_up(self) -> None:
        step = context.current()
        self._agent_name = os.environ.get(context.PROCESS, _FIRST)
        if step is None:
            self._working_dir = os.getcwd()
            local = tempfile.mkdtemp(prefix="longshore-entry-script-")
            atexit.register(shutil.rmtree, local, ignore_errors=True)
            logs, self._output_dir = os.path.join(local, "logs"), os.path.join(local, "output")
        else:
            self._working_dir = os.path.dirname(os.environ[context.VARIABLE])
            logs = step.log_dir
            self._output_dir = next(iter(step.outputs.values()), os.path.join(self._working_dir, "output"))
        self._log_dir = os.path.join(logs, *context.ENTRY_SCRIPT_LOGS)
        for folder in (self._log_dir, self._output_dir):
            os.makedirs(folder, exist_ok=True)
        self._logger = logging.getLogger(NAME)
        self._logger.propagate = False  # else all of it were in the process's stdout, too
        self._logger.setLevel(os.environ.get("AZUREML_LOG_LEVEL", "INFO"))
        self._logger.addHandler(self._handler(step))

    def _handler(self, step: Optional[context.Context]) -> logging.Handler:
        if step is None:
            handler: logging.Handler = logging.StreamHandler()
        else:
            path = context.entry_script_log(step.log_dir, worker=step.worker, process=self._agent_name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8")  # appends: a replaced process goes on with its file
        handler.setFormatter(logging.Formatter(_FORMAT))
        return handler

    @property
    def logger(self) -> logging.Logger:
        """The logger of the script; its handlers and its level are the script's to change."""
        return self._logger

    @property
    def log_dir(self) -> str:
        """The folder of all entry scripts' logs of the run."""
        return self._log_dir

    @property
    def output_dir(self) -> str:
        """The step's output folder; it exists."""
        return self._output_dir

    @property
    def working_dir(self) -> str:
        """The folder that the processes of a worker have in common, which goes with the worker."""
        return self._working_dir

    @property
    def agent_name(self) -> str:
        """The name of this process, as logs and reports have it."""
        return self._agent_name
