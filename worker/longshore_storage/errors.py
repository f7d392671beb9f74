"""Errors of storage.

StorageError
├── ListingError      a path of an input cannot be listed
│   └── AbsentError   because it does not exist
└── DatabaseError     a database cannot be queried

ChangedFileError      a file differs from the version in the plan
"""

from __future__ import annotations

from longshore_protocol.redaction import redacted


class ShownError(Exception):
    """An error with a message for users; secrets in its URLs are replaced."""

    def __init__(self, text: str) -> None:
        super().__init__(redacted(text))


class StorageError(ShownError):
    """A location cannot be used; the message is one sentence that names it and the cause."""


class ListingError(StorageError):
    """A path does not exist or cannot be read."""


class AbsentError(ListingError):
    """A path does not exist."""


class ChangedFileError(ValueError):
    """A file changed since the run was planned; the message is a clause whose subject is "it"."""


class DatabaseError(StorageError):
    """A database cannot be reached or rejects a query; the message names it and contains no password."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        super().__init__(text)
        self.is_final = is_final  # a retry cannot succeed
