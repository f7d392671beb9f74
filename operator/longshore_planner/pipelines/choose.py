"""Selection of the pipeline to run from a set of documents, and of its parameters' values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem, listed, shown
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_api.pipeline import Pipeline, PipelineRun, PipelineSpec
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_api.validation import Loc, field_path
from longshore_planner.catalogue import Document, Documents
from longshore_planner.pipelines.frozen import SCRIPT, TRANSFER, Options
from longshore_planner.pipelines.parameters import Given

_OF_A_CLUSTER = {"cancel", "ttl_seconds_after_finished", "priority"}  # fields of a task that local runs ignore
_LONGEST = 32  # characters of a step's name in a pipeline


@dataclass(frozen=True)
class PipelineDocument:
    """A pipeline, and the document that contains it."""

    name: str
    document: Document[Resource]  # a Pipeline, or a PipelineRun with pipelineSpec
    loc: Loc  # path of the pipeline's spec in the document: ("spec",)
    spec: PipelineSpec

    @property
    def where(self) -> str:
        """Name of the document in problems."""
        return self.document.where

    def path(self, step: str, field: str = "") -> str:
        """Return the path of a field of a step in the document: "spec.steps[1].script.scriptName"."""
        index = next(index for index, each in enumerate(self.spec.steps) if each.name == step)
        return self.document_path(f"{field_path((*self.loc, 'steps', index))}.{field}".rstrip("."))

    def document_path(self, path: str) -> str:
        """Convert a path in the pipeline into one in the document; a task has the fields of its only step directly."""
        kind = {ScriptStep: SCRIPT, TransferStep: TRANSFER}.get(type(self.document.resource))
        return path.replace(f"spec.steps[0].{kind}", "spec", 1) if kind else path


@dataclass(frozen=True)
class Chosen:
    """A pipeline, values from a PipelineRun or the command line, and options of the run."""

    pipeline: PipelineDocument
    given: tuple[Given, ...]
    options: Options


def choose(documents: Documents, *, name: str | None, assigned: Mapping[str, str]) -> Chosen | None:
    """Return the only pipeline of the documents, or the one with the name `name`; None if there is no pipeline.

    A PipelineRun determines its Pipeline among several; a task is a pipeline of one step. `assigned` are values from
    the command line, which take precedence.

    Raises:
        InvalidDocuments: if there are several pipelines and no `name`, or none of this name.
    """
    runs, pipelines = documents.of(PipelineRun), documents.of(Pipeline)
    groups = (runs, pipelines, documents.of(ScriptStep), documents.of(TransferStep))
    every = [cast("Document[Resource]", each) for group in groups for each in group]
    if name is not None:
        found = [each for each in every if each.name == name][:1]
        if not found:
            known = listed(f"{_kind(each)}/{each.name}" for each in every)
            text = f"is {name!r}, which does not exist; the documents have {known}"
            raise InvalidDocuments([Problem("--pipeline", "", text)])
    else:
        steps = [cast("Document[Resource]", each) for each in documents.of(ParallelRunStep)] if every else []
        found = [each for each in (*every, *steps) if not (runs and _kind(each) == "Pipeline")]
        if len(found) > 1:
            names = listed(f"{_kind(each)}/{each.name}" for each in found)
            text = f"a run takes one of {names}; select it with --pipeline NAME, or pass fewer files"
            raise InvalidDocuments([Problem("documents", "", text)])
    return _chosen(found[0], documents, assigned) if found else None


def _chosen(found: Document[Resource], documents: Documents, assigned: Mapping[str, str]) -> Chosen:
    declared = _declared(documents)
    own = tuple(Given(key, value, f"-p {key}") for key, value in assigned.items() if key in declared)
    resource = found.resource
    if isinstance(resource, Pipeline):
        return Chosen(PipelineDocument(found.name, found, ("spec",), resource.spec), own, Options())
    if isinstance(resource, ScriptStep | TransferStep):
        return Chosen(PipelineDocument(found.name, found, ("spec",), _of_one(found.name, resource)), (), Options())
    assert isinstance(resource, PipelineRun), "choose() selects no other kind"
    spec = resource.spec
    if spec.retry_of is not None:
        text = "is supported on clusters only; to continue a local run, pass --resume with the run's folder"
        raise InvalidDocuments([found.problem("spec.retryOf", text)])
    given = [Given(key, value, found.where, f"spec.parameters.{key}") for key, value in spec.parameters.items()]
    options = Options(
        continue_on_step_failure=spec.continue_on_step_failure,
        regenerate_outputs=spec.regenerate_outputs,
        content_fingerprint=spec.content_fingerprint,
        cancel=spec.cancel,
        suspend=spec.suspend,
    )
    return Chosen(_pipeline_document(cast("Document[PipelineRun]", found), documents), (*given, *own), options)


def _of_one(name: str, task: ScriptStep | TransferStep) -> PipelineSpec:
    """Return a pipeline with a task as its only step, which has the task's time limit."""
    raw = task.spec.model_dump(by_alias=True, exclude_unset=True, exclude_none=True, exclude=_OF_A_CLUSTER)
    limit = {key: raw.pop(key) for key in ("timeoutSeconds",) if key in raw}
    kind = SCRIPT if isinstance(task, ScriptStep) else TRANSFER
    return PipelineSpec.model_validate({"steps": [{"name": name[:_LONGEST].rstrip("-"), kind: raw, **limit}]})


def _pipeline_document(run: Document[PipelineRun], documents: Documents) -> PipelineDocument:
    spec, document = run.resource.spec, cast("Document[Resource]", run)
    if spec.pipeline_spec is not None:
        return PipelineDocument(run.name, document, ("spec", "pipelineSpec"), spec.pipeline_spec)
    assert spec.pipeline_ref is not None  # the model requires exactly one of the two
    wanted = spec.pipeline_ref.name
    pipeline = documents.find(Pipeline, wanted)
    if pipeline is None:
        text = f"is {shown(wanted)}: there is no such Pipeline; the documents have {listed(documents.names(Pipeline))}"
        raise InvalidDocuments([run.problem("spec.pipelineRef.name", text, missing=Pipeline.__name__)])
    return PipelineDocument(wanted, cast("Document[Resource]", pipeline), ("spec",), pipeline.resource.spec)


def _declared(documents: Documents) -> set[str]:
    """Return the names of all parameters that pipelines declare; other values belong to other documents."""
    specs = [each.resource.spec for each in documents.of(Pipeline)]
    specs += [
        each.resource.spec.pipeline_spec for each in documents.of(PipelineRun) if each.resource.spec.pipeline_spec
    ]
    return {parameter.name for spec in specs for parameter in spec.parameters}


def _kind(document: Document[Resource]) -> str:
    return document.resource.kind
