"""Listening socket of the web server, with limits on what unauthenticated clients can use.

At most `most` connections are open at once, so that descriptors remain for the ledger and the output; others wait in
the kernel's queue. A connection that does not send the headers of a request in time is closed, unlike in aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

SECONDS = 10.0  # timeout of the TLS handshake, of the first request's headers and between two requests
_RESERVE = 256  # descriptors for files, and sockets of object stores
_FEWEST, _MOST = 64, 10_000
_BACKLOG = 1024
_PAUSE = 1.0  # seconds before the next connection is accepted after an error, such as a lack of descriptors

_log = logging.getLogger("longshore.coordinator")


def most_connections() -> int:
    """Return the number of connections that this process can keep open beside its other files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST, min(_MOST, soft - _RESERVE))


class Listener:
    """Accepts connections and connects each to a new protocol from `make_protocol`."""

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        tls: ssl.SSLContext | None,
        most: int,
        seconds: float = SECONDS,
    ) -> None:
        self._make_protocol = make_protocol
        self._tls = tls
        self._seconds = seconds
        self._room = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: socket.socket | None = None
        self._timeouts: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}  # of connections without a request yet

    def start(self, host: str, port: int) -> int:
        """Listen on `host` ("" for all addresses) and `port` (0 for a free one); return the port. Raises OSError."""
        self._listening = listening = _bind(host, port)
        listening.setblocking(False)
        self._keep(self._accept(listening))
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; open connections are closed by the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def record_request(self, transport: asyncio.BaseTransport | None) -> None:
        """Cancel the timeout of a connection that has sent a request."""
        timer = self._timeouts.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()

    def connected(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout for the first request of a new connection."""
        assert isinstance(transport, asyncio.Transport)
        loop = asyncio.get_running_loop()
        self._timeouts[transport] = loop.call_later(self._seconds, transport.abort)

    def disconnected(self, transport: asyncio.BaseTransport | None) -> None:
        """Allow another connection in place of a closed one."""
        self.record_request(transport)
        self._room.release()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._room.release()
                _log.warning("cannot accept connections; retrying in %g s: %s", _PAUSE, error)
                await asyncio.sleep(_PAUSE)
            else:
                self._keep(self._connect(accepted))

    async def _connect(self, accepted: socket.socket) -> None:
        connection = _Connection(self, self._make_protocol())
        limit = self._seconds if self._tls is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=limit
            )
        except OSError:  # the TLS handshake failed or timed out
            accepted.close()
        finally:
            if not connection.made:
                self.disconnected(None)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    """Forwards all events to the server's own protocol, and notifies the listener of the connection's start and end."""

    def __init__(self, listener: Listener, inner: asyncio.Protocol) -> None:
        self.made = False
        self._listener, self._inner = listener, inner
        self._transport: asyncio.BaseTransport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign]  # called directly, because it is the most frequent event
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made, self._transport = True, transport
        self._listener.connected(transport)
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.disconnected(self._transport)
        self._inner.connection_lost(error)


def _bind(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        except OSError:
            pass  # the kernel supports IPv6, but this machine has no IPv6 address
    return socket.create_server((host, port), backlog=_BACKLOG)
