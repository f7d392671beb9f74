"""The coordinator's HTTP face: calls of agents and of who keeps the workers, JSON with the run's token.

Orders, with every answer but the first: {drain?, stop?, finished?}.

    POST /v1/register   {worker, boot, protocol}  -> {agent, epoch, job}
    POST /v1/lease      {agent, epoch, want}      -> wire.pack_grants: orders and grants   (long poll)
    POST /v1/report     wire.report               -> {drain?, stop?, finished?, lost?}
    POST /v1/bye        {agent, epoch}            -> {}
    POST /v1/gone       {worker}                  -> {}     (the worker's agent is dead: says who keeps the workers)
    POST /v1/drain      {worker}                  -> {}     (the worker is wanted elsewhere: its agent is to end)
    GET  /v1/snapshot                             -> snapshot.Snapshot
    GET  /healthz                                 -> ok     (asked without token: its event loop turns)

401: no or a wrong token. 400: a malformed message, or another protocol. 409: this coordinator does not know the agent,
which must register anew. 500: an error of ours, which is logged; agents try again.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import ssl
from dataclasses import asdict
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from longshore_coordinator import incoming
from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.incoming import MalformedMessageError
from longshore_coordinator.listener import SECONDS, Listener, most_connections
from longshore_coordinator.service import Coordinator
from longshore_protocol.wire import OLDEST_PROTOCOL, PROTOCOL, common_protocol, pack_grants

_HEALTH = "/healthz"
_LARGEST = 64 * 1024 * 1024  # bytes of a report
_LONGEST = 120.0  # seconds in which a body must come, however steadily
_LINGER = 2.0  # seconds in which an answer is read by one who still sends


class Server:
    """Serves one coordinator to its agents. `token` is the run's secret.

    A connection is closed when what it has begun to send stops for `silent` seconds; at most `most` are open at once
    (None: as many as descriptors allow).
    """

    def __init__(
        self, coordinator: Coordinator, *, token: str, silent: float = SECONDS, most: int | None = None
    ) -> None:
        self._coordinator = coordinator
        self._expected = f"Bearer {token}".encode()
        self._silent, self._most = silent, most
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    async def start(self, host: str, port: int = 0, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen, with TLS if a context is given; return the port (0 asks for any free one). Raises OSError."""
        application = web.Application(middlewares=[self._guard()])
        application.add_routes(
            [
                web.post("/v1/register", self._register),
                web.post("/v1/lease", self._lease),
                web.post("/v1/report", self._report),
                web.post("/v1/bye", self._bye),
                web.post("/v1/gone", self._gone),
                web.post("/v1/drain", self._drain),
                web.get("/v1/snapshot", self._snapshot),
                web.get(_HEALTH, _health),
            ]
        )
        # A lease call whose agent hung up must not wait on, to be granted what nobody takes.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=1.0,
            handler_cancellation=True,
            keepalive_timeout=self._silent,
            lingering_time=_LINGER,
            auto_decompress=False,  # no agent compresses, and a few bytes could become many
        )
        await self._runner.setup()
        assert self._runner.server is not None, "it is set up"
        most = most_connections() if self._most is None else self._most
        self._listener = Listener(self._runner.server, tls=tls, most=most, seconds=self._silent)
        return self._listener.start(host, port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _register(self, request: web.Request) -> web.Response:
        worker, boot, newest, oldest = incoming.registration(await self._body(request))
        protocol = common_protocol(newest, oldest)
        if protocol is None:
            theirs, ours = _format_protocols(newest, oldest), _format_protocols(PROTOCOL, OLDEST_PROTOCOL)
            text = f'agent "{worker}" speaks {theirs}, this coordinator {ours}; use adjacent versions of both'
            return web.Response(status=400, text=text)
        agent, epoch = self._coordinator.register(worker, boot)
        return _answer({"agent": agent, "epoch": epoch, "protocol": protocol, "job": asdict(self._coordinator.job)})

    async def _lease(self, request: web.Request) -> web.Response:
        agent, epoch, want = incoming.message(await self._body(request), incoming.LEASE)
        granted, orders = await self._coordinator.lease(agent, epoch, want)
        return web.Response(body=pack_grants(orders, granted), content_type="application/octet-stream")

    async def _report(self, request: web.Request) -> web.Response:
        return _answer(self._coordinator.report(incoming.report(await self._body(request))))

    async def _bye(self, request: web.Request) -> web.Response:
        (agent,) = incoming.message(await self._body(request), incoming.BYE)
        self._coordinator.bye(agent)
        return _answer({})

    async def _gone(self, request: web.Request) -> web.Response:
        (worker,) = incoming.message(await self._body(request), incoming.WORKER)
        self._coordinator.worker_gone(worker)
        return _answer({})

    async def _drain(self, request: web.Request) -> web.Response:
        (worker,) = incoming.message(await self._body(request), incoming.WORKER)
        self._coordinator.drain_worker(worker)
        return _answer({})

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _raw(self._coordinator.snapshot().to_json().encode())

    async def _body(self, request: web.Request) -> bytes:
        """Return a request's body. Raises MalformedMessageError; HTTPRequestTimeout when the rest does not come."""
        body = bytearray()
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST
        try:
            async with asyncio.timeout(self._silent) as limit:
                while chunk := await request.content.readany():
                    body += chunk
                    if len(body) > _LARGEST:
                        raise web.HTTPRequestEntityTooLarge(_LARGEST)
                    limit.reschedule(min(end, loop.time() + self._silent))
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the rest of the message did not come") from None
        except web.RequestPayloadError as error:
            raise MalformedMessageError(f"its body cannot be read: {error}") from error
        return bytes(body)

    def _guard(self) -> Middleware:
        """Require the token everywhere but on /healthz; turn what handlers raise into an answer."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._listener is not None:
                self._listener.heard(request.transport)
            if request.path == _HEALTH:
                return _last(await handler(request))
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._expected):
                return _last(web.Response(status=401, text="the token is missing or wrong"))
            try:
                return await handler(request)
            except UnknownAgentError as error:
                return web.Response(status=409, text=str(error))
            except MalformedMessageError as error:
                return web.Response(status=400, text=f"not a message of this protocol: {error}")
            except (web.HTTPException, ConnectionError):
                raise
            except Exception as error:  # noqa: BLE001  (whatever it is: the agent tries again, and the others work on)
                self._coordinator.internal_errors.note(error)
                return web.Response(status=500, text="an error of the coordinator, which logged it")

        return guard


def _format_protocols(newest: int, oldest: int) -> str:
    return f"protocol {newest}" if oldest == newest else f"protocols {oldest} to {newest}"


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _last(response: web.StreamResponse) -> web.StreamResponse:
    """Let the connection end with this answer: strangers are not to hold it."""
    response.force_close()
    return response


def _answer(body: dict[str, Any]) -> web.Response:
    return _raw(json.dumps(body, separators=(",", ":")).encode())


def _raw(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
