"""The coordinator's four calls for agents, each retried until it is answered or the time limit is reached."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from tenacity import AsyncRetrying

from longshore_client import api
from longshore_client.api import CoordinatorApi, Endpoint, Limits, Rejected
from longshore_protocol.job import Job
from longshore_protocol.reading import read, read_text
from longshore_protocol.wire import OLDEST_PROTOCOL, PROTOCOL, Grant, unpack_grants
from longshore_storage.retrying import backoff, policy, stop_after_patience

_LONGEST_TRY = 80.0  # seconds that one call and the pause before it may take
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0  # seconds between two attempts
# No total limit: a lease call is a long poll that waits until there is work.
_LIMITS = Limits(connect=10.0, silence=60.0)


class Superseded(Exception):
    """The coordinator does not know this agent because a new one took over; drop all leases and register again."""


class Refused(Exception):
    """The coordinator rejects this agent permanently; the message states the reason."""


class Unreachable(Exception):
    """No coordinator answered within the time limit."""


@dataclass(frozen=True)
class Registration:
    """The coordinator's response to a registration."""

    agent: str
    epoch: int
    job: Job


@dataclass(frozen=True)
class Orders:
    """The coordinator's orders to an agent, part of every response."""

    finished: bool = False  # no further leases: shut down gracefully
    drain: bool = False  # finish running mini-batches, release the rest, then shut down
    stop: bool = False  # kill all processes and exit
    lost: tuple[int, ...] = ()  # mini-batches whose leases this agent has lost


class CoordinatorClient:
    """HTTP client of one agent. Calls are retried until the coordinator answers or `patience` seconds have passed."""

    def __init__(self, url: str, *, token: str, worker: str, patience: float, ca: str | None = None) -> None:
        """Create a client.

        Args:
            url: Scheme, host and port of the coordinator.
            token: The bearer token.
            worker: Name of the worker.
            patience: Seconds to retry a call that is not answered.
            ca: File with the only certificate authority to trust; None for the system's.

        Raises:
            OSError: `ca` cannot be read.
            api.InvalidAuthority: `ca` is not a certificate.
        """
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
        """Register this agent; `boot` is a random text that identifies this start of it.

        Raises:
            Refused: The token is wrong, or the two sides have no protocol version in common.
            Unreachable: No coordinator answered in time.
        """
        body = {"worker": self._worker, "boot": boot, "protocol": PROTOCOL, "oldest_protocol": OLDEST_PROTOCOL}
        registration = read_text(Registration, (await self._post("register", body)).decode())
        self._identity = {"agent": registration.agent, "epoch": registration.epoch}
        return registration

    async def lease(self, count: int) -> tuple[list[Grant], Orders]:
        """Lease up to `count` mini-batches, waiting until there are some; return them with the coordinator's orders.

        Raises:
            Superseded: A new coordinator took over.
            Refused: The coordinator rejects this agent permanently.
            Unreachable: No coordinator answered in time.
        """
        orders, grants = unpack_grants(await self._post("lease", {**self._identity, "want": count}))
        return grants, read(Orders, orders)

    async def report(self, body: dict[str, Any]) -> Orders:
        """Send a `wire.report`; return the coordinator's orders. Raises Superseded, Refused and Unreachable."""
        return read_text(Orders, (await self._post("report", body)).decode())

    async def deregister(self) -> None:
        """Deregister this agent, which holds no more leases. Raises Superseded, Refused and Unreachable."""
        await self._post("bye", self._identity)

    async def _post(self, call: str, body: dict[str, Any]) -> bytes:
        data = json.dumps(body, separators=(",", ":")).encode()
        stop = stop_after_patience(self._patience, longest=_LONGEST_TRY)
        again = AsyncRetrying(**policy(_is_retryable, stop=stop, wait=backoff(_FIRST_PAUSE, _LONGEST_PAUSE)))
        try:
            return await again(self._api.call, "POST", f"/v1/{call}", data)
        except Rejected as error:
            if error.status == HTTPStatus.CONFLICT:
                raise Superseded(error.text) from error
            if not _is_retryable(error):
                raise Refused(error.text) from error
            last: api.CoordinatorError = error
        except api.Unreachable as error:
            last = error
        raise Unreachable(f"no coordinator answered for {self._patience:.0f} s: {last}") from last


def _is_retryable(error: BaseException) -> bool:
    if isinstance(error, Rejected):
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.REQUEST_TIMEOUT
    return isinstance(error, api.Unreachable)
