"""Replacement of `$(parameters.NAME)` in documents, before validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.validation import field_path, label

_WITH_THEIR_OWN = ("Pipeline", "PipelineRun")  # kinds that declare typed parameters, which are replaced later

_REFERENCE = re.compile(r"\$\(parameters\.([A-Za-z_][-A-Za-z0-9_]*)\)")


@dataclass(frozen=True)
class RawDocument:
    """One parsed document before its parameters are replaced."""

    where: str  # "steps.yaml document 2"
    folder: str  # absolute path of its file's folder
    content: Any


def fill(documents: Sequence[RawDocument], values: Mapping[str, str]) -> list[RawDocument]:
    """Replace every `$(parameters.NAME)` in string values by that parameter's value; return the documents.

    The fields' types convert the strings later. Documents that declare their own parameters are returned unchanged.

    Raises:
        InvalidDocuments: for each reference without a value, and for each value without a reference.
    """
    filling = _Filling(values)
    declared = [name for each in documents for name in _declared(each.content)]
    filled = [each if _has_its_own(each) else replace(each, content=filling.document(each)) for each in documents]
    known = filling.referred.union(declared)
    unused = [_unused(name, known) for name in values if name not in known]
    if filling.problems or unused:
        raise InvalidDocuments([*filling.problems, *unused])
    return filled


def _has_its_own(document: RawDocument) -> bool:
    return isinstance(document.content, dict) and document.content.get("kind") in _WITH_THEIR_OWN


def _declared(value: Any) -> Iterator[str]:
    """Yield the names of the parameters that a document declares, ignoring anything malformed."""
    if not isinstance(value, dict):
        return
    parameters = value.get("parameters")
    if isinstance(parameters, list):
        yield from (str(each["name"]) for each in parameters if isinstance(each, dict) and "name" in each)
    for name in ("spec", "pipelineSpec"):
        yield from _declared(value.get(name))


class _Filling:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.referred: set[str] = set()
        self.problems: list[Problem] = []

    def document(self, document: RawDocument) -> Any:
        subject = ", ".join(filter(None, [document.where, label(document.content)]))
        return self.value(document.content, loc=(), where=subject)

    def value(self, value: Any, *, loc: tuple[int | str, ...], where: str) -> Any:
        match value:
            case dict():
                return {key: self.value(each, loc=(*loc, str(key)), where=where) for key, each in value.items()}
            case list():
                return [self.value(each, loc=(*loc, index), where=where) for index, each in enumerate(value)]
            case str():
                return _REFERENCE.sub(lambda found: self.reference(found, loc=loc, where=where), value)
            case _:
                return value

    def reference(self, found: re.Match[str], *, loc: tuple[int | str, ...], where: str) -> str:
        name = found[1]
        self.referred.add(name)
        if name not in self.values:
            text = f"refers to the parameter {name}, which has no value; pass it with -p {name}=VALUE"
            self.problems.append(Problem(where, field_path(loc), text))
        return self.values.get(name, found[0])


def _unused(name: str, referred: Iterable[str]) -> Problem:
    text = f"no document refers to $(parameters.{name}); parameters referred to: {listed(sorted(referred))}"
    return Problem(f"-p {name}", "", text)
