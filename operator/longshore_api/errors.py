"""Errors in the user's documents: `Problem` is one of them, `InvalidDocuments` carries all that were found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN = 80  # characters of a string value


@dataclass(frozen=True)
class Problem:
    """One error in a document: the document, the field, its value and the rule that it breaks."""

    where: str  # "steps.yaml document 2, ParallelRunStep/digits"
    path: str  # "spec.inputs[0].mode", or "" for the document as a whole
    text: str  # "is 'mounted': must be mount, download or direct"
    missing: str = ""  # kind of the referenced object that does not exist (yet); "": the document is invalid

    @property
    def sentence(self) -> str:
        """The problem as one line for the document's author."""
        subject = f"{self.path} " if self.path else ""
        return f"{self.where}: {subject}{self.text}"


class InvalidDocuments(Exception):
    """Documents that must be corrected before a run; `problems` holds at least one, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(each.sentence for each in self.problems))


def shown(value: Any) -> str:
    """Return a short form of `value` as written in YAML; long strings are cut, mappings and lists are only named."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case str() if len(value) > _SHOWN:
            return repr(value[:_SHOWN] + "…")
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return repr(value)


def listed(names: Iterable[str], *, last: str = "and") -> str:
    """Join names as "a, b and c" (`last` replaces "and"); return "none" for no names."""
    known = list(names)
    if not known:
        return "none"
    return f" {last} ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
