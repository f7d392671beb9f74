"""From a Pipeline, values of its parameters and the documents that it names to a FrozenPipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from longshore_api.base import Resource
from longshore_api.data import Dataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.pipeline import KINDS_OF_STEPS, PipelineSpec, PipelineStep
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_api.validation import Loc, field_path, problems_of
from longshore_planner.catalogue import Document, Documents
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, TRANSFER, FrozenPipeline, FrozenStep, Options
from longshore_planner.pipelines.graph import Need, arrange, hold_places
from longshore_planner.pipelines.parameters import Filling, Given, read_values
from longshore_planner.pipelines.steps import Place, ResolvedStep, resolve_step
from longshore_planner.places import join
from longshore_planner.references import References


@dataclass(frozen=True)
class Template:
    """A pipeline, and the document that it stands in."""

    name: str
    document: Document[Resource]  # a Pipeline, or a PipelineRun with its pipeline in place
    loc: Loc  # of the pipeline's spec in it: ("spec",)
    spec: PipelineSpec

    @property
    def where(self) -> str:
        """The document, as problems name it."""
        return self.document.where

    def path(self, step: str, field: str = "") -> str:
        """Return the path of a field of a step in the document: "spec.steps[1].script.scriptName"."""
        index = next(index for index, each in enumerate(self.spec.steps) if each.name == step)
        return self.said(f"{field_path((*self.loc, 'steps', index))}.{field}".rstrip("."))

    def said(self, path: str) -> str:
        """Return a path as the document has it: a task has the fields of the one step that it is."""
        kind = {ScriptStep: SCRIPT, TransferStep: TRANSFER}.get(type(self.document.resource))
        return path.replace(f"spec.steps[0].{kind}", "spec", 1) if kind else path


def freeze(
    template: Template,
    given: Iterable[Given],
    documents: Documents,
    *,
    run_id: str,
    run_uri: str,
    cores: int,
    options: Options,
) -> FrozenPipeline:
    """Settle one run of a pipeline.

    `run_uri` is the run's folder, in which each step has `steps/<name>`; `cores` are those of this machine. Code and
    contents are not in it yet: `FrozenStep.with_code`. Raises InvalidDocuments with every problem of the first stage
    that has any: names and parameters, the steps by themselves, how they are joined.
    """
    freezing = _Freezing(template, documents, run_id=run_id, run_uri=run_uri, cores=cores)
    try:
        values = _values(template, given, documents)
        return FrozenPipeline(template.name, run_id, run_uri, values, freezing.steps(values), options)
    except InvalidDocuments as error:
        raise InvalidDocuments(replace(each, path=template.said(each.path)) for each in error.problems) from None


class _Freezing:
    """Settles the steps of a pipeline; what is wrong is put down in `problems`, so that all of it is told at once."""

    def __init__(self, template: Template, documents: Documents, *, run_id: str, run_uri: str, cores: int) -> None:
        self.template, self.documents = template, documents
        self.run_id, self.run_uri, self.cores = run_id, run_uri, cores
        self.needs: list[Need] = []
        self.problems: list[Problem] = []
        self.filled: dict[str, PipelineStep] = {}
        self.resolved: dict[str, ResolvedStep] = {}

    def steps(self, values: Mapping[str, Any]) -> tuple[FrozenStep, ...]:
        """Return the steps in an order in which they can run. Raises InvalidDocuments."""
        _check_names(self.template)
        filling = Filling(values, self.template.where)
        for index, step in enumerate(self.template.spec.steps):
            self.settle(step, filling, loc=(*self.template.loc, "steps", index))
        problems = [*_unused(self.template, filling.used), *filling.problems, *self.problems]
        if problems:
            raise InvalidDocuments(problems)
        outputs = {name: list(each.outputs) for name, each in self.resolved.items()}
        order = arrange(list(self.filled), self.needs, outputs, self.template.where)
        return tuple(_frozen(self.filled[name], self.resolved[name], self.needs) for name in order)

    def settle(self, step: PipelineStep, filling: Filling, *, loc: Loc) -> None:
        """Fill, check and resolve one step by itself."""
        before = len(filling.problems) + len(self.problems)
        raw = filling.fill(step.model_dump(by_alias=True, exclude_unset=True), loc=loc)
        raw = self.held(raw, loc)
        if len(filling.problems) + len(self.problems) > before:
            return  # its models would only wonder at what is not filled in
        run_uri, run_id = join(self.run_uri, f"steps/{step.name}"), f"{self.run_id}-{step.name}"
        place = Place(self.template.document, field_path(loc), self.documents, run_uri, run_id, self.cores)
        try:
            self.filled[step.name] = _checked(raw, loc, self.template.where)
            self.resolved[step.name] = resolve_step(self.filled[step.name], place)
        except InvalidDocuments as error:
            self.problems += [each for each in error.problems if each not in self.problems]

    def held(self, raw: dict[str, Any], loc: Loc) -> dict[str, Any]:
        """Return a step with its references to others held, and put down what it needs."""
        name, where = raw["name"], self.template.where
        for index, other in enumerate(raw.get("runAfter", [])):
            self.needs.append(Need(name, other, None, field_path((*loc, "runAfter", index))))
        return {
            key: hold_places(value, step=name, loc=(*loc, key), needs=self.needs, problems=self.problems, where=where)
            if key in KINDS_OF_STEPS
            else value
            for key, value in raw.items()
        }


def _values(template: Template, given: Iterable[Given], documents: Documents) -> dict[str, Any]:
    """Return the parameters' values; a place that one holds is resolved, a Dataset that one names is there."""
    declared = template.spec.parameters
    path = field_path((*template.loc, "parameters"))
    values = read_values(declared, given, where=template.where, path=path)
    references = References(documents, template.document)
    for each in declared:
        value = values[each.name]
        if each.type == "dataset" and documents.find(Dataset, value.value) is None:
            known = listed(documents.names(Dataset))
            text = f"is {value.value!r}: there is no such Dataset; the documents have {known}"
            references.tell(value.problem(text))
        if each.type == "datapath":
            asked = value.value if isinstance(value.value, dict) else {"path": value.value}
            place = references.place(asked["path"], asked.get("datastore"), template.document, value.path)
            values[each.name] = Given(each.name, place, value.where, value.path)
    if references.problems:
        raise InvalidDocuments(references.problems)
    return {name: each.value for name, each in values.items()}


def _check_names(template: Template) -> None:
    problems, seen = [], dict[str, int]()
    for index, step in enumerate(template.spec.steps):
        first = seen.setdefault(step.name, index)
        if first != index:
            path = field_path((*template.loc, "steps", index, "name"))
            text = f"is {step.name!r}, as is that of {field_path((*template.loc, 'steps', first))}"
            problems.append(Problem(template.where, path, text))
    if problems:
        raise InvalidDocuments(problems)


def _checked(raw: dict[str, Any], loc: Loc, where: str) -> PipelineStep:
    """Return a step whose parameters are filled in: now each field must be what its type says."""
    try:
        return PipelineStep.model_validate(raw)
    except ValidationError as error:
        found = problems_of(error, model=PipelineStep, where=where)
    raise InvalidDocuments(Problem(where, f"{field_path(loc)}.{each.path}".rstrip("."), each.text) for each in found)


def _unused(template: Template, used: set[str]) -> list[Problem]:
    """Return a problem for each parameter that is asked for and serves for nothing."""
    return [
        Problem(
            template.where,
            field_path((*template.loc, "parameters", index)),
            f"is required and nothing refers to $(parameters.{each.name}): use it, or leave it out",
        )
        for index, each in enumerate(template.spec.parameters)
        if each.default is None and each.name not in used
    ]


def _frozen(step: PipelineStep, resolved: ResolvedStep, needs: list[Need]) -> FrozenStep:
    own = [each for each in needs if each.step == step.name]
    kind = SCRIPT if step.script is not None else TRANSFER if step.parallel_run is None else PARALLEL_RUN
    return FrozenStep(
        name=step.name,
        kind=kind,
        after=tuple(dict.fromkeys(each.on for each in own)),
        reads=tuple(dict.fromkeys(each.on for each in own if each.output is not None)),
        job=resolved.job,
        outputs=resolved.outputs,
        parts={**resolved.parts, "version": step.version},
        source=resolved.source,
        python=resolved.python,
        allow_reuse=step.allow_reuse,
        retries=step.retries,
        timeout=None if step.timeout_seconds is None else float(step.timeout_seconds),
    )
