"""Azure ML's expressions, `${{inputs.x}}` and `${{parent.jobs.a.outputs.b}}`, and command lines with them."""

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
    """The input or output that an expression refers to: of the job itself, of the pipeline, or of another job."""

    kind: str  # "inputs" or "outputs"
    name: str
    parent: bool = False  # of the pipeline
    job: str = ""  # of this other job


def read(expression: str) -> Reference | None:
    """Parse the text between `${{` and `}}`; return the reference, or None for any other expression."""
    job, data = _JOB.fullmatch(expression), _DATA.fullmatch(expression)
    if job:
        return Reference("outputs", job[2], job=job[1])
    return Reference(data[1], data[2], parent=expression.startswith("parent.")) if data else None


def whole(value: object) -> Reference | None:
    """Return the reference if the whole value is one, else None."""
    found = _EXPRESSION.fullmatch(value.strip()) if isinstance(value, str) else None
    return read(found[1]) if found else None


def replaced(text: str, resolve: Callable[[str], str]) -> str:
    """Replace each expression in a text by what `resolve` returns for the text within its braces."""
    return _EXPRESSION.sub(lambda found: resolve(found[1]), text)


def names(text: str, kind: str) -> list[str]:
    """Return the names of the inputs, or outputs, that a text refers to."""
    references = [read(each) for each in _EXPRESSION.findall(text)]
    return [each.name for each in references if each is not None and each.kind == kind]


def with_optional(text: str, is_given: Callable[[str], bool]) -> str:
    """Remove each `$[[ ... ]]` whose inputs are not given, and the brackets of the others, from a command line."""
    return _OPTIONAL.sub(lambda found: found[1] if all(map(is_given, names(found[1], "inputs"))) else "", text)


def words(text: str) -> list[str]:
    """Split a command line as a shell does, keeping expressions whole; raise ValueError for an open quote."""
    compact = _EXPRESSION.sub(lambda found: "${{" + re.sub(r"\s", "", found[1]) + "}}", text)
    return shlex.split(compact.replace("\\\n", " "))
