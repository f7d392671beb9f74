"""Pipelines for tests: built in a line, and driven without anything being run."""

from __future__ import annotations

from typing import Any

from manifests import resource

from longshore_api import parse
from longshore_api.errors import InvalidDocuments
from longshore_planner.catalogue import Document, Documents
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.pipelines.freeze import freeze
from longshore_planner.pipelines.frozen import FrozenPipeline, Options
from longshore_planner.pipelines.parameters import Given

WHERE = "p.yaml document 1, Pipeline/test"


def document(kind: str, name: str, /, **spec: Any) -> Document[Any]:
    return Document(f"p.yaml document 1, {kind}/{name}", "/src", parse(resource(kind, name, spec)))


def template(*steps: dict[str, Any], **spec: Any) -> PipelineDocument:
    found = document("Pipeline", "test", steps=list(steps), **spec)
    return PipelineDocument("test", found, ("spec",), found.resource.spec)


def script(name: str, *reads: str, **more: Any) -> dict[str, Any]:
    """A script step with the output `out`, which reads that of each step named."""
    own = {
        key: more.pop(key) for key in list(more) if key in ("arguments", "inputs", "outputs", "environment", "params")
    }
    inputs = [{"name": f"from_{each}", "from": f"$(steps.{each}.outputs.out)"} for each in reads]
    spec = {"scriptName": f"{name}.py", "inputs": inputs, "outputs": [{"name": "out"}], **own}
    return {"name": name, "script": spec, **more}


def frozen(
    *steps: dict[str, Any],
    given: dict[str, Any] | None = None,
    documents: tuple[Document[Any], ...] = (),
    run_id: str = "run-1",
    options: Options | None = None,
    **spec: Any,
) -> FrozenPipeline:
    values = [Given(name, value, f"-p {name}") for name, value in (given or {}).items()]
    return freeze(
        template(*steps, **spec),
        values,
        Documents(documents),
        run_id=run_id,
        run_uri=f"/runs/{run_id}",
        cores=2,
        options=options or Options(),
    )


def problems(*steps: dict[str, Any], **more: Any) -> list[str]:
    """The sentences that refuse a pipeline."""
    try:
        frozen(*steps, **more)
    except InvalidDocuments as error:
        return [each.sentence.removeprefix(f"{WHERE}: ") for each in error.problems]
    raise AssertionError("the pipeline was not refused")
