"""The context of a script's process: a small JSON file about its step, written by the host, without credentials."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Optional, Tuple

VARIABLE = "LONGSHORE_CONTEXT"  # names the file in the script's environment
PROCESS = "LONGSHORE_PROCESS"  # names the process of a ParallelRunStep
FILE = "context.json"
ENTRY_SCRIPT_LOGS = ("user", "entry_script_log")  # below the run's logs


@dataclass(frozen=True)
class Given:
    """One input of a step."""

    name: str
    paths: Tuple[str, ...]  # local files, folders (read recursively) or globs; URLs if it is in a store
    tabular: Optional[Dict[str, Any]] = None  # format, separator, header, encoding, column_types; None: files


@dataclass(frozen=True)
class Context:
    """One step on one machine. Locations are local paths, except for inputs in a store."""

    log_dir: str  # the run folder's logs/ (or what is later copied there)
    worker: str = ""  # of a ParallelRunStep
    artifacts: str = ""  # of a script step: the folder whose outputs/ and logs/ are uploaded
    experiment: str = ""  # the pipeline, or the step if it runs alone
    parent_id: str = ""  # id of the pipeline's run; "" without a pipeline
    inputs: Tuple[Given, ...] = ()
    outputs: Dict[str, str] = field(default_factory=dict)  # name -> folder
    models: Tuple[Tuple[str, int, str], ...] = ()  # name, version, path
    socket: str = ""  # where the step's agent answers requests; "" outside of steps

    def write(self, folder: str) -> str:
        """Write the context file into a folder atomically; return its path. Raises OSError."""
        path = os.path.join(folder, FILE)
        with open(path + ".unfinished", "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        os.replace(path + ".unfinished", path)
        return path


def from_dict(raw: Dict[str, Any]) -> Context:
    """Return the context in a dict, ignoring unknown fields. Raises TypeError for a missing field."""
    names = {each.name for each in fields(Context)}
    given = {name: value for name, value in raw.items() if name in names}
    given["models"] = tuple((name, version, path) for name, version, path in raw.get("models", []))
    given["inputs"] = tuple(
        Given(each["name"], tuple(each["paths"]), each.get("tabular")) for each in raw.get("inputs", [])
    )
    return Context(**given)


def current() -> Optional[Context]:
    """Return the context of this process's step, or None outside of a step. Raises OSError and ValueError."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return from_dict(json.load(file))


def entry_script_log(log_dir: str, *, worker: str, process: str) -> str:
    """Return the path of the log of Azure ML's EntryScript."""
    return os.path.join(log_dir, *ENTRY_SCRIPT_LOGS, worker, process + ".log.txt")
