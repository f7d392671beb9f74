"""A coordinator behind its server, whose listing goes on when a test says so."""

import json
import queue
from contextlib import asynccontextmanager

from fakes import served, summary_job

from longshore_coordinator.enumerate import Slice
from longshore_coordinator.service import Coordinator
from longshore_protocol import wire
from longshore_protocol.snapshot import Snapshot
from longshore_protocol.wire import unpack_grants

TOKEN = "the run's secret"


class Listing:
    """A listing that goes on when it is told to."""

    def __init__(self):
        self._names = queue.SimpleQueue()
        self.count = 0

    def add(self, count=1):
        for _ in range(count):
            self._names.put(f"/in/{self.count}")
            self.count += 1

    def end(self):
        self._names.put(None)

    def __call__(self, _):
        for name in iter(self._names.get, None):
            yield Slice(0, 1, json.dumps([name]).encode())


class Caller:
    """Speaks to a server under test; one agent's view."""

    def __init__(self, session, url, coordinator, listing):
        self.session, self.url, self.coordinator, self.listing = session, url, coordinator, listing
        self.identity = {}

    async def post(self, call, body, *, status=200, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(f"/v1/{call}", data=data, headers=headers) as response:
            answer = await response.read()
            assert response.status == status, answer
            return answer

    async def register(self, worker="w0"):
        answer = json.loads(await self.post("register", {"worker": worker, "boot": "x", "protocol": wire.PROTOCOL}))
        self.identity = {"agent": answer["agent"], "epoch": answer["epoch"]}
        return answer

    async def lease(self, want=1):
        orders, grants = unpack_grants(await self.post("lease", {**self.identity, "want": want}))
        return grants, orders

    async def report(self, **what):
        return json.loads(await self.post("report", wire.report(*self.identity.values(), **what)))

    async def snapshot(self):
        async with self.session.get("/v1/snapshot") as response:
            return Snapshot.from_json(await response.text())


@asynccontextmanager
async def serving(folder, **changes):
    listing = Listing()
    coordinator = Coordinator(summary_job(folder, **changes), cut=listing)
    await coordinator.open()
    try:
        async with served(coordinator, token=TOKEN) as (session, url):
            yield Caller(session, url, coordinator, listing)
    finally:
        listing.end()
