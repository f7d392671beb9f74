"""Validation of translated documents: by their models, and by resolving them as a run does."""

from __future__ import annotations

from typing import Any

from longshore_api.data import Dataset
from longshore_api.pipeline import PipelineParameter
from longshore_api.validation import label, parse
from longshore_planner.azureml.notes import plain
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.pipelines.choose import choose
from longshore_planner.pipelines.freeze import freeze
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.parameters import Given
from longshore_planner.resolve import resolve

_NOWHERE = "/import"  # folder of a run that is never started
_SAMPLES = {"string": "a", "integer": 1, "number": 1, "boolean": True, "datapath": "a"}


def check(documents: list[dict[str, Any]], *, where: str) -> None:
    """Validate translated documents, without checking that data and scripts exist.

    Parameters without a value get a sample of their type.

    Raises:
        InvalidDocuments: with every problem found.
    """
    bare = [plain(each) for each in documents]
    known = gather([Document(f"{where}, {label(each)}", "/", parse(each, where=where)) for each in bare])
    chosen = choose(known, name=None, assigned={})
    if chosen is None:
        resolve(known, run_uri=_NOWHERE, run_id="import", cores=1)
        return
    open_ = [each for each in chosen.pipeline.spec.parameters if each.default is None]
    given = [Given(each.name, _sample(each, known), where) for each in open_]
    if any(each.value is None for each in given):
        return  # without any Dataset, the rest cannot be resolved
    freeze(
        chosen.pipeline, given, known, run_id="import", run_uri=_NOWHERE, cores=1, options=Options()
    )  # called for its errors only


def _sample(parameter: PipelineParameter, documents: Documents) -> Any:
    if parameter.type == "dataset":
        return next(iter(documents.names(Dataset)), None)
    return _SAMPLES[parameter.type]
