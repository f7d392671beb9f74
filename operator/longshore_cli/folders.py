"""Run folders: a new one for each run, and what a resumed run needs to know of the one it goes on with."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from longshore_api.errors import InvalidDocuments, Problem
from longshore_coordinator.ends import finished_end
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store, local_path, open_store

PIPELINE = "pipeline.json"  # in the folder of a pipeline's run: the run, frozen
_ABOUT = "state/run.json"


@dataclass(frozen=True)
class Origin:
    """What a run was started from, as the command line named it."""

    paths: tuple[str, ...]  # of the documents, absolute
    parameters: dict[str, str]
    sample: int | None = None


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and identity."""

    uri: str  # an absolute path, or a URL
    run_id: str

    def has_begun(self) -> bool:
        """Return whether a run was begun in the folder. Raises OSError."""
        return self._store().exists(_ABOUT)

    def remember(self, step: str, origin: Origin | None = None) -> None:
        """Record whose run this is and what it was started from, for a later --resume. Raises OSError."""
        about = {"runId": self.run_id, "step": step, **({} if origin is None else {"origin": asdict(origin)})}
        self._store().mark()
        self._store().put(_ABOUT, json.dumps(about).encode())

    def origin(self) -> Origin | None:
        """Return what the run was started from; None for a step of a pipeline, and for a run of an earlier version."""
        origin = json.loads(self._store().get(_ABOUT)).get("origin")
        return None if origin is None else Origin(tuple(origin["paths"]), origin["parameters"], origin["sample"])

    def keep(self, status: str) -> None:
        """Write down the status that a run ended with. Raises OSError."""
        self._store().put("status.json", status.encode())

    def success(self) -> Snapshot | None:
        """Return the last snapshot of a run that has succeeded; None while there is something to resume."""
        return finished_end(self._store())

    def _store(self) -> Store:
        return open_store(self.uri)


def new_folder(given: str | None, *, now: datetime) -> RunFolder:
    """Return the folder for a new run: a path or a URL. Raises InvalidDocuments when the given one is in use."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"run-{stamp}-{secrets.token_hex(2)}"
    if given is None:
        return RunFolder(_in_utf_8(os.path.abspath(f"longshore-runs/{run_id}")), run_id)
    path = local_path(given)
    _in_utf_8(path or given)
    if path is None:
        is_used = bool(_listed(given))
    else:
        is_used = os.path.exists(path) and (not os.path.isdir(path) or bool(os.listdir(path)))
    if is_used:
        rule = "must be an empty or a new folder; to go on with a run that is there, say --resume"
        raise InvalidDocuments([Problem("--run-dir", "", f"is {given!r}: {rule}")])
    return RunFolder(path or given.rstrip("/"), run_id)


def _in_utf_8(uri: str) -> str:
    """Return a folder's path or URL. Raises InvalidDocuments for one that no status could name."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        rule = "must be UTF-8 from the root on; name another folder"
        raise InvalidDocuments([Problem("--run-dir", "", f"is {uri!r}: {rule}")]) from None
    return uri


def earlier_folder(given: str, *, flag: str = "--resume") -> RunFolder:
    """Return the folder of the run to resume, which `flag` names. Raises InvalidDocuments when there is none in it."""
    uri = local_path(given) or given.rstrip("/")
    try:
        about = json.loads(open_store(uri).get(_ABOUT))
        return RunFolder(uri, about["runId"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        cause = "there is no run in it"
    except (OSError, ImportError) as error:
        cause = f"it cannot be read: {error}"
    raise InvalidDocuments([Problem(flag, "", f"is {given!r}: {cause}")])


def is_pipeline(path: str) -> bool:
    """Return whether a folder has a run of a pipeline."""
    local = local_path(path)
    return local is not None and os.path.isfile(os.path.join(local, PIPELINE))


def _listed(uri: str) -> list[str]:
    try:
        return open_store(uri).names()
    except (OSError, ValueError, ImportError) as error:
        raise InvalidDocuments([Problem("--run-dir", "", f"is {uri!r}: it cannot be used: {error}")]) from None
