"""Sets of documents, with look-up by kind and name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from longshore_api.base import Resource
from longshore_api.data import Dataset
from longshore_api.errors import InvalidDocuments, Problem, shown

R = TypeVar("R", bound=Resource)
R_co = TypeVar("R_co", bound=Resource, covariant=True)


@dataclass(frozen=True)
class Document(Generic[R_co]):
    """One validated document and its origin."""

    where: str  # "steps.yaml document 2, ParallelRunStep/digits"
    folder: str  # absolute path of its file's folder, which its relative paths start from
    resource: R_co

    @property
    def name(self) -> str:
        return self.resource.metadata.name

    def problem(self, path: str, text: str, *, missing: str = "") -> Problem:
        """Return a problem of the field at `path` ("spec.entryScript") of this document.

        `missing` is the kind of the referenced object that does not exist (yet), or "".
        """
        return Problem(self.where, path, text, missing)

    def wrong(self, path: str, value: object, rule: str, *, missing: str = "") -> Problem:
        """Return the problem that `value`, in the field at `path`, breaks `rule`."""
        return self.problem(path, f"is {shown(value)}: {rule}", missing=missing)


@dataclass(frozen=True)
class Documents:
    """Validated documents in the order they were read; names are unique within a kind."""

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
        """Return the document of this kind and name, or None; of a Dataset's `spec.name` the highest version."""
        if kind is Dataset:
            named = [each for each in self.of(Dataset) if (each.resource.spec.name or each.name) == name]
            if named:
                return cast("Document[R]", max(named, key=lambda each: each.resource.spec.version))
        return next((each for each in self.of(kind) if each.name == name), None)


def gather(documents: list[Document[Resource]]) -> Documents:
    """Return the documents as one set; raise InvalidDocuments if two of one kind have the same name."""
    first: dict[tuple[str, str], Document[Resource]] = {}
    problems = []
    for each in documents:
        earlier = first.setdefault((each.resource.kind, each.name), each)
        if earlier is not each:
            problems.append(each.problem("metadata.name", f"is {each.name!r}, as is that of {earlier.where}"))
    if problems:
        raise InvalidDocuments(problems)
    return Documents(tuple(documents))
