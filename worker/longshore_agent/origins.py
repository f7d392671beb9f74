"""Where infrastructure fails, by the error that it raised here."""

from __future__ import annotations

from longshore_protocol.wire import INPUT, STORE
from longshore_storage.causes import lacks_credentials
from longshore_storage.errors import AbsentError, ListingError
from longshore_storage.retrying import is_full, may_pass


def origin_of(error: BaseException) -> str | None:
    """Return where infrastructure fails that kept something from being fetched (`wire.Deferral.origin`).

    None where no later try can succeed.
    """
    if isinstance(error, AbsentError):
        return None
    if isinstance(error, ListingError):
        return None if error.__cause__ is None else origin_of(error.__cause__)
    if is_full(error):
        return STORE
    return INPUT if may_pass(error) or lacks_credentials(error) else None
