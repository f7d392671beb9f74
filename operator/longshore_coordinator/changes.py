"""Waiting until something changed: for whoever looks again then, and not at a fixed pace."""

from __future__ import annotations

import asyncio


class Changes:
    """Wakes all who wait. Lives on one event loop: who looks and then waits, without an await between, misses none."""

    def __init__(self) -> None:
        self._next = asyncio.Event()  # replaced at each change

    def tell(self) -> None:
        """Something changed: those who wait look again."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return after the next change, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):  # wait_for may lose a cancellation up to Python 3.11
                await self._next.wait()
        except TimeoutError:
            return
