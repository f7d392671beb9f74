"""What can go wrong with places.

StorageError
├── ListingError      a path of an input cannot be listed
│   └── AbsentError   because nothing is there
└── DatabaseError     a database cannot be asked

ChangedFileError      a file is not the version that the plan was made of
"""

from __future__ import annotations

from longshore_storage.redaction import redacted


class ShownError(Exception):
    """An error whose text is for people: secrets in the URLs that it names are hidden."""

    def __init__(self, text: str) -> None:
        super().__init__(redacted(text))


class StorageError(ShownError):
    """A place that cannot be used; its text is one sentence that names place and cause."""


class ListingError(StorageError):
    """A path that does not exist, or that cannot be read."""


class AbsentError(ListingError):
    """A path that does not exist."""


class ChangedFileError(ValueError):
    """A file that changed since the run was planned; its text is a clause about "it"."""


class DatabaseError(StorageError):
    """A database that cannot be reached, or that refuses a query: who says what; no password is in it."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        super().__init__(text)
        self.is_final = is_final  # asking again would be for nothing
