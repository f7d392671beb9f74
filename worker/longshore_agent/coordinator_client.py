"""The one place that speaks HTTP: the coordinator's four calls, with patience."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from longshore_protocol.job import Job
from longshore_protocol.reading import read, read_text
from longshore_protocol.wire import OLDEST_PROTOCOL, PROTOCOL, Grant, unpack_grants

_LONGEST_TRY = 80.0  # seconds that a call and the pause after it may take
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries, give or take a half; the last one repeats
_KEPT = 5.0  # seconds that a connection is kept for the next call: less than the coordinator keeps it


class Superseded(Exception):
    """The coordinator does not know this agent (any more): a new one took over. Register again, forget all leases."""


class Refused(Exception):
    """The coordinator refuses this agent for good; the message says why."""


class Unreachable(Exception):
    """No coordinator answered for as long as patience lasts."""


@dataclass(frozen=True)
class Registration:
    """What a coordinator says to a new agent."""

    agent: str
    epoch: int
    job: Job


@dataclass(frozen=True)
class Orders:
    """What a coordinator wants of an agent, told with every answer."""

    finished: bool = False  # nothing will ever be leased again: end in an orderly way
    drain: bool = False  # finish what runs, give back the rest, then end
    stop: bool = False  # end at once
    lost: tuple[int, ...] = ()  # mini-batches whose leases are no longer this agent's


class CoordinatorClient:
    """Calls of one agent to its coordinator. Every call is repeated until it is answered or patience ends."""

    def __init__(self, url: str, *, token: str, worker: str, patience: float, ca: str | None = None) -> None:
        self._url = url
        self._worker = worker
        self._patience = patience
        self._tls = True if ca is None else ssl.create_default_context(cafile=ca)  # no other authority counts then
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._identity: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        # No limit on the whole call: a lease call waits at the coordinator until there is work.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        connector = aiohttp.TCPConnector(keepalive_timeout=_KEPT)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, boot: str) -> Registration:
        """Register this agent (`boot` tells this start of it from earlier ones).

        Raises Refused when no protocol is common to both sides or the token is another, Unreachable.
        """
        body = {"worker": self._worker, "boot": boot, "protocol": PROTOCOL, "oldest_protocol": OLDEST_PROTOCOL}
        registration = read_text(Registration, (await self._post("register", body)).decode())
        self._identity = {"agent": registration.agent, "epoch": registration.epoch}
        return registration

    async def lease(self, want: int) -> tuple[list[Grant], Orders]:
        """Ask for up to `want` mini-batches; waits at the coordinator while there are none.

        Raises Superseded, Refused, Unreachable.
        """
        orders, grants = unpack_grants(await self._post("lease", {**self._identity, "want": want}))
        return grants, read(Orders, orders)

    async def report(self, body: dict[str, Any]) -> Orders:
        """Deliver a `wire.report`. Raises Superseded, Refused, Unreachable."""
        return read_text(Orders, (await self._post("report", body)).decode())

    async def bye(self) -> None:
        """Say that this agent ends and holds nothing any more. Raises Superseded, Refused, Unreachable."""
        await self._post("bye", self._identity)

    async def _post(self, call: str, body: dict[str, Any]) -> bytes:
        assert self._session is not None, "used outside its `async with`"
        data = json.dumps(body, separators=(",", ":")).encode()
        loop = asyncio.get_running_loop()
        waited, tries = 0.0, 0
        while True:
            began = loop.time()
            try:
                async with self._session.post(f"{self._url}/v1/{call}", data=data, ssl=self._tls) as response:
                    text = await response.read()
                    if response.status == 200:
                        return text
                    if response.status == 409:
                        raise Superseded(text.decode(errors="replace"))
                    if response.status < 500 and response.status != HTTPStatus.REQUEST_TIMEOUT:
                        raise Refused(text.decode(errors="replace"))
                    trouble: object = f"HTTP {response.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                trouble = error or type(error).__name__
            if waited > self._patience:
                raise Unreachable(f"no coordinator at {self._url} for {self._patience:.0f} s: {trouble}")
            await asyncio.sleep(_pause(tries))
            tries += 1
            waited += min(loop.time() - began, _LONGEST_TRY)  # what is more, this process was stopped


def _pause(tries: int) -> float:
    """Return the seconds before the next try: random, so that agents which failed together do not return together."""
    return _PAUSES[min(tries, len(_PAUSES) - 1)] * random.uniform(0.5, 1.5)
