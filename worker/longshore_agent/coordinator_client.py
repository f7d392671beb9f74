"""The coordinator's four calls for agents, each retried until it is answered or patience ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from longshore_client import api
from longshore_client.api import CoordinatorApi, Endpoint, Limits, Rejected, jittered
from longshore_protocol.job import Job
from longshore_protocol.reading import read, read_text
from longshore_protocol.wire import OLDEST_PROTOCOL, PROTOCOL, Grant, unpack_grants

_LONGEST_TRY = 80.0  # seconds that a call and the pause after it may take
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries, give or take a half; the last one repeats
# No limit on the whole call: a lease call waits at the coordinator until there is work.
_LIMITS = Limits(connect=10.0, silence=60.0)


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
        """`ca` is the file of the one authority to trust. Raises OSError, api.InvalidAuthority."""
        self._url = url
        self._worker = worker
        self._patience = patience
        authority = None if ca is None else Path(ca).read_text()
        self._api = CoordinatorApi(Endpoint(url, token, authority), _LIMITS)
        self._identity: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.__aexit__()

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
        data = json.dumps(body, separators=(",", ":")).encode()
        loop = asyncio.get_running_loop()
        waited, tries = 0.0, 0
        while True:
            began = loop.time()
            try:
                return await self._api.call("POST", f"/v1/{call}", data)
            except Rejected as error:
                if error.status == HTTPStatus.CONFLICT:
                    raise Superseded(error.text) from error
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.status != HTTPStatus.REQUEST_TIMEOUT:
                    raise Refused(error.text) from error
                trouble: api.CoordinatorError = error
            except api.Unreachable as error:
                trouble = error
            if waited > self._patience:
                raise Unreachable(f"no coordinator answered for {self._patience:.0f} s: {trouble}")
            await asyncio.sleep(_pause(tries))
            tries += 1
            waited += min(loop.time() - began, _LONGEST_TRY)  # what is more, this process was stopped


def _pause(tries: int) -> float:
    """Return the seconds before the next try."""
    return jittered(_PAUSES[min(tries, len(_PAUSES) - 1)])
