"""A queue of unique keys; one thread at a time works on a key, which may be requeued with a delay.

add ------> due -----> worked on -----> removed, or due later
             ^             |
             `-- added meanwhile, or failed: due again (immediately, or after a growing pause)
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from longshore_protocol.backoff import pause

K = TypeVar("K")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 60.0  # seconds after a failure
_JITTER = 0.1  # of a pause, more or less

_log = logging.getLogger("longshore.operator")


class WorkQueue(Generic[K]):
    """Calls `work` for keys; it returns the seconds until the key is due again, None for never.

    An exception of `work` is logged, and the key is due again after a pause that doubles with each failure: one of the
    `expected` kinds in a line, any other as a bug, with its traceback. While a key is worked on, `about` of it is
    entered, which adds the object to log lines. `taken` is called with the lateness of each key that is taken up, in
    seconds since it was due.
    """

    def __init__(
        self,
        work: Callable[[K], float | None],
        *,
        expected: tuple[type[Exception], ...] = (),
        about: Callable[[K], AbstractContextManager[None]] = lambda key: nullcontext(),
        taken: Callable[[float], None] = lambda lateness: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._expected = expected
        self._about = about
        self._taken = taken
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}  # when
        self._order: list[tuple[float, int, K]] = []  # a heap; entries that `_due` does not confirm are void
        self._entries = 0  # decides between equal times: keys need no order
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._paused = False

    def add(self, key: K, *, delay: float = 0.0) -> None:
        """See to it that the key is worked on, no later than after the delay (seconds)."""
        with self._changed:
            when = self._clock() + delay
            if key in self._due and self._due[key] <= when:
                return
            self._due[key] = when
            self._entries += 1
            heapq.heappush(self._order, (when, self._entries, key))
            self._changed.notify()

    def pause(self) -> None:
        """Take up no further key until `resume`; keys are still added."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Work on keys again."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def start(self, threads: int) -> None:
        """Start the threads, which work on keys unless the queue is paused."""
        self._threads = [threading.Thread(target=self._serve, name=f"reconcile-{n}") for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for what is worked on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __len__(self) -> int:
        with self._changed:
            return len(self._due)

    def _serve(self) -> None:
        while (key := self._take()) is not None:
            (taken,) = key
            with self._about(taken):
                again = self._attempt(taken)
            with self._changed:
                self._busy.discard(taken)
                if taken in self._due:
                    self._changed.notify()  # this thread may take another key
            if again is not None:
                self.add(taken, delay=again)

    def _attempt(self, key: K) -> float | None:
        try:
            again = self._work(key)
        except Exception as error:  # noqa: BLE001  (whatever it is, the key must not be lost)
            seconds = self._pause(key)
            if isinstance(error, self._expected):
                _log.warning("trying again in %.1f s: %s: %s", seconds, type(error).__name__, error)
            else:
                _log.error("a bug; trying again in %.1f s: %s", seconds, type(error).__name__, exc_info=error)
            return seconds
        self._failures.pop(key, None)
        return again

    def _pause(self, key: K) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return pause(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=_JITTER)

    def _take(self) -> tuple[K] | None:
        """Wait for a due key that no thread works on; return it, or None after a stop."""
        with self._changed:
            while not self._stopped:
                if self._paused:
                    self._changed.wait()
                    continue
                wait = None
                put_back = []
                found: tuple[K] | None = None
                while self._order and found is None:
                    when, _, key = self._order[0]
                    if self._due.get(key) != when:
                        heapq.heappop(self._order)
                    elif key in self._busy:
                        put_back.append(heapq.heappop(self._order))
                    elif when <= self._clock():
                        heapq.heappop(self._order)
                        found = (key,)
                    else:
                        wait = when - self._clock()
                        break
                for entry in put_back:
                    heapq.heappush(self._order, entry)
                if found is not None:
                    self._taken(self._clock() - self._due.pop(found[0]))
                    self._busy.add(found[0])
                    return found
                self._changed.wait(wait)
            return None
