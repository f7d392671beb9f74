"""References to outputs of other steps, and the placeholders that stand for them until a step starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore_api.errors import Problem
from longshore_api.validation import Loc, field_path

_REFERENCE = re.compile(r"\$\(steps\.([^()]*)\)")
_OUTPUT = re.compile(r"([^.]+)\.outputs\.([^.]+)")
# A placeholder looks like a URL, because models and resolution accept only locations.
_PLACEHOLDER = re.compile(r"longshore-step://([a-z][-a-z0-9]*)/([A-Za-z_][-A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Need:
    """Dependency of one step on another: on one of its outputs, or only on its success."""

    step: str  # the dependent step
    on: str  # the step that it depends on
    output: str | None  # None: runAfter
    path: str  # the field that declares it: "spec.steps[1].script.inputs[0].from"


def insert_placeholders(
    value: Any, *, step: str, loc: Loc, needs: list[Need], problems: list[Problem], where: str
) -> Any:
    """Replace each `$(steps.X.outputs.Y)` in a step's value by a placeholder; return the value.

    Args:
        value: Any value in the step's spec.
        step: Name of the step.
        loc: Path of the value in the document.
        needs: Receives each dependency.
        problems: Receives each malformed reference.
        where: Name of the document, for problems.
    """

    def placeholder(found: re.Match[str]) -> str:
        output = _OUTPUT.fullmatch(found[1])
        if output is None:
            text = f"refers to {found[0]}: a reference to another step is $(steps.STEP.outputs.NAME)"
            problems.append(Problem(where, field_path(loc), text))
            return found[0]
        needs.append(Need(step, output[1], output[2], field_path(loc)))
        return f"longshore-step://{output[1]}/{output[2]}"

    match value:
        case dict():
            return {
                key: insert_placeholders(
                    each, step=step, loc=(*loc, str(key)), needs=needs, problems=problems, where=where
                )
                for key, each in value.items()
            }
        case list():
            return [
                insert_placeholders(each, step=step, loc=(*loc, index), needs=needs, problems=problems, where=where)
                for index, each in enumerate(value)
            ]
        case str() if "$(" in value:
            return _REFERENCE.sub(placeholder, value)
        case _:
            return value


def is_placeholder(location: str) -> bool:
    """Return whether a location is the placeholder of an output, or below one."""
    return _PLACEHOLDER.match(location) is not None


def fill_placeholders(value: Any, outputs: Mapping[tuple[str, str], str]) -> Any:
    """Replace each placeholder in a value by the URI of its (step, output); return the value.

    Unknown placeholders, which only a user can have written, stay; opening them fails with a clear error.
    """
    match value:
        case dict():
            return {key: fill_placeholders(each, outputs) for key, each in value.items()}
        case list() | tuple():
            return [fill_placeholders(each, outputs) for each in value]
        case str():
            return _PLACEHOLDER.sub(lambda found: outputs.get((found[1], found[2]), found[0]), value)
        case _:
            return value
