"""The documents that belong together, and finding one among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem, shown

R = TypeVar("R", bound=Resource)
R_co = TypeVar("R_co", bound=Resource, covariant=True)


@dataclass(frozen=True)
class Document(Generic[R_co]):
    """One checked document."""

    where: str  # "steps.yaml document 2, ParallelRunStep/digits"
    folder: str  # absolute: the folder of its file, which relative paths in it start from
    resource: R_co

    @property
    def name(self) -> str:
        return self.resource.metadata.name

    def problem(self, path: str, text: str, *, missing: str = "") -> Problem:
        """Return a problem with the field at `path` ("spec.entryScript") of this document.

        `missing` is the kind of an object that it refers to and that does not exist (yet).
        """
        return Problem(self.where, path, text, missing)

    def wrong(self, path: str, value: object, rule: str, *, missing: str = "") -> Problem:
        """Return the problem that the field at `path` holds `value` against `rule`."""
        return self.problem(path, f"is {shown(value)}: {rule}", missing=missing)


@dataclass(frozen=True)
class Documents:
    """Checked documents, in the order they were read; no two of one kind have the same name."""

    documents: tuple[Document[Resource], ...]

    def __iter__(self) -> Iterator[Document[Resource]]:
        return iter(self.documents)

    def __len__(self) -> int:
        return len(self.documents)

    def of(self, kind: type[R]) -> list[Document[R]]:
        """Return the documents of one kind."""
        return [cast("Document[R]", each) for each in self.documents if isinstance(each.resource, kind)]

    def names(self, kind: type[R]) -> list[str]:
        """Return the sorted names of the documents of one kind."""
        return sorted(each.name for each in self.of(kind))

    def find(self, kind: type[R], name: str) -> Document[R] | None:
        """Return the document of that kind and name, or None."""
        return next((each for each in self.of(kind) if each.name == name), None)


def gather(documents: list[Document[Resource]]) -> Documents:
    """Return the documents as one set. Raises InvalidDocuments when two of one kind have the same name."""
    first: dict[tuple[str, str], Document[Resource]] = {}
    problems = []
    for each in documents:
        earlier = first.setdefault((each.resource.kind, each.name), each)
        if earlier is not each:
            problems.append(each.problem("metadata.name", f"is {each.name!r}, as is that of {earlier.where}"))
    if problems:
        raise InvalidDocuments(problems)
    return Documents(tuple(documents))
