"""Folders of steps' outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore_api.errors import Problem
from longshore_api.parallel_run_step import StepOutput
from longshore_api.tasks import ScriptOutput
from longshore_planner.locations import join
from longshore_planner.references import References

DEFAULT = "longshore/{run-id}/{output-name}"
_RUN_ID = "{run-id}"


def output_folder(
    output: StepOutput | ScriptOutput, references: References, path: str, *, run_uri: str, run_id: str
) -> str:
    """Return the location of an output's folder: in its Datastore, or below the run folder if there is none.

    Args:
        output: The output.
        references: Resolver of the step's references, which receives problems.
        path: Path of the output in the document, such as "spec.output".
        run_uri: Folder of the run.
        run_id: Id of the run.
    """
    store = references.datastore(output.datastore, references.step, f"{path}.datastore")
    if store is None:
        if output.path is not None and output.datastore is None:
            rule = "is supported in a Datastore only, and no Datastore is the default; set datastore"
            references.report(Problem(references.step.where, f"{path}.path", f"is {output.path!r}: it {rule}"))
        return join(run_uri, output.name)
    below = (output.path or DEFAULT).replace(_RUN_ID, run_id).replace("{output-name}", output.name)
    return join(store, below)


def are_overwritten(spec: Mapping[str, Any]) -> bool:
    """Return whether later runs of a step with this spec write to the same folders."""
    outputs = [spec.get("output") or {}, *spec.get("outputs", ())]
    return any("path" in each and _RUN_ID not in each["path"] for each in outputs)
