"""Run folders: a new one for each run, and what a resumed run needs to know of the one it goes on with."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from longshore_api.errors import InvalidDocuments, Problem
from longshore_coordinator.finish import earlier_end
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store, open_store

_ABOUT = "state/run.json"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and identity."""

    path: Path
    run_id: str

    def remember(self, step: str) -> None:
        """Write down whose run this is, for a later --resume. Raises OSError."""
        self._store().put(_ABOUT, json.dumps({"runId": self.run_id, "step": step}).encode())

    def keep(self, status: str) -> None:
        """Write down the status that a run ended with. Raises OSError."""
        self._store().put("status.json", status.encode())

    def success(self) -> Snapshot | None:
        """Return the last snapshot of a run that is complete; None while there is something to resume."""
        return earlier_end(self._store())

    def _store(self) -> Store:
        return open_store(str(self.path))


def new_folder(given: Path | None, *, now: datetime) -> RunFolder:
    """Return the folder for a new run. Raises InvalidDocuments when the given one is in use."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"run-{stamp}-{secrets.token_hex(2)}"
    if given is None:
        return RunFolder(Path("longshore-runs").absolute() / run_id, run_id)
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        rule = "must be an empty or a new folder; to go on with a run that is there, say --resume"
        raise InvalidDocuments([Problem("--run-dir", "", f"is {str(given)!r}: {rule}")])
    return RunFolder(given.absolute(), run_id)


def earlier_folder(given: Path) -> RunFolder:
    """Return the folder of the run to resume. Raises InvalidDocuments when there is no run in it."""
    try:
        about = json.loads((given / _ABOUT).read_text())
        return RunFolder(given.absolute(), about["runId"])
    except (OSError, ValueError, KeyError):
        raise InvalidDocuments([Problem("--resume", "", f"is {str(given)!r}: there is no run in it")]) from None
