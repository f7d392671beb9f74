"""What is wrong with the documents that somebody wrote.

InvalidDocuments: the author's fault; carries every problem found, nothing was started.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN = 80  # characters of a string value


@dataclass(frozen=True)
class Problem:
    """One clear sentence: which document, which field, what it holds and what it must hold."""

    where: str  # "steps.yaml document 2, ParallelRunStep/digits"
    path: str  # "spec.inputs[0].mode", or "" for the document as a whole
    text: str  # "is 'mounted': must be mount, download or direct"
    missing: str = ""  # kind of an object that is referred to and does not exist (yet); "": the document is invalid

    @property
    def sentence(self) -> str:
        """The problem as it is shown to its author."""
        subject = f"{self.path} " if self.path else ""
        return f"{self.where}: {subject}{self.text}"


class InvalidDocuments(Exception):
    """The documents cannot be used as they are. `problems` holds at least one problem, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(each.sentence for each in self.problems))


def shown(value: Any) -> str:
    """Return a value as its author would recognise it in YAML, in a few words."""
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
    """Return "a, b and c", or "none" when there are no names."""
    known = list(names)
    if not known:
        return "none"
    return f" {last} ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
