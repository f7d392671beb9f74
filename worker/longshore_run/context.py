"""What a script's process may know of its step: a small JSON file that the host writes, with no credential in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Optional, Tuple

VARIABLE = "LONGSHORE_CONTEXT"  # names the file in the script's environment
PROCESS = "LONGSHORE_PROCESS"  # names the process, of those of a ParallelRunStep
FILE = "context.json"
ENTRY_SCRIPT_LOGS = ("user", "entry_script_log")  # below the run's logs


@dataclass(frozen=True)
class Given:
    """One input of a step."""

    name: str
    paths: Tuple[str, ...]  # local files, folders (read recursively) or globs; URLs where it is in a store
    tabular: Optional[Dict[str, Any]] = None  # format, separator, header, encoding, column_types; None: files


@dataclass(frozen=True)
class Context:
    """One step on one machine. All places are paths of it, but for inputs that are in a store."""

    log_dir: str  # the run folder's logs/ (or what is later copied there)
    worker: str = ""  # of a ParallelRunStep
    artifacts: str = ""  # of a script step: the folder whose outputs/ and logs/ are kept
    experiment: str = ""  # the pipeline, or the step where it is by itself
    parent_id: str = ""  # the id of the pipeline's run; "": it is in none
    inputs: Tuple[Given, ...] = ()
    outputs: Dict[str, str] = field(default_factory=dict)  # name -> folder
    models: Tuple[Tuple[str, int, str], ...] = ()  # name, version, path

    def write(self, folder: str) -> str:
        """Write the file into a folder, whole, and return its path. Raises OSError."""
        path = os.path.join(folder, FILE)
        with open(path + ".unfinished", "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        os.replace(path + ".unfinished", path)
        return path


def from_dict(raw: Dict[str, Any]) -> Context:
    """Read the dict form; unknown fields are passed over. Raises TypeError for a missing one."""
    names = {each.name for each in fields(Context)}
    given = {name: value for name, value in raw.items() if name in names}
    given["models"] = tuple((name, version, path) for name, version, path in raw.get("models", []))
    given["inputs"] = tuple(
        Given(each["name"], tuple(each["paths"]), each.get("tabular")) for each in raw.get("inputs", [])
    )
    return Context(**given)


def current() -> Optional[Context]:
    """Return that of the step which this process is part of; None outside of a step. Raises OSError, ValueError."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return from_dict(json.load(file))


def entry_script_log(log_dir: str, *, worker: str, process: str) -> str:
    """Return where the logger of Azure ML's EntryScript writes."""
    return os.path.join(log_dir, *ENTRY_SCRIPT_LOGS, worker, process + ".log.txt")
