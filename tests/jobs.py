"""The job of a run for tests: each names what it is about, all else is as here."""

from __future__ import annotations

from typing import Any

from longshore_protocol.job import SUMMARY_ONLY, Input, Job, MiniBatchSize, Output


def job(*inputs: Input, uri: str = "/run", unit: str = "files", size: int = 1, action: str = SUMMARY_ONLY,
        **fields: Any) -> Job:  # fmt: skip
    """Return a job over these inputs, or over one of files; its output lies in the run's folder at `uri`."""
    given = {
        "name": "score",
        "run_id": "1",
        "run_uri": uri,
        "inputs": inputs or (Input("in", ("/in",)),),
        "mini_batch": MiniBatchSize(unit, size),
        "output": Output(action, f"{uri}/out"),
        "source_uri": "/code",
        "entry_script": "score.py",
        **fields,
    }
    return Job(**given)
