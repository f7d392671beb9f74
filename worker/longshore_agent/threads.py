"""Daemon threads for blocking calls that may never return."""

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
    """A pool of `count` daemon threads that run calls in order of arrival. Threads start with the first call.

    Unlike an executor's threads, they do not delay the interpreter's exit: a hanging store must not keep an agent alive
    whose work is finished. They are never replaced, because some file systems keep one instance per thread.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    async def run(self, function: Callable[[], T]) -> T:
        """Run the function in a thread; return its result or raise its exception. Cancelling does not interrupt it."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self._count)]
            for thread in self._threads:
                thread.start()
        future: Future[T] = Future()
        self._calls.put((future, function))
        return await asyncio.wrap_future(future)

    def end(self, patience: float) -> None:
        """Start no further calls and wait up to `patience` seconds for the running ones."""
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
                except BaseException as error:  # noqa: BLE001  (raised again in the caller)
                    future.set_exception(error)
                else:
                    future.set_result(result)
