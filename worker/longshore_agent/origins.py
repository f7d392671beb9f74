"""Classify errors of staging by the infrastructure that failed."""

from __future__ import annotations

from longshore_protocol.errors import is_transient
from longshore_protocol.wire import INPUT, STORE
from longshore_storage.causes import lacks_credentials
from longshore_storage.retrying import is_full, is_temporary_failure


def origin_of(error: BaseException) -> str | None:
    """Return which infrastructure caused a failed download (`wire.Deferral.origin`).

    Returns:
        STORE for a full local disk, INPUT for a store that fails temporarily, or None if a retry cannot succeed or the
        cause is unclear. None makes it a failure of the data.
    """
    if is_full(error):
        return STORE
    return INPUT if is_temporary_failure(error) or is_transient(error) or lacks_credentials(error) else None
