"""What strangers, and agents whose network stalls, can hold of a coordinator's server."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import aiohttp
import pytest

from longshore_coordinator import listener
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.server import Server
from longshore_operator.manifests.credentials import issue
from longshore_storage.store import open_store

PATIENCE = 60.0  # seconds
SILENT = 0.3  # seconds
TOKEN = "t"
HEAD = f"POST /v1/bye HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 30\r\n"


@asynccontextmanager
async def serving(folder, *, tls=None, silent=SILENT, **options):
    calls = []
    coordinator = SimpleNamespace(
        deregister=calls.append, internal_errors=InternalErrors(open_store(str(folder / "run")))
    )
    server = Server(coordinator, token=TOKEN, silent=silent, **options)
    port = await server.start("127.0.0.1", tls=tls)
    try:
        async with asyncio.timeout(PATIENCE):
            yield SimpleNamespace(port=port, calls=calls)
    finally:
        await server.stop()


async def is_closed(reader):
    """Read to the end of the connection, which must come; return what came before."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def bye(port, **options):
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(f"http://127.0.0.1:{port}/v1/bye", data=json.dumps({"agent": "a"}), **options) as response,
    ):
        return response.status


HALF = {
    "nothing": b"",
    "half a request line": b"POST /v1",
    "headers without an end": HEAD.encode(),
    "headers of nobody": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "the beginning of a TLS handshake": b"\x16\x03\x01\x02\x00\x01",
}


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
def test_a_connection_on_which_no_whole_request_comes_is_closed(tmp_path, sent):
    async def scenario():
        async with serving(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            await is_closed(reader)
            writer.close()
            assert await bye(served.port) == 200

    asyncio.run(scenario())


def test_a_request_that_comes_byte_by_byte_is_not_waited_for(tmp_path):
    async def dribble(writer):
        for byte in HEAD.encode():
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    async def scenario():
        async with serving(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            dribbling = asyncio.create_task(dribble(writer))
            await is_closed(reader)
            assert not dribbling.done()
            dribbling.cancel()
            writer.close()

    asyncio.run(scenario())


def test_a_body_that_stops_is_a_408_and_the_connection_ends(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(HEAD.encode() + b'\r\n{"agent"')
            answer = await is_closed(reader)
            assert answer.startswith(b"HTTP/1.1 408 ")
            writer.close()
            assert served.calls == []

    asyncio.run(scenario())


def test_a_body_that_comes_slowly_but_comes_is_taken(tmp_path):
    async def scenario():
        body = json.dumps({"agent": "a" * 14}).encode().ljust(30)
        async with serving(tmp_path, silent=1.5) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(HEAD.encode() + b"\r\n")
            for byte in body:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.07)  # more than 1.5 s in all
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            assert served.calls == ["a" * 14]

    asyncio.run(scenario())


def test_the_next_request_of_a_connection_must_come_whole_too(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            whole = HEAD.encode() + b"\r\n" + json.dumps({"agent": "a"}).encode().ljust(30)
            writer.write(whole + b"POST /v1/bye HTTP/1.1\r\n")
            answer = await is_closed(reader)
            assert answer.count(b"HTTP/1.1 ") == 1
            writer.close()
            assert served.calls == ["a"]

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/healthz", "/v1/snapshot", "/other"])
def test_who_does_not_know_the_token_holds_no_connection(tmp_path, path):
    async def scenario():
        async with serving(tmp_path) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"Connection: close" in await is_closed(reader)
            writer.close()

    asyncio.run(scenario())


def test_more_connections_than_there_is_room_for_wait_and_are_served(tmp_path):
    async def scenario():
        async with serving(tmp_path, most=3) as served:
            silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(9)]
            assert await bye(served.port) == 200
            for reader, writer in silent:
                await is_closed(reader)
                writer.close()
            assert await asyncio.gather(*(bye(served.port) for _ in range(12))) == [200] * 12

    asyncio.run(scenario())


def test_handshakes_that_fail_take_no_room(tmp_path):
    made = issue("localhost", now=datetime.now(UTC))
    (tmp_path / "crt").write_text(made.certificate)
    (tmp_path / "key").write_text(made.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    async def scenario():
        async with serving(tmp_path, tls=tls, most=2) as served:
            for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01") * 3:
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write(sent)
                await is_closed(reader)
                writer.close()
            trust = ssl.create_default_context(cadata=made.authority)
            trust.check_hostname = False
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"https://127.0.0.1:{served.port}/healthz", ssl=trust) as response,
            ):
                assert response.status == 200

    asyncio.run(scenario())


def test_a_compressed_body_is_not_unpacked(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            assert await bye(served.port, headers={"Content-Encoding": "gzip"}) == 200  # it is as it is
            assert served.calls == ["a"]

    asyncio.run(scenario())


def test_room_is_left_for_other_files(monkeypatch):
    for limit, most in ((1024, 768), (256, 64), (1 << 20, 10_000)):
        monkeypatch.setattr(listener.resource, "getrlimit", lambda _, limit=limit: (limit, 1 << 20))
        assert listener.most_connections() == most


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            server = Server(SimpleNamespace(internal_errors=InternalErrors(open_store(str(tmp_path)))), token=TOKEN)
            with pytest.raises(OSError, match="in use"):
                await server.start("127.0.0.1", served.port)
            await server.stop()

    asyncio.run(scenario())
