"""Where infrastructure fails, by the error that it raised here."""

from __future__ import annotations

from longshore_protocol.errors import is_transient
from longshore_protocol.wire import INPUT, STORE
from longshore_storage.causes import lacks_credentials
from longshore_storage.retrying import fails_for_now, is_full


def origin_of(error: BaseException) -> str | None:
    """Return where infrastructure evidently fails that kept something from being fetched (`wire.Deferral.origin`).

    None where no later try can succeed, and in doubt: then it is the data that cannot be read.
    """
    if is_full(error):
        return STORE
    return INPUT if fails_for_now(error) or is_transient(error) or lacks_credentials(error) else None
