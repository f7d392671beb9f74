"""The marks by which a listing recognises the folders of runs and of their outputs."""

from __future__ import annotations

from collections.abc import Iterable

from longshore_storage.store import open_store


def mark_run(run_uri: str, run_id: str, outputs: Iterable[str] = ()) -> None:
    """Mark a run's folder and, of each output that lies elsewhere, the folder that is called by the run's id.

    Raises OSError, and what `open_store` raises.
    """
    apart = [folder for each in outputs if (folder := _called_by(run_id, each)) is not None]
    for folder in dict.fromkeys([run_uri, *apart]):
        open_store(folder).mark()


def _called_by(run_id: str, uri: str) -> str | None:
    head, found, _ = f"{uri.rstrip('/')}/".partition(f"/{run_id}/")
    return f"{head}/{run_id}" if found else None
