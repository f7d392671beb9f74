"""Run folders of local runs: creation of new ones, and the records that a resumed run reads."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from longshore_api.errors import InvalidDocuments, Problem
from longshore_coordinator.ends import finished_end
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store, local_path, open_store

PIPELINE = "pipeline.json"  # the frozen run, in the run folder of a pipeline
_RUN_FILE = "state/run.json"
_RUN_ID = re.compile(r"run-\d{8}-\d{6}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Origin:
    """The documents and options that a run was started with."""

    paths: tuple[str, ...]  # of the documents, absolute
    parameters: dict[str, str]
    sample: int | None = None


@dataclass(frozen=True)
class RunFolder:
    """The folder and ID of a run."""

    uri: str  # an absolute path, or a URL
    run_id: str

    def has_begun(self) -> bool:
        """Return whether the folder contains a run. Raises OSError."""
        return self._store().exists(_RUN_FILE)

    def begin(self, step: str, origin: Origin | None = None) -> None:
        """Mark the folder as a run folder and record the run's ID, step and origin for --resume. Raises OSError."""
        record = {"runId": self.run_id, "step": step, **({} if origin is None else {"origin": asdict(origin)})}
        self._store().mark()
        self._store().put(_RUN_FILE, json.dumps(record).encode())

    def read_origin(self) -> Origin | None:
        """Return the recorded origin, or None for a pipeline step or a run of an earlier version. Raises OSError."""
        origin = json.loads(self._store().get(_RUN_FILE)).get("origin")
        return None if origin is None else Origin(tuple(origin["paths"]), origin["parameters"], origin["sample"])

    def write_status(self, status: str) -> None:
        """Write status.json. Raises OSError."""
        self._store().put("status.json", status.encode())

    def read_success(self) -> Snapshot | None:
        """Return the final snapshot of a succeeded run, or None if the run can be resumed. Raises OSError."""
        return finished_end(self._store())

    def _store(self) -> Store:
        return open_store(self.uri)


def new_run_id(now: datetime) -> str:
    """Return a new id of a run that begins now."""
    return f"run-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_folder(given: str | None, *, now: datetime) -> RunFolder:
    """Return the folder for a new run, a path or a URL. Raises InvalidDocuments if the given folder is not empty."""
    run_id = new_run_id(now)
    if given is None:
        return RunFolder(_require_utf_8(os.path.abspath(f"longshore-runs/{run_id}")), run_id)
    named = given.rstrip("/").rpartition("/")[2]
    if _RUN_ID.fullmatch(named):  # a folder that its owner named after the run
        run_id = named
    path = local_path(given)
    _require_utf_8(path or given)
    if path is None:
        is_used = bool(_list_names(given))
    else:
        is_used = os.path.exists(path) and (not os.path.isdir(path) or bool(os.listdir(path)))
    if is_used:
        rule = "must be new or empty; use --resume to continue the run in an existing folder"
        raise InvalidDocuments([Problem("--run-dir", "", f"is {given!r}: {rule}")])
    return RunFolder(path or given.rstrip("/"), run_id)


def _require_utf_8(uri: str) -> str:
    """Return `uri` unchanged. Raises InvalidDocuments if it is not UTF-8, because no status could contain it."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        rule = "must be a UTF-8 path, including its parent folders; choose another folder"
        raise InvalidDocuments([Problem("--run-dir", "", f"is {uri!r}: {rule}")]) from None
    return uri


def earlier_folder(given: str, *, flag: str = "--resume") -> RunFolder:
    """Return the folder of the run to resume. Raises InvalidDocuments, naming `flag`, if it contains no run."""
    uri = local_path(given) or given.rstrip("/")
    try:
        record = json.loads(open_store(uri).get(_RUN_FILE))
        return RunFolder(uri, record["runId"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        cause = "the folder contains no run; use the folder that an earlier run printed"
    except (OSError, ImportError) as error:
        cause = f"the folder cannot be read: {error}"
    raise InvalidDocuments([Problem(flag, "", f"is {given!r}: {cause}")])


def is_pipeline(path: str) -> bool:
    """Return whether a folder contains a run of a pipeline."""
    local = local_path(path)
    return local is not None and os.path.isfile(os.path.join(local, PIPELINE))


def _list_names(uri: str) -> list[str]:
    try:
        return open_store(uri).names()
    except (OSError, ValueError, ImportError) as error:
        text = f"is {uri!r}: the folder cannot be listed: {error}"
        raise InvalidDocuments([Problem("--run-dir", "", text)]) from None
