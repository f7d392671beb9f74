"""Jobs, and the other ends of the sockets of coordinators and agents, as tests of both need them."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from jobs import job

from longshore_agent import gateway
from longshore_agent.worker import Worker
from longshore_coordinator.server import Server
from longshore_coordinator.service import Coordinator
from longshore_protocol import wire
from longshore_protocol.frames import Decoder
from longshore_protocol.job import SUMMARY_ONLY, Input, Job, MiniBatchSize, Output
from longshore_protocol.messages import HostSpec, InputSpec
from longshore_protocol.wire import Completion, Grant

PATIENCE = 120.0  # seconds: the machine may be busy

# What a worker is given.
OUTPUT = Output(action="append_row", uri="/run/out")
JOB = Job(
    name="step",
    run_id="run",
    run_uri="/run",
    inputs=(Input("files", ("/in/*",)),),
    mini_batch=MiniBatchSize("files", 1),
    output=OUTPUT,
    source_uri="/code",
    entry_script="script.py",
)
SPEC = HostSpec(
    source="/code",
    entry_script="script.py",
    arguments=(),
    variables={},
    inputs=(InputSpec("files"),),
    output=OUTPUT,
    models=(),
    work_dir="/work",
    log_dir="/logs",
    worker="worker-0",
    output_dir="/out",
)


def summary_job(folder: Path, **changes: Any) -> Job:
    """Return a job without rows whose run and output are in a folder."""
    return job(**{"uri": str(folder / "run"), "output": Output(SUMMARY_ONLY, str(folder / "out")), **changes})


def completed(*grants: Grant) -> list[Completion]:
    """Return what an agent reports of mini-batches of one item that all had a result."""
    return [Completion(each.mini_batch, each.attempt, 0, 0, 1, 1, -1, 0, 0, 0, 0, 0) for each in grants]


async def work(coordinator: Coordinator) -> None:
    """Run what there is, one mini-batch after the other, as an agent does, and end."""
    agent, epoch = coordinator.register("w0", "x")
    orders: dict[str, Any] = {}
    while not orders:
        grants, orders = await coordinator.lease(agent, epoch, 1)
        if grants:
            report = wire.report(agent, epoch, completed=completed(*grants))
            orders = coordinator.report(report)
    coordinator.deregister(agent)


async def until(condition: Callable[[], object]) -> None:
    """Look until a condition holds; whoever calls limits the time."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


@asynccontextmanager
async def served(coordinator: Coordinator, *, token: str) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """Serve an open coordinator; provide a session for paths of its URL that knows the token, and the URL."""
    server = Server(coordinator, token=token)
    url = f"http://127.0.0.1:{await server.start('127.0.0.1')}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(url, headers=headers) as session:
            yield session, url
    finally:
        await server.stop()


class Transport:
    """What a `gateway.Peer` writes to: one connection of a host, a child or a stranger."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.peer = gateway.Peer(worker)
        self.received: list[Any] = []  # the messages that the agent sent
        self.is_lost = False
        self._closing = False
        self._decoder = Decoder()
        self.peer.connection_made(self)

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: bytes) -> None:
        self.received += [header for header, _ in self._decoder.feed(data)]

    def close(self) -> None:
        self._closing = True

    def pause_reading(self) -> None:
        """Nothing is read but what the test sends."""

    def resume_reading(self) -> None:
        """As above."""

    def get_extra_info(self, _: str) -> None:
        return None

    def send(self, data: bytes) -> None:
        """Bring the agent some bytes, unless it has closed the connection."""
        if not self._closing:
            self.peer.data_received(data)

    def hang_up(self) -> None:
        """End the process on this side, once."""
        if not self.is_lost:
            self._closing = self.is_lost = True
            self.peer.connection_lost(None)


def be_another_user_of_the_group(monkeypatch: Any) -> None:
    """Refuse to read what only its owner may, as the kernel does, but not to whoever runs these tests as root."""
    opened, looked = os.open, os.stat

    def open_as_member(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        descriptor = opened(path, flags, *arguments, **options)
        is_reading = not flags & (os.O_WRONLY | os.O_RDWR | os.O_PATH)
        if is_reading and not os.fstat(descriptor).st_mode & stat.S_IRGRP:
            os.close(descriptor)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return descriptor

    def stat_as_member(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None and not os.fstat(dir_fd).st_mode & stat.S_IXGRP:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return looked(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "open", open_as_member)
    monkeypatch.setattr(os, "stat", stat_as_member)
