"""A server of requests beside a script step, whose script has no other connection to Longshore."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from longshore_agent.gateway import Peer, bind, serve
from longshore_agent.named_files import NamedFiles
from longshore_agent.named_operations import requests_of
from longshore_agent.requests import Requests
from longshore_protocol.job import Timeouts
from longshore_protocol.script_job import ScriptJob

_TIMEOUT = 10.0  # seconds for the server's thread to start or to end


class _RequestsOnly:
    """Handler of connections that carry requests; hosts and children are rejected."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def host_connected(self, peer: Peer) -> None:
        peer.close()

    def child_connected(self, peer: Peer, process: int) -> bool:
        return False

    def host_message(self, message: list[Any]) -> None:
        """Ignore it: its connection is closed."""

    def child_message(self, process: int, message: list[Any], body: bytes) -> None:
        """Ignore it: no child is connected."""

    def child_malformed(self, process: int, why: str) -> None:
        """Ignore it: no child is connected."""

    def is_busy(self, process: int) -> bool:
        return False

    def reconcile(self) -> None:
        """Do nothing: there are no processes to manage."""

    def host_gone(self, peer: Peer) -> None:
        """Do nothing: hosts are rejected."""

    def child_gone(self, peer: Peer, process: int) -> None:
        """Do nothing: children are rejected."""

    def requested(self, peer: Peer, process: str, operation: str, values: Mapping[str, Any]) -> None:
        self._requests.start(peer, process, operation, values)

    def requester_gone(self, peer: Peer) -> None:
        self._requests.drop(peer)


@contextlib.contextmanager
def serving(path: str, make_requests: Callable[[], Requests]) -> Iterator[None]:
    """Answer requests on a Unix socket at `path` in a thread with an event loop, until the body ends.

    Args:
        path: Path of the socket, which is created.
        make_requests: Called in that thread; returns what answers.

    Raises:
        OSError: The socket cannot be created.
    """
    listening = bind(path)
    is_ready = threading.Event()
    ends: list[Callable[[], object]] = []

    def run() -> None:
        asyncio.run(_serve(listening, make_requests, is_ready, ends))

    thread = threading.Thread(target=run, name="longshore-requests", daemon=True)
    thread.start()
    try:
        is_ready.wait(_TIMEOUT)
        yield
    finally:
        for end in ends:
            end()
        thread.join(_TIMEOUT)


def requests_of_script(job: ScriptJob, folder: str, named: str) -> Requests:
    """Return what answers the requests of a script step.

    Args:
        job: The script step.
        folder: The folder that agent and script share.
        named: The folder for requested files.
    """
    files = NamedFiles(named, patience=Timeouts.storage)
    return requests_of(job, files, exchange=folder)


async def _serve(
    listening: socket.socket,
    make_requests: Callable[[], Requests],
    is_ready: threading.Event,
    ends: list[Callable[[], object]],
) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    ends.append(lambda: loop.call_soon_threadsafe(over.set))
    requests = make_requests()
    handler = _RequestsOnly(requests)
    server = await serve(listening, lambda: Peer(handler))
    is_ready.set()
    try:
        await over.wait()
    finally:
        server.close()
        await requests.close()
