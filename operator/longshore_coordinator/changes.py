"""Notification of coroutines that wait for a change of the run's state."""

from __future__ import annotations

import asyncio


class Changes:
    """Wakes all waiting coroutines of one event loop.

    A coroutine that checks a state and then waits, without an await in between, misses no change.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()  # replaced at each change

    def notify(self) -> None:
        """Wake all waiting coroutines."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait for the next change, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):  # not wait_for, which may lose a cancellation up to Python 3.11
                await self._next.wait()
        except TimeoutError:
            return
