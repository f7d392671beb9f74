"""A step's source that lies elsewhere, or is packed, brought to this machine for as long as a command takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from longshore_api.errors import InvalidDocuments
from longshore_cli.scratch import scratch_folder
from longshore_planner.resolve import Resolved
from longshore_storage.store import local_path


@contextlib.contextmanager
def source_at_hand(resolved: Resolved) -> Iterator[Resolved]:
    """Give the step with its source in a folder of this machine. Raises InvalidDocuments when it cannot be there."""
    uri = resolved.job.source_uri
    if local_path(uri) is not None and not uri.lower().endswith(".zip"):
        yield resolved
        return
    from longshore_agent.fetch_source import SourceError, fetch_source  # late: most sources are at hand

    with scratch_folder("source") as scratch:
        folder = str(scratch / "source")
        try:
            fetch_source(uri, folder)
        except SourceError as error:
            raise InvalidDocuments([resolved.step.problem("spec.source.uri", f"is {uri!r}: {error}")]) from None
        yield replace(resolved, job=replace(resolved.job, source_uri=folder))
