"""Writes to the run's own store that must succeed: made again while it fails, with the reason in the snapshot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from tenacity import AsyncRetrying

from longshore_coordinator.outage import Outage
from longshore_protocol.wire import STORE
from longshore_storage.retrying import backoff, error_of, is_full, may_pass, policy, stop_after_patience

T = TypeVar("T")

_FIRST, _LONGEST = 0.5, 10.0  # seconds between two attempts
_LONGEST_TRY = 120.0  # seconds that an attempt and the pause before it may take, for the rest the process was suspended


class StoreWrites:
    """The writes of one coordinator. `outage` tells others that they fail, `limit` is for how many seconds they may."""

    def __init__(self, outage: Outage, *, limit: float) -> None:
        self._outage = outage
        self._limit = limit
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Make no further try: somebody wants the run to end now."""
        self._hurried.set()

    async def attempt(self, what: str, call: Callable[[], None]) -> bool:
        """Make a blocking call once; return whether it succeeded. An OSError is kept as the reason to wait."""
        try:
            await asyncio.to_thread(call)
        except OSError as error:
            self._outage.failed(STORE, _reason(what, error))
            return False
        self._outage.ended()
        return True

    async def insist(
        self, what: str, call: Callable[[], T], *, limit: float | None = None, transient_only: bool = False
    ) -> T:
        """Return what a blocking call returns, made again while it raises OSError, up to `limit` seconds.

        With `transient_only`, an error that no further try can mend is raised at once. Raises what the last try raised.
        """

        def is_retried(error: BaseException) -> bool:
            is_final = transient_only and not (may_pass(error) or is_full(error))
            return isinstance(error, OSError) and not (is_final or self._hurried.is_set())

        stop = stop_after_patience(self._limit if limit is None else limit, longest=_LONGEST_TRY)
        result: T = await AsyncRetrying(
            **policy(is_retried, stop=stop, wait=backoff(_FIRST, _LONGEST)),
            sleep=self._pause,
            before_sleep=lambda state: self._outage.failed(STORE, _reason(what, error_of(state))),
        )(asyncio.to_thread, call)
        self._outage.ended()
        return result

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()


def _reason(what: str, error: BaseException) -> str:
    return f"cannot write {what}: {getattr(error, 'strerror', None) or error}"
