"""Check, before a pipeline starts, that the optional packages its steps need are installed."""

from __future__ import annotations

import json
from collections.abc import Iterable

from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.packages import missing_packages, missing_packages_of_locations
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, FrozenStep
from longshore_protocol.job import Job
from longshore_protocol.script_job import ScriptJob


def require_packages(steps: Iterable[FrozenStep]) -> None:
    """Raise InvalidDocuments if packages that the steps of a pipeline need are not installed."""
    problems = [
        Problem(f"step {step.name!r}", "", sentence) for step in steps for sentence in _missing_packages_of(step)
    ]
    if problems:
        raise InvalidDocuments(problems)


def _missing_packages_of(step: FrozenStep) -> list[str]:
    """Return one sentence per package that a pipeline step needs and that is not installed."""
    source = step.source or ""
    if step.kind == PARALLEL_RUN:
        run = Job.from_json(json.dumps(step.job))
        return missing_packages(run, python=step.python, source=source, packages=step.packages)
    if step.kind == SCRIPT:
        job = ScriptJob.from_json(json.dumps(step.job))
        inputs = [uri for each in job.inputs for uri in each.uris]
        outputs, models = [each.uri for each in job.outputs], [each.uri for each in job.models]
        return missing_packages_of_locations([*inputs, *outputs, *models, source])
    return missing_packages_of_locations([step.job["source"], step.job["destination"]])
