"""What can go wrong with places.

StorageError
├── ListingError      a path of an input cannot be listed
│   └── AbsentError   because nothing is there
└── DatabaseError     a database cannot be asked
"""


class StorageError(Exception):
    """A place that cannot be used; its text is one sentence that names place and cause."""


class ListingError(StorageError):
    """A path that does not exist, or that cannot be read."""


class AbsentError(ListingError):
    """A path that does not exist."""


class DatabaseError(StorageError):
    """A database that cannot be reached, or that refuses a query: who says what; no password is in it."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        super().__init__(text)
        self.is_final = is_final  # asking again would be for nothing
