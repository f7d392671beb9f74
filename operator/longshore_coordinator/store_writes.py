"""Writes to the run's own store that must succeed: made again while it fails, with the reason in the snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from longshore_coordinator.outage import Outage
from longshore_protocol.wire import STORE
from longshore_storage.retrying import is_full, may_pass

T = TypeVar("T")

_FIRST, _LONGEST = 0.5, 10.0  # seconds between two tries: each pause is double the one before
_LONGEST_TRY = 120.0  # seconds: a try that took longer was not all trying, the process was stopped


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
        waited, pause = 0.0, _FIRST
        while True:
            began = time.monotonic()
            try:
                result = await asyncio.to_thread(call)
            except OSError as error:
                waited += min(time.monotonic() - began, _LONGEST_TRY)
                is_final = transient_only and not (may_pass(error) or is_full(error))
                if is_final or self._hurried.is_set() or waited >= (self._limit if limit is None else limit):
                    raise
                self._outage.failed(STORE, _reason(what, error))
            else:
                self._outage.ended()
                return result
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurried.wait()
            waited, pause = waited + pause, min(_LONGEST, 2 * pause)


def _reason(what: str, error: OSError) -> str:
    return f"cannot write {what}: {error.strerror or error}"
