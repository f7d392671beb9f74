"""A few threads for calls that block, and that may never return."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Runs calls first come, first served, `count` at once; no thread is there before the first call.

    Unlike an executor's, these threads do not keep the interpreter from ending: a store that hangs must not keep an
    agent whose work is over. They last, since file systems that are not made for threads are kept one per thread.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns, or raise what it raises. Cancelled, a call that began runs on, unheard."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self._count)]
            for thread in self._threads:
                thread.start()
        future: Future[T] = Future()
        self._calls.put((future, function))
        return await asyncio.wrap_future(future)

    def end(self, patience: float) -> None:
        """Begin no further call, and wait up to `patience` seconds for those that run."""
        give_up = time.monotonic() + patience
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join(max(0.0, give_up - time.monotonic()))

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001  (it is raised where the call was made)
                    future.set_exception(error)
                else:
                    future.set_result(result)
