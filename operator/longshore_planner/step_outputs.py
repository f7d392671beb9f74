"""References to outputs of other steps: as users write them, and as places that are filled in when a step starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore_api.errors import Problem
from longshore_api.validation import Loc, field_path

_REFERENCE = re.compile(r"\$\(steps\.([^()]*)\)")
_OUTPUT = re.compile(r"([^.]+)\.outputs\.([^.]+)")
# A reference on its way through models and resolution, where it must look like the place that it will be.
_PLACEHOLDER = re.compile(r"longshore-step://([a-z][-a-z0-9]*)/([A-Za-z_][-A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Need:
    """One step needs another: an output of it, or only that it has succeeded."""

    step: str  # who needs
    on: str  # whom
    output: str | None  # None: runAfter
    path: str  # the field that says so: "spec.steps[1].script.inputs[0].from"


def insert_placeholders(
    value: Any, *, step: str, loc: Loc, needs: list[Need], problems: list[Problem], where: str
) -> Any:
    """Return a value of a step with each `$(steps.X.outputs.Y)` as a place that is filled in when the step starts.

    Adds what it finds to `needs`, and what is no such reference to `problems`.
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
    """Tell whether a place is an output of another step, or below one."""
    return _PLACEHOLDER.match(location) is not None


def fill_placeholders(value: Any, outputs: Mapping[tuple[str, str], str]) -> Any:
    """Return a value with each place that is held replaced by the URI of that (step, output).

    One that nothing was asked of, as somebody wrote it by hand, stays: who is to open it says that there is no such.
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
