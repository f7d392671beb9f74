"""Azure ML's expressions: `${{inputs.x}}`, `${{parent.jobs.a.outputs.b}}`, and command lines that hold them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

_EXPRESSION = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_DATA = re.compile(r"(?:parent\.)?(inputs|outputs)\.([^.]+)")
_JOB = re.compile(r"parent\.jobs\.([^.]+)\.outputs\.([^.]+)")


@dataclass(frozen=True)
class Reference:
    """What an expression refers to: an input or output, of the job itself, of the pipeline, or of another job."""

    kind: str  # "inputs" or "outputs"
    name: str
    parent: bool = False  # of the pipeline
    job: str = ""  # of this other job


def read(expression: str) -> Reference | None:
    """Return what is between `${{` and `}}` as a reference; None for one of another form."""
    job, data = _JOB.fullmatch(expression), _DATA.fullmatch(expression)
    if job:
        return Reference("outputs", job[2], job=job[1])
    return Reference(data[1], data[2], parent=expression.startswith("parent.")) if data else None


def whole(value: object) -> Reference | None:
    """Return the reference that a value is as a whole, or None."""
    found = _EXPRESSION.fullmatch(value.strip()) if isinstance(value, str) else None
    return read(found[1]) if found else None


def replaced(text: str, resolve: Callable[[str], str]) -> str:
    """Return a text with each expression replaced by what `resolve` makes of what stands within the braces."""
    return _EXPRESSION.sub(lambda found: resolve(found[1]), text)


def names(text: str, kind: str) -> list[str]:
    """Return the names of the inputs, or outputs, that a text refers to."""
    references = [read(each) for each in _EXPRESSION.findall(text)]
    return [each.name for each in references if each is not None and each.kind == kind]


def with_optional(text: str, is_given: Callable[[str], bool]) -> str:
    """Return a command line without those `$[[ ... ]]` whose inputs are not given, and without the brackets."""
    return _OPTIONAL.sub(lambda found: found[1] if all(map(is_given, names(found[1], "inputs"))) else "", text)


def words(text: str) -> list[str]:
    """Split a command line as a shell does, with its expressions in one piece. Raises ValueError for an open quote."""
    compact = _EXPRESSION.sub(lambda found: "${{" + re.sub(r"\s", "", found[1]) + "}}", text)
    return shlex.split(compact.replace("\\\n", " "))
