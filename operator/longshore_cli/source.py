"""A step's source on this machine: download of remote sources, unpacking of archives, digests of the code."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.scratch import scratch_folder
from longshore_planner.documents import manifests
from longshore_planner.resolve import Resolved
from longshore_protocol.job import Job
from longshore_storage.code_files import code_digests
from longshore_storage.store import local_path


@contextlib.contextmanager
def local_source(resolved: Resolved) -> Iterator[Resolved]:
    """Yield the step with its source in a local folder, a temporary one if needed. Raises InvalidDocuments."""
    uri = resolved.job.source_uri
    if local_path(uri) is not None and not uri.lower().endswith(".zip"):
        yield resolved
        return
    from longshore_agent.fetch_source import SourceError, fetch_source  # imported late: most sources are local folders

    with scratch_folder("source") as scratch:
        folder = str(scratch / "source")
        try:
            fetch_source(uri, folder)
        except SourceError as error:
            raise InvalidDocuments([resolved.step.problem("spec.source.uri", f"is {uri!r}: {error}")]) from None
        yield replace(resolved, job=replace(resolved.job, source_uri=folder))


def digest_job_code(job: Job, paths: Iterable[str]) -> dict[str, str]:
    """Return the digests of a job's source files by name, without its data and the manifests at `paths`.

    Raises InvalidDocuments for a source that cannot be read.
    """
    data = [path for each in job.inputs if each.tabular is None or each.tabular.query is None for path in each.paths]
    data += [uri for side in job.side_inputs for uri in side.uris]
    data += [model.uri for model in job.models]
    data += [job.output.uri, job.run_uri]
    left_out = {os.path.abspath(file) for path in paths for file in manifests(Path(path))}
    try:
        return code_digests(job.source_uri, job.entry_script, data=data, left_out=left_out, open_files=_own_output())
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise InvalidDocuments([Problem(f"source {job.source_uri}", "", text)]) from None


def _own_output() -> set[tuple[int, int]]:
    """Return device and inode of the files that this command writes its stdout and stderr to."""
    found = set()
    for number in (1, 2):
        with contextlib.suppress(OSError):  # it is closed
            status = os.fstat(number)
            if stat.S_ISREG(status.st_mode):
                found.add((status.st_dev, status.st_ino))
    return found
