"""Coordinators that answer as none of ours does: who may make pods can put one in a coordinator's place."""

import asyncio
import gzip
import itertools
import selectors
import ssl
import threading
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiohttp import web

from longshore_client.api import (
    AnswerTooLong,
    CoordinatorApi,
    Endpoint,
    InvalidAuthority,
    Rejected,
    Unreachable,
)
from longshore_operator.cluster.poller import LIMITS
from longshore_operator.manifests.credentials import issue
from longshore_protocol.snapshot import RUNNING, Snapshot

ANSWER = Snapshot(RUNNING, "score-1", "/run", "/run/scores", 1).to_json().encode()
NAME = "score-coordinator.n.svc"
SHORT = replace(LIMITS, connect=0.3, silence=0.3, total=0.3)
MADE = issue(NAME, now=datetime.now(UTC))


class Server:
    """Serves an answer piece by piece over TLS, 20 pieces a second."""

    def __init__(self, folder, chunks=(ANSWER,), *, status=200, headers=(), version="HTTP/1.1"):
        self.connections = set()
        self.seen = []
        self.stopped = threading.Event()
        self.chunks, self.status, self.headers = chunks, status, headers
        (folder / "tls.crt").write_text(MADE.certificate)
        (folder / "tls.key").write_text(MADE.key)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = version

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.handler = Handler

    def answer(self, handler):
        self.connections.add(handler.client_address)
        self.seen.append(dict(handler.headers))
        try:
            handler.send_response(self.status)
            for name, value in self.headers:
                handler.send_header(name, value)
            if isinstance(self.chunks, tuple):
                handler.send_header("Content-Length", str(sum(map(len, self.chunks))))
            handler.end_headers()
            for index, chunk in enumerate(self.chunks):
                if index and self.stopped.wait(0.05):
                    return
                handler.wfile.write(chunk)
        except OSError:
            return

    @contextmanager
    def serving(self, port=0):
        server = ThreadingHTTPServer(("127.0.0.1", port), self.handler)
        server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Endpoint(f"https://127.0.0.1:{server.server_port}", "t", MADE.authority, NAME)
        finally:
            self.stopped.set()
            server.shutdown()
            thread.join()
            server.server_close()


def call(server, endpoint, limits=LIMITS, *, times=1):
    async def calls():
        async with CoordinatorApi(endpoint, limits) as api:
            return [await api.call("GET", "/v1/snapshot") for _ in range(times)][-1]

    selector = selectors.DefaultSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        try:
            return runner.run(calls())
        finally:
            server.stopped.set()
            runner.run(all_closed(selector))


async def all_closed(selector):
    """Wait until the loop has no connection any more: TLS is given up after the peer, which is told to stop."""
    while len(selector.get_map()) > 1:  # noqa: ASYNC110  (no event says it; one is the loop's own)
        await asyncio.sleep(0.01)


def test_an_answer_in_pieces_is_read(tmp_path):
    server = Server(tmp_path, (ANSWER[:10], ANSWER[10:]))
    with server.serving() as endpoint:
        assert Snapshot.from_json(call(server, endpoint).decode()).run_id == "score-1"


def test_calls_share_a_connection_and_send_the_token(tmp_path):
    server = Server(tmp_path)
    with server.serving() as endpoint:
        assert call(server, endpoint, times=3) == ANSWER
    assert len(server.connections) == 1
    assert [each["Authorization"] for each in server.seen] == ["Bearer t"] * 3


def test_an_answer_that_comes_byte_by_byte_is_cut_off(tmp_path):
    slowly = itertools.chain(itertools.repeat(b" ", 200), [ANSWER])
    limits = replace(SHORT, connect=5.0, silence=5.0)
    server = Server(tmp_path, slowly)
    with server.serving() as endpoint, pytest.raises(Unreachable):
        call(server, endpoint, limits)


def test_one_that_accepts_and_never_answers_is_given_up(tmp_path):
    class Mute(Server):
        def answer(self, handler):
            self.stopped.wait()

    server = Mute(tmp_path)
    with server.serving() as endpoint, pytest.raises(Unreachable, match="no answer in time"):
        call(server, endpoint, SHORT)


@pytest.mark.parametrize("more", [b"  ", b" " * 100_000])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(tmp_path, more):
    limits = replace(LIMITS, answer=len(ANSWER) + 1)
    server = Server(tmp_path, (ANSWER, more))
    with server.serving() as endpoint, pytest.raises(AnswerTooLong, match="longer than"):
        call(server, endpoint, limits)


def test_a_compressed_answer_is_not_unpacked(tmp_path):
    packed = gzip.compress(b" " * 100_000)
    server = Server(tmp_path, (packed,), headers=[("Content-Encoding", "gzip")])
    with server.serving() as endpoint:
        assert call(server, endpoint, replace(LIMITS, answer=len(packed))) == packed


def test_a_redirection_is_not_followed(tmp_path):
    server = Server(tmp_path, status=302, headers=[("Location", "/elsewhere")])
    with server.serving() as endpoint, pytest.raises(Rejected) as error:
        call(server, endpoint)
    assert error.value.status == 302
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "other-coordinator.n.svc"}, Unreachable),
        ({"authority": issue(NAME, now=datetime.now(UTC)).authority}, Unreachable),
        ({"authority": "no certificate"}, InvalidAuthority),
        ({"authority": None}, Unreachable),
    ],
    ids=["of another name", "of another authority", "unreadable", "of no known authority"],
)
def test_the_token_goes_to_the_runs_own_certificate_only(tmp_path, change, error):
    server = Server(tmp_path)
    with server.serving() as endpoint, pytest.raises(error):
        call(server, replace(endpoint, **change))
    assert server.seen == []


@asynccontextmanager
async def listening(tls, port, answer):
    runner = web.AppRunner(web.Application(middlewares=[answer]), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_a_coordinator_that_was_restarted_is_reached_over_a_new_connection(tmp_path):
    tls = Server(tmp_path).tls
    peers = []

    @web.middleware
    async def answer(request, handler):  # noqa: ARG001
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(body=ANSWER)

    async def calls():
        async with AsyncExitStack() as first, AsyncExitStack() as kept:
            port = await first.enter_async_context(listening(tls, 0, answer))
            endpoint = Endpoint(f"https://127.0.0.1:{port}", "t", MADE.authority, NAME)
            api = await kept.enter_async_context(CoordinatorApi(endpoint, LIMITS))
            await api.call("GET", "/v1/snapshot")
            await api.call("POST", "/v1/gone", b"{}")
            await first.aclose()
            with pytest.raises(Unreachable):
                await api.call("GET", "/v1/snapshot")
            async with listening(tls, port, answer):
                await api.call("POST", "/v1/gone", b"{}")

    asyncio.run(calls())
    assert peers[0] == peers[1] != peers[2]
