"""Mark the folders of runs and outputs, so that listings of inputs can skip them."""

from __future__ import annotations

from collections.abc import Iterable

from longshore_storage.store import open_store


def mark_run(run_uri: str, run_id: str, outputs: Iterable[str] = ()) -> None:
    """Mark the folder of a run and, for outputs outside of it, their parent folders that are named after the run's id.

    Raises OSError, and the exceptions of `open_store`.
    """
    apart = [folder for each in outputs if (folder := _folder_named(run_id, each)) is not None]
    for folder in dict.fromkeys([run_uri, *apart]):
        open_store(folder).mark()


def _folder_named(run_id: str, uri: str) -> str | None:
    head, found, _ = f"{uri.rstrip('/')}/".partition(f"/{run_id}/")
    return f"{head}/{run_id}" if found else None
