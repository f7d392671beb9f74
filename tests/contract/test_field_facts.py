"""What the reference adds to fields: the names that Azure ML has for them, and which count on a cluster only."""

from __future__ import annotations

from typing import Any

import pytest
from docsite.field_facts import AZURE_ML, CLUSTER_ONLY
from docsite.pages import pages
from manifests import step
from model_fields import fields_of

from longshore_api import KINDS, parse
from longshore_planner.arguments import SETTINGS
from longshore_planner.azureml.translate import translate
from longshore_planner.catalogue import Document, Documents
from longshore_planner.resolve import resolve

V1 = {"environment": "env", "entry_script": "score.py", "output_action": "append_row", "node_count": 1}
V2 = {
    "type": "parallel",
    "compute": "azureml:cpu",
    "input_data": "${{inputs.scans}}",
    "inputs": {"scans": {"type": "uri_folder", "path": "./scans"}},
    "outputs": {"scores": {"type": "uri_folder"}},
    "task": {"type": "run_function", "code": "./src", "entry_script": "score.py"},
}
VALUES: dict[str, Any] = {  # of fields whose value is no number
    "spec.description": "text",
    "spec.environment": "azureml:other:1",
    "spec.environmentVariables": {"A": "b"},
    "spec.arguments": "--top 3",
    "spec.source": "./other",
    "spec.entryScript": "other.py",
    "spec.computeTarget": "azureml:other",
    "spec.partitionKeys": ["day"],
    "spec.outputAction": "summary_only",
    "spec.appendRowFileName": "rows.txt",
    "spec.loggingLevel": "DEBUG",
    "spec.miniBatchSize": "7",
}
IN_CODE = {"inputs", "side_inputs", "output", "arguments"}  # of v1: arguments of the ParallelRunStep, in no file
BOUND = {"input_data", "inputs", "outputs", "task.append_row_to"}  # of v2: they refer to one another
V1_NAMES = [(path, v1) for path, (v1, _) in AZURE_ML["ParallelRunStep"].items() if v1 and v1 not in IN_CODE]
V2_NAMES = [(path, v2) for path, (_, v2) in AZURE_ML["ParallelRunStep"].items() if v2 and v2 not in BOUND]


def with_field(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, below = path.partition(".")
    return {**content, name: with_field(content.get(name, {}), below, value) if below else value}


@pytest.mark.parametrize(("path", "name"), V1_NAMES)
def test_a_name_of_v1_is_that_field(path: str, name: str):
    assert differing(V1, with_field(V1, name, VALUES.get(path, 7))) == path.removeprefix("spec.")


@pytest.mark.parametrize(("path", "name"), V2_NAMES)
def test_a_name_of_v2_is_that_field(path: str, name: str):
    assert differing(V2, with_field(V2, name, VALUES.get(path, 7))) == path.removeprefix("spec.")


def differing(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return the one field of the step that differs; of a field that takes the place of another, itself."""
    old, new = found(before), found(after)
    changed = [name for name in new if new[name] != old.get(name)]
    assert changed, "nothing changed"
    return next((name for name in changed if name not in ("inputs", "output")), changed[0])


def found(content: dict[str, Any]) -> dict[str, Any]:
    (spec,) = (each["spec"] for each in translate(content, name="job").documents if each["kind"] == "ParallelRunStep")
    return {name: str(value) for name, value in spec.items()}


def test_flags_among_the_arguments_are_on_the_page():
    page = pages()["kinds/parallelrunstep.md"]
    assert [flag for flag in SETTINGS if f"`{flag}` among the arguments" not in page] == []


@pytest.mark.parametrize("kind", sorted({*AZURE_ML, *CLUSTER_ONLY}))
def test_fields_of_which_something_is_reported_exist(kind: str):
    known = set(fields_of(KINDS[kind].model_fields["spec"].annotation, "spec"))
    assert {*AZURE_ML.get(kind, ()), *CLUSTER_ONLY.get(kind, ())} - known == set()


ON_CLUSTERS = {
    "priority": 7,
    "suspend": True,
    "cancel": True,
    "resumeFrom": "another",
    "ttlSecondsAfterFinished": 60,
}


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_a_local_run_does_not_look_at_fields_of_clusters(name: str):
    assert f"spec.{name}" in CLUSTER_ONLY["ParallelRunStep"]
    assert job_of(**{name: ON_CLUSTERS[name]}) == job_of()


def test_a_local_run_looks_at_other_fields():
    assert job_of(nodeCount=2) != job_of()


def job_of(**spec: Any) -> Any:
    raw = step(inputs=[{"name": "scans", "file": {"paths": ["scans/*"]}}], source={"uri": "file:."}, **spec)
    documents = Documents((Document("step.yaml", "/folder", parse(raw)),))
    return resolve(documents, run_uri="/run", run_id="run", cores=2).job
