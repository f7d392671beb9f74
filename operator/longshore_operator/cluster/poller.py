"""Poller of coordinators: one thread with an event loop, with a task and a connection per coordinator.

reconcile   snapshot()       returns the latest answer without waiting; the first call starts the polling
            gone(), drain()  are sent before the next poll
task        messages, then a poll --> requeue the step when the answer is a new one

Coordinators without calls of snapshot() are forgotten. Those that do not answer are polled less and less often.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import json
import logging
import random
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from longshore_client import api
from longshore_client.api import CoordinatorApi, CoordinatorError, Limits, Rejected
from longshore_operator.cluster.coordinators import AnswerPending, Endpoint, Polled
from longshore_protocol.backoff import pause
from longshore_protocol.snapshot import Snapshot

LIMITS = Limits(connect=5.0, silence=5.0, total=5.0, answer=2**22, kept=8.0)

_SHORTEST = 2.0  # seconds between two polls of a coordinator
_BUDGET = 220.0  # polls of all coordinators per second; most are followed by a write to the API server
_PEAK = 240.0  # polls of all coordinators per second, at any moment
_AT_ONCE = 100  # polls in flight, so that time limits are those of coordinators, and not of an operator short of CPU
_JITTER = 0.1  # of an interval, by which some are shorter
_BACKOFF_JITTER = 0.25  # of a backoff, more or less
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 30.0  # seconds after a failure
_QUIET = 30.0  # seconds after which a step is requeued without a change, to renew the time in its status
_BUFFER = 2**14  # bytes, a TLS record: asyncio's own 256 KiB per connection are all of the operator's memory at 1,000
_FORGOTTEN = 90.0  # seconds after which a coordinator is no longer polled unless a reconcile has asked about it

_GONE, _DRAIN = "/v1/gone", "/v1/drain"

_log = logging.getLogger("longshore.operator")

Message = tuple[str, str]  # path of a call and the worker that it is about


class Calls(Protocol):
    """Calls one coordinator; `CoordinatorApi` does."""

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request; return the body of its answer. Raises CoordinatorError."""


def _connect(endpoint: api.Endpoint) -> AbstractAsyncContextManager[Calls]:
    return CoordinatorApi(endpoint, LIMITS)


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class _Entry:
    """What is known of one coordinator. The poller's lock guards it."""

    endpoint: Endpoint
    asked: float  # by the loop's clock: when a reconcile last asked
    generation: int  # of the spec that reconciles have seen
    ended: frozenset[str]  # pods that reconciles have seen to have ended
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    answer: Polled | None = None
    answer_generation: int = 0
    error: CoordinatorError | None = None  # of the latest poll
    failures: int = 0  # in a row
    awaited: bool = True  # a reconcile waits for an answer that is asked for from now on
    requeued: float = float("-inf")  # when the step last was
    reconciled: asyncio.Event = field(default_factory=asyncio.Event)  # since it was requeued
    outbox: dict[Message, None] = field(default_factory=dict)  # in order
    acknowledged: set[str] = field(default_factory=set)  # workers reported as gone; the next reconcile reads that


class Poller:
    """Implements `Coordinators`; any thread may call it. `on_change` gets namespace and name of a step to reconcile."""

    def __init__(
        self,
        on_change: Callable[[str, str], None],
        *,
        connect: Callable[[api.Endpoint], AbstractAsyncContextManager[Calls]] = _connect,
        now: Callable[[], datetime] = _utc,
    ) -> None:
        self._on_change = on_change
        self._connect = connect
        self._now = now
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._trials = asyncio.Semaphore(_AT_ONCE)  # of those that have not answered yet, or do not any more
        self._previous = float("-inf")  # moment of the latest poll that was spaced, by the loop's clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # --- thread -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, and make the buffers of this process's TLS connections small."""
        asyncio.sslproto.SSLProtocol.max_size = _BUFFER
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.run(ready.set)), name="coordinators")
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """End all polling, and the thread."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Poll in the running loop until `stop`, or until cancelled."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        ready()
        try:
            await self._stopping.wait()
        finally:
            tasks = self._drop(list(self._entries.values()))
            await asyncio.gather(*tasks, return_exceptions=True)

    def forget_all(self) -> None:
        """Stop polling, as this operator no longer leads; requeue the steps, so that they ask again when it does."""
        with self._lock:
            entries = list(self._entries.values())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._drop, entries)
        for entry in entries:
            self._on_change(entry.endpoint.namespace, entry.endpoint.step)

    # --- for reconciles ---------------------------------------------------------------------------------------------

    @property
    def interval(self) -> float:
        return max(_SHORTEST, len(self._entries) / _BUDGET)

    def states(self) -> dict[str, int]:
        """Return the number of polled coordinators that answered the latest poll, and of those that did not."""
        with self._lock:
            silent = sum(each.error is not None for each in self._entries.values())
            return {"answering": len(self._entries) - silent, "silent": silent}

    def snapshot(self, endpoint: Endpoint, *, generation: int, ended: frozenset[str]) -> Polled:
        with self._lock:
            entry = self._entry(endpoint, generation=generation, ended=ended)
            self._signal(entry.reconciled)
            # A coordinator that does not answer is not asked sooner because something else has changed.
            if entry.error is not None:
                raise entry.error.with_traceback(None)  # raised often, it would keep the frames of each time
            answer = entry.answer
            if answer is not None and answer.ended != ended:
                self._hurry(entry)
            if answer is None or entry.answer_generation != generation:
                self._hurry(entry)
                raise AnswerPending
            return answer

    def gone(self, endpoint: Endpoint, worker: str) -> bool:
        with self._lock:
            entry = self._answering(endpoint)
            if entry is None:
                return True
            if worker in entry.acknowledged:
                entry.acknowledged.remove(worker)
                return True
            self._post(entry, (_GONE, worker))
            return False

    def drain(self, endpoint: Endpoint, worker: str) -> None:
        with self._lock:
            entry = self._answering(endpoint)
            if entry is not None:
                self._post(entry, (_DRAIN, worker))

    def _entry(self, endpoint: Endpoint, *, generation: int, ended: frozenset[str]) -> _Entry:
        assert self._loop is not None, "it is started"
        key = (endpoint.namespace, endpoint.step)
        entry = self._entries.get(key)
        if entry is None or entry.endpoint != endpoint:
            if entry is not None:
                self._loop.call_soon_threadsafe(self._drop, [entry])
            entry = self._entries[key] = _Entry(endpoint, self._loop.time(), generation, ended)
            self._loop.call_soon_threadsafe(self._attend_to, entry)
        entry.asked, entry.generation, entry.ended = self._loop.time(), generation, ended
        return entry

    def _answering(self, endpoint: Endpoint) -> _Entry | None:
        entry = self._entries.get((endpoint.namespace, endpoint.step))
        is_it = entry is not None and entry.endpoint == endpoint and entry.error is None
        return entry if is_it else None

    def _post(self, entry: _Entry, message: Message) -> None:
        if message not in entry.outbox:
            entry.outbox[message] = None
            self._hurry(entry)

    def _hurry(self, entry: _Entry) -> None:
        """Ask a coordinator at once, and requeue its step when it has answered."""
        entry.awaited = True
        self._signal(entry.wake)
        self._signal(entry.reconciled)

    def _signal(self, event: asyncio.Event) -> None:
        assert self._loop is not None, "it is started"
        if not event.is_set():
            self._loop.call_soon_threadsafe(event.set)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _attend_to(self, entry: _Entry) -> None:
        entry.task = asyncio.ensure_future(self._attend(entry))

    def _drop(self, entries: Iterable[_Entry]) -> list[asyncio.Task[None]]:
        dropped = []
        for entry in entries:
            with self._lock:
                self._forget(entry)
            if entry.task is not None:
                entry.task.cancel()
                dropped.append(entry.task)
        return dropped

    def _forget(self, entry: _Entry) -> None:
        key = (entry.endpoint.namespace, entry.endpoint.step)
        if self._entries.get(key) is entry:  # and not another coordinator of the step
            del self._entries[key]

    async def _attend(self, entry: _Entry) -> None:
        while self._is_wanted(entry):
            try:
                async with self._connect(entry.endpoint.http) as calls:
                    while self._is_wanted(entry):
                        await self._poll(entry, calls)
                        await self._pause(entry)
            except Exception as error:  # noqa: BLE001  (whatever it is, the step must not be lost)
                if not isinstance(error, CoordinatorError):
                    _log.error("a bug; polling a coordinator again: %s", type(error).__name__, exc_info=error)
                self._failed(entry, CoordinatorError(f"cannot be polled: {error}"), awaited=True)
                await self._pause(entry)

    def _is_wanted(self, entry: _Entry) -> bool:
        """Return whether a reconcile has asked about a coordinator lately; forget it otherwise."""
        assert self._loop is not None, "it runs"
        with self._lock:
            if self._loop.time() < entry.asked + _FORGOTTEN:
                return True
            self._forget(entry)
            return False

    async def _poll(self, entry: _Entry, calls: Calls) -> None:
        """Send queued messages, then ask for a snapshot. Coordinators that do not answer delay no other one."""
        proven = entry.answer is not None and entry.error is None
        if proven and not entry.awaited:
            await self._space(entry)
        async with self._turns if proven else self._trials:
            await self._ask(entry, calls)

    async def _space(self, entry: _Entry) -> None:
        """Wait until a poll may follow the previous one, so that those that are due together are spread.

        The API server and this process work on one status after another: of snapshots that were taken together, most
        would be old when they are written. A poll that is requested meanwhile is sent at once.
        """
        now = asyncio.get_running_loop().time()
        self._previous = max(now, self._previous + 1.0 / _PEAK)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._previous - now):
                await entry.wake.wait()

    async def _ask(self, entry: _Entry, calls: Calls) -> None:
        with self._lock:
            entry.wake.clear()
            messages, generation, ended = list(entry.outbox), entry.generation, entry.ended
            awaited, entry.awaited = entry.awaited, False
        try:
            for path, worker in messages:
                await _send(calls, path, worker)
            snapshot = await _snapshot(calls)
        except CoordinatorError as error:
            self._failed(entry, error, awaited=awaited)
            return
        if snapshot.observed is None:  # a coordinator of an earlier version
            snapshot = replace(snapshot, observed=self._now().timestamp())
        with self._lock:
            changed = entry.error is not None or entry.answer is None or _differ(entry.answer.snapshot, snapshot)
            entry.answer, entry.answer_generation = Polled(snapshot, ended), generation
            entry.error, entry.failures = None, 0
            for message in messages:
                del entry.outbox[message]
                if message[0] == _GONE:
                    entry.acknowledged.add(message[1])
        self._requeue(entry, now=changed or awaited)

    def _failed(self, entry: _Entry, error: CoordinatorError, *, awaited: bool) -> None:
        """Note a failure. Workers may be replaced without a report from now on: earlier ones must not arrive later."""
        with self._lock:
            changed = entry.error is None
            awaited, entry.awaited = awaited or entry.awaited, False
            entry.error, entry.failures = error, entry.failures + 1
            entry.outbox.clear()
            entry.acknowledged.clear()
        self._requeue(entry, now=changed or awaited)

    def _requeue(self, entry: _Entry, *, now: bool) -> None:
        """Requeue a step: now, or because it has not been for long."""
        clock = asyncio.get_running_loop().time()
        if now or clock >= entry.requeued + _QUIET:
            entry.requeued = clock
            entry.reconciled.clear()
            self._on_change(entry.endpoint.namespace, entry.endpoint.step)

    async def _pause(self, entry: _Entry) -> None:
        """Wait until the next poll is due, or is requested.

        It is due an interval after the last answer was reconciled: where reconciles are slow, because the API server or
        this process is short of CPU, coordinators are polled as often as they go, and no status is old when written.
        """
        if entry.failures:
            seconds = pause(entry.failures, first=_FIRST_BACKOFF, longest=_LONGEST_BACKOFF, jitter=_BACKOFF_JITTER)
            await asyncio.sleep(seconds)
            return
        if not entry.wake.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    await entry.reconciled.wait()
        try:
            async with asyncio.timeout(self.interval * random.uniform(1.0 - _JITTER, 1.0)):
                await entry.wake.wait()
        except TimeoutError:
            return


async def _send(calls: Calls, path: str, worker: str) -> None:
    """Send a message about a worker. One that is refused has been heard."""
    try:
        await calls.call("POST", path, json.dumps({"worker": worker}).encode())
    except Rejected as error:
        _log.warning("the coordinator refused a message about %s: %s", worker, error)


async def _snapshot(calls: Calls) -> Snapshot:
    text = await calls.call("GET", "/v1/snapshot")
    try:
        return Snapshot.from_json(text.decode(errors="replace"))
    except (ValueError, KeyError, TypeError) as error:
        raise CoordinatorError(f"the answer is no snapshot of this version: {error}") from error


def _differ(one: Snapshot, other: Snapshot) -> bool:
    return replace(one, observed=None) != replace(other, observed=None)
