"""kopf's sessions with the API server, whose answers show which watches run, and hold the lists that kopf asks for.

kopf reports no deletion of what vanished while a watch was interrupted: it lists everything again, and passes on what
there is. So whole lists are taken from the answers themselves.

Most events of a busy cluster are of this operator's own status writes. The store has those from the answers to the
writes, so their lines are removed from the answers to watches before kopf parses them: half the CPU time of kopf.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import aiohttp
import kopf

from longshore_operator.cluster.api import Manifest, asked, elements, listed_by, path

_ACCEPTED = 200
_CHANGES = (b'{"type":"MODIFIED",', b'{"type":"ADDED",')
_BOOKMARK = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}\n'
_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


class Watches:
    """Makes sessions that note each answer; knows whether every watch that is expected is running.

    Args:
        kinds: What is watched.
        namespaces: Where; in all namespaces if there are none.
        count: Called with verb, kind and code of each call.
        listed: Called with each list that kopf asks for: kind, namespace ("" for all), objects, resourceVersion.
        is_known: Return whether the object of a resourceVersion was taken in; kopf gets no event of it.
    """

    def __init__(
        self,
        kinds: Collection[str],
        namespaces: Collection[str],
        count: Callable[[str, str, str], None],
        listed: Callable[[str, str, Sequence[Manifest], str], None] = lambda *_: None,
        is_known: Callable[[int], bool] = lambda version: False,
    ) -> None:
        self._expected = {path(kind, each) for kind in kinds for each in namespaces or ("",)}
        self._unlisted = set(self._expected)
        self._taken_up: set[str] = set()
        self._count = count
        self._listed = listed
        self._is_known = is_known
        self.when_listed: Callable[[], None] = lambda: None  # called once, when everything has been listed

    @property
    def run(self) -> bool:
        """Whether all watches run. One that ends is continued by kopf, and counts as running until that fails."""
        return self._taken_up >= self._expected

    @property
    def have_listed(self) -> bool:
        """Whether everything that is watched has been listed."""
        return not self._unlisted

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
            response_class=self._response_class(),
        )
        return kopf.AiohttpSession(
            server=info.server,
            aiohttp_session=session,
            default_namespace=info.default_namespace,
            expiration=info.expiration,
            priority=info.priority,
        )

    def _response_class(self) -> type[aiohttp.ClientResponse]:
        watches = self

        class Response(aiohttp.ClientResponse):
            """An answer whose objects are passed on when kopf reads it, if it is a list of a watched kind."""

            async def json(self, **options: Any) -> Any:
                found = await super().json(**options)
                if self.method == "GET" and self.status == _ACCEPTED:
                    watches.note_list(self.url.path, found)
                return found

            async def start(self, connection: Any) -> aiohttp.ClientResponse:
                await super().start(connection)
                if self.status == _ACCEPTED and "watch" in self.url.query:
                    self.content = _Events(self.content, watches.known_version)  # type: ignore[assignment]
                return self

        return Response

    def known_version(self, line: bytes) -> int | None:
        """Return the version of an event, as the API server writes it, if it was taken in already; None otherwise.

        An event with several texts that look like its version, such as in an annotation, counts as unknown.
        """
        versions = _VERSION.findall(line) if line.startswith(_CHANGES) else []
        if len(versions) != 1 or not self._is_known(int(versions[0])):
            return None
        return int(versions[0])

    def note_list(self, where: str, found: Any) -> None:
        """Pass on the answer to a list of a watched kind."""
        listed = listed_by(where) if where in self._expected else None
        if listed is None:
            return
        self._listed(*listed, elements(listed[0], found), found["metadata"]["resourceVersion"])
        if self._unlisted:
            self._unlisted.discard(where)
            if not self._unlisted:
                self.when_listed()

    async def _answered(self, session: Any, context: Any, call: aiohttp.TraceRequestEndParams) -> None:
        verb, kind = _verb(call), asked(call.method, call.url.path)[1]
        self._count(verb, kind, str(call.response.status))
        if call.response.status != _ACCEPTED:
            self._taken_up.discard(call.url.path)
        elif verb == "watch":
            self._taken_up.add(call.url.path)

    async def _unanswered(self, session: Any, context: Any, call: aiohttp.TraceRequestExceptionParams) -> None:
        self._count(_verb(call), asked(call.method, call.url.path)[1], "error")
        self._taken_up.discard(call.url.path)


class _Events:
    """The content of the answer to a watch, by lines, without those that are known.

    A removed line that is the latest one is replaced by a bookmark of its version: kopf continues an interrupted watch
    from the latest version that it has seen, and the API server would send everything since then again.
    """

    def __init__(self, content: aiohttp.StreamReader, known_version: Callable[[bytes], int | None]) -> None:
        self._content = content
        self._known_version = known_version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield one or more whole lines at a time, and at the end what is left."""
        rest = b""
        async for data in self._content.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            passed, version = [], None
            for line in lines:
                version = self._known_version(line)
                if version is None:
                    passed.append(line + b"\n")
            if version is not None:
                passed.append(_BOOKMARK % version)
            if passed:
                yield b"".join(passed)
        yield rest


def _verb(call: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams) -> str:
    return "watch" if "watch" in call.url.query else asked(call.method, call.url.path)[0]
