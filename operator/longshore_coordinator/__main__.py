"""`python -m longshore_coordinator`: the coordinator's pod.

Reads the job and the run's secret from files, serves HTTPS until the verdict, leaves the last snapshot as the
container's termination message, and after a verdict stays up a little so that it can be asked for too. Exit code 0 says
that this coordinator's work is over; anything else that the next start is to go on from the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import ssl
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from longshore_protocol.importing import importing

with importing():  # a step's first mini-batch waits for these
    from longshore_coordinator.last_words import last_words
    from longshore_coordinator.server import Server
    from longshore_coordinator.service import Coordinator
    from longshore_coordinator.verdict import INTERRUPTED
    from longshore_protocol.job import Job
    from longshore_protocol.snapshot import Snapshot
    from longshore_protocol.termination import leave
    from longshore_protocol.text import MESSAGE, printable
    from longshore_storage.store import open_store

_DESCRIPTORS = 65_536  # files that may be open: more than a run has agents
_GRACE = 30.0  # seconds that running mini-batches get when the pod is to end


@dataclass(frozen=True)
class Settings:
    """The contract with whoever makes the pod."""

    job: Path  # a Job as JSON
    secret: Path  # a folder with token, tls.crt and tls.key
    port: int
    linger: float  # seconds to stay up after the verdict
    last_words: str | None  # the container's termination log


async def serve(settings: Settings) -> Snapshot:
    """Serve one run to its verdict and return the last snapshot.

    The first SIGTERM drains; one after the verdict ends at once. Raises OSError or ValueError when job, secret or run
    folder cannot be used.
    """
    job = Job.from_json(settings.job.read_text())
    token = (settings.secret / "token").read_text().strip()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(settings.secret / "tls.crt", settings.secret / "tls.key")
    coordinator = Coordinator(job)
    await coordinator.open()
    open_store(job.output.uri).make()
    server = Server(coordinator, token=token)
    await server.start("", settings.port, tls=tls)
    print(f"longshore-coordinator: run {job.run_id} in {job.run_uri}, port {settings.port}", flush=True)
    ending = asyncio.Event()
    _drain_on_sigterm(coordinator, ending)
    try:
        last = await coordinator.run()
        leave(settings.last_words, last_words(last))
        print(f"longshore-coordinator: {last.reason or last.state}: {last.message}", flush=True)
        if last.reason != INTERRUPTED:  # which nobody has to ask for: another coordinator goes on
            await _linger(ending, settings.linger)
    finally:
        await server.stop()
    return last


def main() -> int:
    """Run one coordinator; 1 when there is no verdict yet."""
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    settings = _settings()
    _raise_descriptor_limit()
    # Until there is something to drain. The first process of a container gets no signal that it has no handler for, and
    # the ledger may take long to read: its pod would outlive its deletion by the whole grace.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    try:
        last = asyncio.run(serve(settings))
    except Exception as error:  # noqa: BLE001  (a bug, too, has a termination message)
        cause = str(error)
        if not isinstance(error, (OSError, ValueError)):
            traceback.print_exception(error)
            cause = f"an error of Longshore itself, whose traceback is in its log: {type(error).__name__}: {error}"
        text = f"the coordinator cannot work: {printable(cause, MESSAGE)}"
        leave(settings.last_words, text)
        print(f"longshore-coordinator: {text}", file=sys.stderr)
        return 1
    # A superseded one ends for good: started again, it would supersede its successor.
    return 1 if last.reason == INTERRUPTED else 0


def _raise_descriptor_limit() -> None:
    """Let this process open as many files as it may: each agent holds a few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _settings() -> Settings:
    parser = argparse.ArgumentParser(prog="longshore_coordinator", description=__doc__)
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--secret", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--linger", type=float, default=10.0)
    parser.add_argument("--last-words")
    return Settings(**vars(parser.parse_args()))


def _drain_on_sigterm(coordinator: Coordinator, ending: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def drain() -> None:
        if not ending.is_set():
            ending.set()
            coordinator.drain()
            loop.call_later(_GRACE, coordinator.interrupt)

    loop.add_signal_handler(signal.SIGTERM, drain)


async def _linger(ending: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        return


if __name__ == "__main__":
    sys.exit(main())
