"""Typed parameters: parsing of their values, and their replacement in steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem, listed, shown
from longshore_api.pipeline import PipelineParameter
from longshore_api.tasks import DataPlace
from longshore_api.validation import Loc, field_path
from longshore_planner.plain_scalars import TEXT, TEXTS

_REFERENCE = re.compile(r"\$\(parameters\.([^()]*)\)")
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}  # as in YAML
_RULES = {
    "string": "must be a string, in quotes",
    "integer": "must be a whole number",
    "number": "must be a number",
    "boolean": "must be true or false",
    "dataset": "must be the name of a Dataset",
    "datapath": "must be a URL, a path, or a mapping of datastore and path",
}


@dataclass(frozen=True)
class Given:
    """A value for a parameter, and its origin."""

    name: str
    value: Any
    where: str  # "run.yaml document 1, PipelineRun/nightly", or "-p NAME"
    path: str = ""  # "spec.parameters.NAME", or "" if `where` is sufficient

    def problem(self, text: str) -> Problem:
        """Return a problem of the value."""
        return Problem(self.where, self.path, text)


def read_values(
    declared: Sequence[PipelineParameter], given: Iterable[Given], *, where: str, path: str
) -> dict[str, Given]:
    """Return each parameter's value, converted to the declared type; the last of several values takes precedence.

    Args:
        declared: The parameters.
        given: Values; strings are parsed as numbers and booleans where the type is one.
        where: Name of the pipeline's document.
        path: Path of the parameters in the document, such as "spec.parameters".

    Raises:
        InvalidDocuments: for unknown and missing parameters, and for values of another type.
    """
    problems: list[Problem] = []
    chosen = _chosen(declared, given, problems, where=where, path=path)
    values = {}
    for each in {each.name: each for each in reversed(declared)}.values():
        value = chosen.get(each.name)
        if value is None:
            continue
        read = _READERS[each.type](value.value)
        if read is None:
            rule = f"{_RULES[each.type]}, as the parameter {each.name} is of the type {each.type}"
            problems.append(value.problem(f"is {shown(value.value)}: {rule}"))
        values[each.name] = Given(each.name, read, value.where, value.path)
    if problems:
        raise InvalidDocuments(problems)
    return {each.name: values[each.name] for each in declared}


def _chosen(
    declared: Sequence[PipelineParameter], given: Iterable[Given], problems: list[Problem], *, where: str, path: str
) -> dict[str, Given]:
    """Return each parameter's given value or default, unconverted; add problems to `problems`."""
    first: dict[str, int] = {}
    chosen: dict[str, Given] = {}
    for index, each in enumerate(declared):
        if first.setdefault(each.name, index) != index:
            text = f"is {each.name!r}, as is that of {path}[{first[each.name]}]"
            problems.append(Problem(where, f"{path}[{index}].name", text))
        elif each.default is not None:
            chosen[each.name] = Given(each.name, each.default, where, f"{path}[{index}].default")
    for value in given:
        if value.name in first:
            chosen[value.name] = value
        else:
            problems.append(value.problem(f"is not a parameter of the pipeline; its parameters are {listed(first)}"))
    for name, index in first.items():
        if name not in chosen:
            text = f"has no value, but the parameter {name} is required; pass it with -p {name}=VALUE"
            problems.append(Problem(where, f"{path}[{index}]", text))
    return chosen


@dataclass
class Filling:
    """Replacement of `$(parameters.NAME)`; records the parameters used in `used`, and problems in `problems`."""

    values: Mapping[str, Any]
    where: str
    used: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def fill(self, value: Any, *, loc: Loc) -> Any:
        """Replace the references in a value, whose path in the document is `loc`; return the value.

        A string that is one reference becomes the parameter's typed value. References in longer strings and in text
        fields become text.
        """
        match value:
            case dict():
                return {key: self.fill(each, loc=(*loc, str(key))) for key, each in value.items()}
            case list():
                return [self.fill(each, loc=(*loc, index)) for index, each in enumerate(value)]
            case str() if (whole := _REFERENCE.fullmatch(value)) and not _is_text(loc):
                return self._value(whole, loc=loc)
            case str():
                return _REFERENCE.sub(lambda found: str(self._value(found, loc=loc)), value)
            case _:
                return value

    def _value(self, found: re.Match[str], *, loc: Loc) -> Any:
        name = found[1]
        if name not in self.values:
            text = f"refers to the parameter {name!r}, which does not exist; the parameters are {listed(self.values)}"
            self.problems.append(Problem(self.where, field_path(loc), text))
            return found[0]
        self.used.add(name)
        return self.values[name]


def _is_text(loc: Loc) -> bool:
    """Return whether the field at `loc` is a text field."""
    return loc[-1:] == (TEXT,) or any(part in TEXTS for part in loc[-2:-1])


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        return int(text) if _WHOLE.fullmatch(text) else int(text, 16) if _HEXADECIMAL.fullmatch(text) else None
    return value if type(value) is int else None


def _number(value: Any) -> int | float | None:
    whole = _integer(value)
    if whole is not None or isinstance(value, bool):
        return whole
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _dataset(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _datapath(value: Any) -> str | dict[str, Any] | None:
    if not isinstance(value, dict):
        return _dataset(value)
    try:
        return DataPlace.model_validate(value).model_dump(exclude_none=True)
    except ValueError:
        return None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "dataset": _dataset,
    "datapath": _datapath,
}
