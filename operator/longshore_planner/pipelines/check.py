"""Validation of a pipeline without values of its parameters: names, references and cycles."""

from __future__ import annotations

from typing import Any

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline import KINDS_OF_STEPS, PipelineStep
from longshore_api.validation import Loc, field_path
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.pipelines.graph import arrange
from longshore_planner.pipelines.parameters import Filling
from longshore_planner.script_steps import DESTINATION
from longshore_planner.step_outputs import Need, insert_placeholders


def check(pipeline: PipelineDocument) -> list[Problem]:
    """Return the problems of a pipeline that do not depend on values of its parameters."""
    try:
        check_names(pipeline)
        filling = Filling({each.name: f"<{each.name}>" for each in pipeline.spec.parameters}, pipeline.where)
        needs: list[Need] = []
        problems: list[Problem] = []
        for index, step in enumerate(pipeline.spec.steps):
            loc = (*pipeline.loc, "steps", index)
            raw = filling.fill(step.model_dump(by_alias=True, exclude_unset=True), loc=loc)
            with_placeholders(raw, loc, where=pipeline.where, needs=needs, problems=problems)
        problems = [*unused(pipeline, filling.used), *filling.problems, *problems]
        if problems:
            return problems
        outputs = {step.name: _outputs(step, needs) for step in pipeline.spec.steps}
        arrange([step.name for step in pipeline.spec.steps], needs, outputs, pipeline.where)
    except InvalidDocuments as error:
        return error.problems
    return []


def check_names(pipeline: PipelineDocument) -> None:
    """Raise InvalidDocuments if two steps have the same name."""
    problems, seen = [], dict[str, int]()
    for index, step in enumerate(pipeline.spec.steps):
        first = seen.setdefault(step.name, index)
        if first != index:
            path = field_path((*pipeline.loc, "steps", index, "name"))
            text = f"is {step.name!r}, as is that of {field_path((*pipeline.loc, 'steps', first))}"
            problems.append(Problem(pipeline.where, path, text))
    if problems:
        raise InvalidDocuments(problems)


def with_placeholders(
    raw: dict[str, Any], loc: Loc, *, where: str, needs: list[Need], problems: list[Problem]
) -> dict[str, Any]:
    """Replace a step's references to other steps by placeholders; add to `needs` and `problems`; return the step."""
    name = raw["name"]
    for index, other in enumerate(raw.get("runAfter", [])):
        needs.append(Need(name, other, None, field_path((*loc, "runAfter", index))))
    return {
        key: insert_placeholders(value, step=name, loc=(*loc, key), needs=needs, problems=problems, where=where)
        if key in KINDS_OF_STEPS
        else value
        for key, value in raw.items()
    }


def unused(pipeline: PipelineDocument, used: set[str]) -> list[Problem]:
    """Return a problem for each required parameter without a reference."""
    return [
        Problem(
            pipeline.where,
            field_path((*pipeline.loc, "parameters", index)),
            f"is required, but nothing refers to $(parameters.{each.name}); use the parameter or remove it",
        )
        for index, each in enumerate(pipeline.spec.parameters)
        if each.default is None and each.name not in used
    ]


def _outputs(step: PipelineStep, needs: list[Need]) -> list[str]:
    """Return the names of a step's outputs; if parameters contain the names, include every output that others read."""
    if step.transfer is not None:
        return [DESTINATION]
    raw = step.parallel_run or step.script or {}
    output = raw.get("output")
    every = [output] if isinstance(output, dict) else raw.get("outputs") or []
    names = [each.get("name", "") for each in every if isinstance(each, dict)] if isinstance(every, list) else [every]
    if any("$(" in str(name) for name in names):
        names += [each.output or "" for each in needs if each.on == step.name]
    return [str(name) for name in names]
