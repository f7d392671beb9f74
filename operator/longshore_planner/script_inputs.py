"""Inputs that a script finds whole: what they name as full places."""

from __future__ import annotations

from typing import Any, cast

from longshore_api.data import Dataset
from longshore_api.inputs import ScriptInput
from longshore_planner.pipelines.graph import is_held
from longshore_planner.references import References
from longshore_protocol.job import ScriptInput as JobInput

FROM_RULE = "must be an output of another step: $(steps.STEP.outputs.NAME)"


def script_input(given: ScriptInput, path: str, references: References) -> JobInput:
    """Return an input with its places; `path` is its field. What is wrong is put down in `references`."""
    if given.from_ is not None:
        if not is_held(given.from_):
            references.tell(references.step.wrong(f"{path}.from", given.from_, FROM_RULE))
        return JobInput(given.name, (given.from_,), given.mode)
    where, inside, data = references.step, f"{path}.file", given.file
    if given.dataset is not None:
        dataset = references.find(Dataset, given.dataset, references.step, f"{path}.dataset")
        if dataset is None:
            return JobInput(given.name, (), given.mode)
        spec = dataset.resource.spec
        described = spec.file or spec.tabular
        assert described is not None  # the model takes exactly one of the two
        inside = "spec.file" if spec.file else "spec.tabular"
        if spec.tabular is not None and spec.tabular.query is not None:
            rule = "is rows of a database, which are given to run() only: a script has no access to it"
            references.tell(references.step.wrong(f"{path}.dataset", given.dataset, rule))
        return JobInput(given.name, references.paths(described, cast("Any", dataset), inside), given.mode)
    assert data is not None  # the model takes exactly one of the three
    return JobInput(given.name, references.paths(data, where, inside), given.mode)
