"""The folders of outputs: below the run, in a Datastore, or at a path in it."""

from __future__ import annotations

from typing import Any

import pytest
from pipelines import document, frozen, problems, script

from longshore_api.errors import InvalidDocuments

STORE = document("Datastore", "store", uri="s3://bucket/data")
DEFAULT = document("Datastore", "main", uri="s3://bucket/main", default=True)


def parallel(**output: Any) -> dict[str, Any]:
    spec = {
        "inputs": [{"name": "rows", "file": {"paths": ["/images"]}}],
        "entryScript": "score.py",
        "outputAction": "append_row",
        "output": {"name": "out", **output},
    }
    return {"name": "score", "parallelRun": spec}


def train(**output: Any) -> dict[str, Any]:
    return script("score", outputs=[{"name": "out", **output}])


FOLDERS = [
    ({}, (), "/runs/run-1/steps/score/out"),
    ({}, (DEFAULT,), "s3://bucket/main/longshore/run-1-score/out"),
    ({"datastore": "store"}, (STORE,), "s3://bucket/data/longshore/run-1-score/out"),
    ({"datastore": "store", "path": "scores/latest"}, (STORE,), "s3://bucket/data/scores/latest"),
    (
        {"path": "azureml/{run-id}/{output-name}"},
        (DEFAULT,),
        "s3://bucket/main/azureml/run-1-score/out",
    ),
    ({"datastore": "store", "path": "x {other}"}, (STORE,), "s3://bucket/data/x {other}"),
]


@pytest.mark.parametrize("step", [parallel, train])
@pytest.mark.parametrize(("output", "documents", "expected"), FOLDERS)
def test_an_output_is_in_the_folder_that_its_path_names(step: Any, output: Any, documents: Any, expected: str):
    assert frozen(step(**output), documents=documents).step("score").outputs == {"out": expected}


@pytest.mark.parametrize("step", [parallel, train])
def test_a_path_without_a_datastore_is_refused(step: Any):
    (found,) = problems(step(path="scores"))
    assert found.endswith(
        "is 'scores': it is supported in a Datastore only, and no Datastore is the default; set datastore"
    )


@pytest.mark.parametrize("path", ["/scores", "scores/", "../scores", "a/../b", "a//b", ""])
def test_a_path_that_leaves_the_datastore_is_refused(path: str):
    with pytest.raises(InvalidDocuments, match="must be a path below the Datastore"):
        frozen(train(path=path), documents=(DEFAULT,))


@pytest.mark.parametrize("step", [parallel, train])
def test_a_step_is_not_reused_if_later_runs_overwrite_its_output(step: Any):
    reusable = {
        path: frozen(step(path=path), documents=(DEFAULT,)).step("score").allow_reuse
        for path in ("latest", "{output-name}", "runs/{run-id}")
    }
    assert reusable == {"latest": False, "{output-name}": False, "runs/{run-id}": True}
