"""HTTP client for a coordinator's API: limits are values, failures are exception types, callers decide on retries.

CoordinatorError
|-- Unreachable       no connection, or no complete response within the limits; a retry may succeed
|-- InvalidAuthority  the certificate of the authority cannot be read
|-- AnswerTooLong     the response exceeds `Limits.answer`
`-- Rejected          the coordinator responded with a status other than 200
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

import aiohttp

_UNSENT = ("Accept", "Accept-Encoding", "User-Agent")  # headers that no coordinator reads


class CoordinatorError(Exception):
    """A call failed; the message names the coordinator and the cause."""


class Unreachable(CoordinatorError):
    """The coordinator did not respond in time, or the connection failed."""


class InvalidAuthority(CoordinatorError):
    """`Endpoint.authority` is not a valid certificate."""


class AnswerTooLong(CoordinatorError):
    """The response exceeds `Limits.answer`."""


class Rejected(CoordinatorError):
    """The coordinator responded with an HTTP status other than 200."""

    def __init__(self, url: str, status: int, text: str) -> None:
        super().__init__(f"{url}: HTTP {status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Endpoint:
    """The address of a coordinator and the credentials for it."""

    url: str  # scheme, host and port
    token: str = field(repr=False)
    authority: str | None = field(default=None, repr=False)  # PEM of the only trusted authority; None: the system's
    name: str | None = None  # expected name in the certificate; None: the host of the URL


@dataclass(frozen=True)
class Limits:
    """Limits of every call; None for no limit."""

    connect: float  # seconds until TCP and TLS are established
    silence: float | None = None  # seconds between two parts of a response
    total: float | None = None  # seconds of the whole call
    answer: int | None = None  # bytes of a response
    kept: float = 5.0  # seconds that an idle connection is kept; fewer than the coordinator keeps it


class CoordinatorApi:
    """Calls one coordinator over persistent connections.

    Create and use it within one event loop; `async with` closes its connections. It neither follows redirects nor
    decompresses responses, because any user who can create pods could impersonate a coordinator.
    """

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        """Create a client. Raises InvalidAuthority."""
        self._endpoint = endpoint
        self._limits = limits
        self._tls = True if endpoint.authority is None else _context(endpoint.authority)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=limits.kept),
            timeout=aiohttp.ClientTimeout(total=limits.total, sock_connect=limits.connect, sock_read=limits.silence),
            headers={"Authorization": f"Bearer {self._endpoint.token}"},
            skip_auto_headers=_UNSENT,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request; return the response's body.

        Raises:
            Unreachable: The coordinator did not respond in time, or the connection failed.
            Rejected: The status is not 200.
            AnswerTooLong: The response exceeds `Limits.answer`.
        """
        assert self._session is not None, "used outside its `async with`"
        url = self._endpoint.url
        try:
            async with self._session.request(
                method,
                url + path,
                data=body,
                ssl=self._tls,
                server_hostname=self._endpoint.name,
                allow_redirects=False,
            ) as response:
                found = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            cause = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise Unreachable(f"{url}: {cause}") from error
        if response.status != HTTPStatus.OK:
            raise Rejected(url, response.status, found.decode(errors="replace"))
        return found

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._limits.answer
        if most is None:
            return await response.read()
        found = bytearray()
        while piece := await response.content.readany():
            found += piece
            if len(found) > most:
                if response.connection is not None and response.connection.transport is not None:
                    response.connection.transport.abort()  # closing it would wait for the rest
                raise AnswerTooLong(f"{self._endpoint.url}: the answer is longer than {most} bytes")
        return bytes(found)


def _context(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise InvalidAuthority(f"the certificate authority is not a valid certificate: {error}") from error
