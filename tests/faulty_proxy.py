"""A proxy that spoils some of the requests that go through it, the same ones for the same seed and order."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

_SIGNED = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")  # what is not there is signed, too
_OWN = (
    "expect",
    "transfer-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "server",
)  # each connection's


@dataclass
class Proxy:
    """A running proxy: where it is, and what it did, by kind of fault; "" counts requests let through."""

    url: str = ""
    is_down: bool = False  # every request is answered 503
    done: Counter[str] = field(default_factory=Counter)


def _cut_off(
    request: web.Request, answer: aiohttp.ClientResponse, kept: list[tuple[str, str]], content: bytes, size: str
) -> None:
    if request.transport is None:
        return
    if content:
        head = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Content-Length", size)])
        request.transport.write(f"HTTP/1.1 {answer.status} {answer.reason}\r\n{head}\r\n".encode())
        request.transport.write(content[: len(content) // 2])
    request.transport.close()


@contextmanager
def faulty_proxy(target: str, *, share: float, seed: int) -> Iterator[Proxy]:
    """Run a proxy before the server at `target`, an http URL without a path, that spoils a share of all requests.

    Such a request is answered 503, 503 or 429 with Retry-After; or its answer is cut off in the middle, or never given
    although the server has done what was asked.
    """
    proxy, loop, stop = Proxy(), asyncio.new_event_loop(), asyncio.Event()
    started = threading.Event()
    luck, numbers = random.Random(seed), itertools.count()

    async def handle(request: web.Request) -> web.StreamResponse:
        body, number = await request.read(), next(numbers)
        spoilt = number > 0 and luck.random() < share
        fault = luck.choice(("503", "503 later", "429 later", "cut", "cut")) if spoilt else ""
        fault = "503" if proxy.is_down else fault
        proxy.done[fault] += 1
        if fault[:3].isdigit():
            return web.Response(status=int(fault[:3]), headers={"Retry-After": "0"} if "later" in fault else {})
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN[:3]}
        url = target + request.raw_path
        async with session.request(
            request.method,
            aiohttp.client.URL(url, encoded=True),
            headers=headers,
            data=body or None,
            skip_auto_headers=_SIGNED,
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OWN[:-2]]
            size = answer.headers.get("Content-Length", str(len(content)))
        if not fault:
            sent = web.StreamResponse(status=answer.status)
            sent.headers.extend([*kept, ("Content-Length", size)] if answer.status not in (204, 304) else kept)
            with suppress(ConnectionError):  # who asked for several things at once may have enough of them
                await sent.prepare(request)
                await sent.write(content)
            return sent
        _cut_off(request, answer, kept, content if request.method != "HEAD" else b"", size)
        raise asyncio.CancelledError  # there is nobody to answer any more

    async def serve() -> None:
        nonlocal session
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set()
            await stop.wait()
            await runner.cleanup()

    session: aiohttp.ClientSession
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
