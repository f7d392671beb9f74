"""kopf's sessions with the API server: which watches run is seen from what the server answered to them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import aiohttp
import kopf

from longshore_operator.cluster.api import asked, path

_ACCEPTED = 200


class Watches:
    """Makes sessions that note each answer; knows whether every watch that is expected has been taken up."""

    def __init__(
        self, kinds: Collection[str], namespaces: Collection[str], count: Callable[[str, str, str], None]
    ) -> None:
        """`namespaces` are those watched, all if there are none; `count` is told verb, kind and code of each call."""
        self._expected = {path(kind, each) for kind in kinds for each in namespaces or ("",)}
        self._taken_up: set[str] = set()
        self._count = count

    @property
    def run(self) -> bool:
        """Whether all of them do. One that ends is taken up again by kopf, and counts as running meanwhile."""
        return self._taken_up >= self._expected

    def session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """Return a session with these credentials, within a running loop; kopf closes it."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._unanswered)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers={**info.as_http_headers(), "User-Agent": "longshore-operator"},
            proxy=info.proxy_url,
            trust_env=info.trust_env,
            trace_configs=[trace],
        )
        return kopf.AiohttpSession(
            server=info.server,
            aiohttp_session=session,
            default_namespace=info.default_namespace,
            expiration=info.expiration,
            priority=info.priority,
        )

    async def _answered(self, session: Any, context: Any, call: aiohttp.TraceRequestEndParams) -> None:
        verb, kind = _verb(call), asked(call.method, call.url.path)[1]
        self._count(verb, kind, str(call.response.status))
        if verb == "watch":
            taken_up = self._taken_up.add if call.response.status == _ACCEPTED else self._taken_up.discard
            taken_up(call.url.path)

    async def _unanswered(self, session: Any, context: Any, call: aiohttp.TraceRequestExceptionParams) -> None:
        self._count(_verb(call), asked(call.method, call.url.path)[1], "error")


def _verb(call: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams) -> str:
    return "watch" if "watch" in call.url.query else asked(call.method, call.url.path)[0]
