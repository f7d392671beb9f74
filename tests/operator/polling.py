"""Coordinators that a poller polls, on a loop whose clock jumps to the next thing that is due."""

import asyncio
import functools
import inspect
import json
import selectors
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from longshore_client import api
from longshore_client.api import CoordinatorError, Rejected, Unreachable
from longshore_operator.cluster.coordinators import AnswerPending, Endpoint
from longshore_operator.cluster.poller import LIMITS, Poller
from longshore_protocol.snapshot import RUNNING, MiniBatchCounts, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NONE = frozenset()


class Jumping(selectors.DefaultSelector):
    """Passes time at once instead of waiting."""

    now = 0.0

    def select(self, timeout=None):
        if timeout:
            self.now += timeout
        return super().select(0)


class World:
    """Coordinators by the names of their steps, and the operator's side of them."""

    def __init__(self):
        self.poller = Poller(self.on_change, connect=self.connect, now=lambda: NOW)
        self.mute, self.refusing = set(), set()
        self.done = defaultdict(int)  # mini-batches, counted on with each answer of those that make progress
        self.steady = set()
        self.calls = defaultdict(list)  # step -> (when, path, worker)
        self.requeued = defaultdict(list)  # step -> when
        self.connections = defaultdict(int)
        self.generation = 1
        self.ended = NONE
        self.looks = True  # reconcile at once when requeued
        self.takes = 0.0  # seconds of a call
        self.in_flight, self.most_in_flight = 0, 0

    def time(self):
        return asyncio.get_running_loop().time()

    def on_change(self, namespace, step):
        assert namespace == "n"
        self.requeued[step].append(self.time())
        if self.looks:
            self.look(step)

    def look(self, step, **changes):
        """Reconcile a step; return the snapshot that it gets, the error, or None while there is no answer."""
        asked = {"generation": self.generation, "ended": self.ended, **changes}
        try:
            return self.poller.snapshot(endpoint(step), **asked)
        except AnswerPending:
            return None
        except CoordinatorError as error:
            return error

    @asynccontextmanager
    async def connect(self, http):
        step = http.name
        self.connections[step] += 1
        yield _Calls(self, step)

    async def answer(self, step, path, body):
        worker = json.loads(body)["worker"] if body else ""
        self.calls[step].append((self.time(), path, worker))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.in_flight -= 1
        if step in self.mute:
            await asyncio.sleep(LIMITS.total)
            raise Unreachable("no answer in time")
        if path != "/v1/snapshot":
            if step in self.refusing:
                raise Rejected(step, 404, "no such call")
            return b"{}"
        self.done[step] += step not in self.steady
        return snapshot(self.done[step]).to_json().encode()

    def polls(self, step):
        return [when for when, path, _ in self.calls[step] if path == "/v1/snapshot"]


class _Calls:
    def __init__(self, world, step):
        self.world, self.step = world, step

    async def call(self, method, path, body=None):
        assert method == ("GET" if path == "/v1/snapshot" else "POST")
        return await self.world.answer(self.step, path, body)


def snapshot(done, **changes):
    counts = MiniBatchCounts(total=1000, succeeded=done)
    return replace(Snapshot(RUNNING, "r", "/run", "/run/out", 1, mini_batches=counts), **changes)


def endpoint(step, token="t"):
    return Endpoint("n", step, api.Endpoint("https://10.0.0.1:1", token, "ca", step))


def on_jumping_clock(scenario):
    """Make a test of an async function: it gets a world, on a clock that jumps, and the test's parameters."""

    @functools.wraps(scenario)
    def test(**parameters):
        _run(lambda world: scenario(world, **parameters))

    given = inspect.signature(scenario)
    test.__signature__ = given.replace(parameters=list(given.parameters.values())[1:])
    return test


def _run(scenario):

    class Loop(asyncio.SelectorEventLoop):
        def __init__(self):
            self.jumping = Jumping()
            super().__init__(self.jumping)

        def time(self):
            return self.jumping.now

    async def main():
        world = World()
        polling = asyncio.create_task(world.poller.run())
        await asyncio.sleep(0)
        try:
            await scenario(world)
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1, "polling has ended"

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
