"""EntryScript: the folders and the logger of an entry script's process."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from typing import Any, Optional, Tuple, Union

from longshore_run import context

NAME = "ParallelRunStep"  # name of the logger
_FORMAT = "%(asctime)s|%(levelname)s|%(process)d|%(message)s"
_FIRST = "process000"


class EntryScript:
    """A singleton with the step's folders and a logger. Unpickling returns the singleton of the process.

    Outside of a step, the logger writes to stderr, and the folders are temporary and deleted at exit.
    """

    _only: Optional[EntryScript] = None
    _is_set_up = False

    def __new__(cls, *_: object, **__: object) -> EntryScript:
        """Return the singleton, created on the first call."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __init__(self, logging_level: Union[int, str, None] = None) -> None:
        """Set the level of the logger, if given."""
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
        self._logger.propagate = False  # otherwise the process's stdout would repeat all messages
        self._logger.setLevel(os.environ.get("AZUREML_LOG_LEVEL", "INFO"))
        self._logger.addHandler(self._handler(step))

    def _handler(self, step: Optional[context.Context]) -> logging.Handler:
        if step is None:
            handler: logging.Handler = logging.StreamHandler()
        else:
            path = context.entry_script_log(step.log_dir, worker=step.worker, process=self._agent_name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8")  # appends to the file of a replaced process
        handler.setFormatter(logging.Formatter(_FORMAT))
        return handler

    @property
    def logger(self) -> logging.Logger:
        """The logger of the script, which may change its handlers and level."""
        return self._logger

    @property
    def log_dir(self) -> str:
        """The folder with the logs of all entry scripts of the run."""
        return self._log_dir

    @property
    def output_dir(self) -> str:
        """The step's output folder, which exists."""
        return self._output_dir

    @property
    def working_dir(self) -> str:
        """The folder that the processes of a worker share, deleted with the worker."""
        return self._working_dir

    @property
    def agent_name(self) -> str:
        """The name of this process in logs and reports."""
        return self._agent_name
