"""What can go wrong with places.

StorageError
└── ListingError      a path of an input cannot be listed
    └── AbsentError   because nothing is there
"""


class StorageError(Exception):
    """A place that cannot be used; its text is one sentence that names place and cause."""


class ListingError(StorageError):
    """A path that does not exist, or that cannot be read."""


class AbsentError(ListingError):
    """A path that does not exist."""
