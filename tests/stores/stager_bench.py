"""A stager, what it reports, and files in a store in memory."""

import asyncio
import io
import json
import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import fsspec
import pandas
from hypothesis import HealthCheck, settings

from longshore_agent import fetching
from longshore_agent.work import Lease
from longshore_coordinator.enumerate import parquet, text
from longshore_protocol.job import MiniBatchSize, TabularFormat
from longshore_protocol.wire import Grant
from longshore_storage.files import file_version

PATIENCE = 60  # seconds: only a hang meets it
CSV = TabularFormat("csv")
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def remote(content=b"x", name="f.txt", folder=None):
    """Write a file into the store in memory and return its URL."""
    url = f"memory://{folder or uuid4()}/{name}"
    fsspec.filesystem("memory").pipe_file(url, content)
    return url


def lease(piece, *, number=0, attempt=1):
    return Lease(Grant(number, attempt, 0, json.dumps(piece).encode()), tabular=isinstance(piece, dict))


def piece_of(found):
    return json.loads(found.grant.slice)


class Outcomes:
    """Takes what a stager has to tell."""

    def __init__(self):
        self._told = asyncio.Queue()

    def staged(self, lease):
        self._told.put_nowait((lease, None))

    def not_staged(self, lease, said, times):
        self._told.put_nowait((lease, said))

    def deferred(self, lease, origin, message):
        self._told.put_nowait((lease, (origin, message)))

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            return await self._told.get()

    def is_empty(self):
        return self._told.empty()


async def until(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"still not so after {PATIENCE} s"
        await asyncio.sleep(0.001)


def read(path):
    return Path(path).read_bytes()


def size_of(path):
    return os.path.getsize(path)


def moved(piece, url):
    """Return the piece of a local file as one of its copy at a URL."""
    return {**piece, "path": url, "stamp": file_version(url).stamp}


def remote_pieces(content, table, size):
    url = remote(content, "twin.data")
    cut = (parquet if table.format == "parquet" else text).pieces(url, table, MiniBatchSize("bytes", size))
    return url, [each.piece for each in cut]


def parquet_bytes(rows):
    file = io.BytesIO()
    pandas.DataFrame({"n": range(rows)}).to_parquet(file)
    return file.getvalue()


def after(first, function):
    def call(*arguments):
        first()
        return function(*arguments)

    return call


class Held:
    """Copies that stand still until they are let go."""

    def __init__(self, monkeypatch):
        self.running = self.most = 0
        self._lock = threading.Lock()
        self.go = threading.Event()
        monkeypatch.setattr(fetching, "fetch_file", self._fetch)

    def _fetch(self, path, target, *, check, planned):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.go.wait(PATIENCE)
            check()
            Path(target).touch()
        finally:
            with self._lock:
                self.running -= 1
