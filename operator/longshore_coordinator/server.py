"""The coordinator's HTTP API for agents and the operator: JSON, authenticated by the run's token.

All responses to agents but the first contain orders: {drain?, stop?, finished?}.

    POST /v1/register   {worker, boot, protocol}  -> {agent, epoch, job}
    POST /v1/lease      {agent, epoch, want}      -> wire.pack_grants: orders and grants   (long poll)
    POST /v1/report     wire.report               -> {drain?, stop?, finished?, lost?}
    POST /v1/bye        {agent, epoch}            -> {}
    POST /v1/gone       {worker}                  -> {}     (the operator reports that the worker's agent is dead)
    POST /v1/drain      {worker}                  -> {}     (the operator needs the worker's node: its agent drains)
    GET  /v1/snapshot                             -> snapshot.Snapshot
    GET  /healthz                                 -> ok     (no token needed; the event loop is running)

401: the token is missing or wrong. 400: a malformed request, or another protocol. 409: the agent is not registered and
must register again. 500: an internal error, which is logged; agents retry.
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
_BODY_TIMEOUT = 120.0  # seconds for a whole body
_LINGER = 2.0  # seconds for which a connection stays open for a client that is still sending


class Server:
    """HTTP server of one coordinator.

    Args:
        coordinator: handles the requests.
        token: the run's secret.
        silent: seconds without data after which a connection that has started to send is closed.
        most: largest number of open connections, or None for as many as the limit of descriptors allows.
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
        """Listen on `port` (0 for a free one), with TLS if a context is given; return the port. Raises OSError."""
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
        # A lease request is cancelled when its agent disconnects, because its grants would be lost.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=1.0,
            handler_cancellation=True,
            keepalive_timeout=self._silent,
            lingering_time=_LINGER,
            auto_decompress=False,  # agents do not compress, and a small body could decompress to a huge one
        )
        await self._runner.setup()
        assert self._runner.server is not None, "it is set up"
        most = most_connections() if self._most is None else self._most
        self._listener = Listener(self._runner.server, tls=tls, most=most, seconds=self._silent)
        return self._listener.start(host, port)

    async def stop(self) -> None:
        """Stop listening and close all connections."""
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
        return _json_response(
            {"agent": agent, "epoch": epoch, "protocol": protocol, "job": asdict(self._coordinator.job)}
        )

    async def _lease(self, request: web.Request) -> web.Response:
        agent, epoch, want = incoming.message(await self._body(request), incoming.LEASE)
        granted, orders = await self._coordinator.lease(agent, epoch, want)
        return web.Response(body=pack_grants(orders, granted), content_type="application/octet-stream")

    async def _report(self, request: web.Request) -> web.Response:
        return _json_response(self._coordinator.report(incoming.report(await self._body(request))))

    async def _bye(self, request: web.Request) -> web.Response:
        (agent,) = incoming.message(await self._body(request), incoming.BYE)
        self._coordinator.deregister(agent)
        return _json_response({})

    async def _gone(self, request: web.Request) -> web.Response:
        (worker,) = incoming.message(await self._body(request), incoming.WORKER)
        self._coordinator.worker_gone(worker)
        return _json_response({})

    async def _drain(self, request: web.Request) -> web.Response:
        (worker,) = incoming.message(await self._body(request), incoming.WORKER)
        self._coordinator.drain_worker(worker)
        return _json_response({})

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _raw_json_response(self._coordinator.snapshot().to_json().encode())

    async def _body(self, request: web.Request) -> bytes:
        """Return a request's body. Raises MalformedMessageError, HTTPRequestTimeout."""
        body = bytearray()
        loop = asyncio.get_running_loop()
        end = loop.time() + _BODY_TIMEOUT
        try:
            async with asyncio.timeout(self._silent) as limit:
                while chunk := await request.content.readany():
                    body += chunk
                    if len(body) > _LARGEST:
                        raise web.HTTPRequestEntityTooLarge(_LARGEST)
                    limit.reschedule(min(end, loop.time() + self._silent))
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the request body was not received in time") from None
        except web.RequestPayloadError as error:
            raise MalformedMessageError(f"the body cannot be read: {error}") from error
        return bytes(body)

    def _guard(self) -> Middleware:
        """Require the token everywhere but on /healthz; convert exceptions of handlers to responses."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._listener is not None:
                self._listener.record_request(request.transport)
            if request.path == _HEALTH:
                return _closing(await handler(request))
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._expected):
                return _closing(web.Response(status=401, text="the token is missing or wrong"))
            try:
                return await handler(request)
            except UnknownAgentError as error:
                return web.Response(status=409, text=str(error))
            except MalformedMessageError as error:
                return web.Response(status=400, text=f"malformed request: {error}")
            except (web.HTTPException, ConnectionError):
                raise
            except Exception as error:  # noqa: BLE001  (a bug in one request must not affect the others)
                self._coordinator.internal_errors.note(error)
                return web.Response(status=500, text="internal error of the coordinator; its log has the traceback")

        return guard


def _format_protocols(newest: int, oldest: int) -> str:
    return f"protocol {newest}" if oldest == newest else f"protocols {oldest} to {newest}"


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _closing(response: web.StreamResponse) -> web.StreamResponse:
    """Return the response, after which the connection of an unauthenticated client is closed."""
    response.force_close()
    return response


def _json_response(body: dict[str, Any]) -> web.Response:
    return _raw_json_response(json.dumps(body, separators=(",", ":")).encode())


def _raw_json_response(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
