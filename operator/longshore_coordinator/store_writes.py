"""Writes to the run folder's store, retried while the store fails, with the cause in the snapshot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from tenacity import AsyncRetrying

from longshore_coordinator.outage import Outage
from longshore_protocol.wire import STORE
from longshore_storage.retrying import backoff, error_of, is_full, is_retryable, policy, stop_after_patience

T = TypeVar("T")

_FIRST, _LONGEST = 0.5, 10.0  # seconds between two attempts
_LONGEST_ATTEMPT = 120.0  # seconds counted per attempt and pause: in a longer one, the process was suspended


class StoreWrites:
    """The writes of one coordinator.

    Args:
        outage: records the failures for the snapshot and the grants.
        limit: seconds for which a write is retried.
    """

    def __init__(self, outage: Outage, *, limit: float) -> None:
        self._outage = outage
        self._limit = limit
        self._stopped = asyncio.Event()

    def stop_retrying(self) -> None:
        """Make no further attempt, because the user interrupts the run."""
        self._stopped.set()

    async def try_once(self, what: str, call: Callable[[], None]) -> bool:
        """Call a blocking function once, recording an OSError as outage; return whether it succeeded."""
        try:
            await asyncio.to_thread(call)
        except OSError as error:
            self._outage.record_failure(STORE, _format_error(what, error))
            return False
        self._outage.record_success()
        return True

    async def retry(
        self, what: str, call: Callable[[], T], *, limit: float | None = None, transient_only: bool = False
    ) -> T:
        """Call a blocking function, again while it raises OSError; return its result.

        Args:
            what: what is written, for the message of the outage.
            call: the function.
            limit: seconds for which it is retried (default: that of this object).
            transient_only: raise errors immediately that a retry cannot fix.

        Raises:
            Exception: the exception of the last attempt.
        """

        def is_retried(error: BaseException) -> bool:
            is_final = transient_only and not (is_retryable(error) or is_full(error))
            return isinstance(error, OSError) and not (is_final or self._stopped.is_set())

        stop = stop_after_patience(self._limit if limit is None else limit, longest=_LONGEST_ATTEMPT)
        result: T = await AsyncRetrying(
            **policy(is_retried, stop=stop, wait=backoff(_FIRST, _LONGEST)),
            sleep=self._pause,
            before_sleep=lambda state: self._outage.record_failure(STORE, _format_error(what, error_of(state))),
        )(asyncio.to_thread, call)
        self._outage.record_success()
        return result

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()


def _format_error(what: str, error: BaseException) -> str:
    return f"cannot write {what}: {getattr(error, 'strerror', None) or error}"
