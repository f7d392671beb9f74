"""`python -m longshore_coordinator`: the process of the coordinator's pod.

It reads the job and the run's secret from files, serves HTTPS until the verdict, and writes the last snapshot as the
container's termination message. After a verdict it serves the snapshot a few seconds longer. With exit code 0 the
coordinator has finished; with any other code, the next start resumes the run from the ledger.
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
    from longshore_coordinator.server import Server
    from longshore_coordinator.service import Coordinator
    from longshore_coordinator.termination_message import termination_message
    from longshore_coordinator.verdict import INTERRUPTED
    from longshore_protocol.job import Job
    from longshore_protocol.snapshot import Snapshot
    from longshore_protocol.termination import leave
    from longshore_protocol.text import MESSAGE, printable
    from longshore_storage.store import open_store

_DESCRIPTORS = 65_536  # limit of open files: more than a run has agents
_GRACE = 30.0  # seconds for running mini-batches to finish when the pod is terminated


@dataclass(frozen=True)
class Settings:
    """The command-line arguments, which the operator sets in the pod."""

    job: Path  # file with a Job as JSON
    secret: Path  # folder with token, tls.crt and tls.key
    port: int
    linger: float  # seconds to stay up after the verdict
    last_words: str | None  # file of the container's termination message


async def serve(settings: Settings) -> Snapshot:
    """Serve one run until its verdict; return the last snapshot.

    SIGTERM drains the run; after the verdict, it ends the process immediately.

    Raises:
        OSError, ValueError: the job, the secret or the run folder cannot be used.
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
        leave(settings.last_words, termination_message(last))
        print(f"longshore-coordinator: {last.reason or last.state}: {last.message}", flush=True)
        if last.reason != INTERRUPTED:  # an interrupted run has no result to serve: another coordinator resumes it
            await _linger(ending, settings.linger)
    finally:
        await server.stop()
    return last


def main() -> int:
    """Run one coordinator; return the exit code, 1 if the run must be resumed by the next start."""
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    settings = _parse_arguments()
    _raise_descriptor_limit()
    # Until there is something to drain, exit on SIGTERM. The kernel does not deliver it to a container's first process
    # without a handler, and reading a ledger may take long: a deleted pod would live on for its whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    try:
        last = asyncio.run(serve(settings))
    except Exception as error:  # noqa: BLE001  (a bug must also end in a termination message)
        cause = str(error)
        if not isinstance(error, (OSError, ValueError)):
            traceback.print_exception(error)
            cause = f"internal error, with its traceback in the coordinator's log: {type(error).__name__}: {error}"
        text = f"the coordinator failed: {printable(cause, MESSAGE)}"
        leave(settings.last_words, text)
        print(f"longshore-coordinator: {text}", file=sys.stderr)
        return 1
    # A superseded coordinator must not be restarted: it would supersede its successor.
    return 1 if last.reason == INTERRUPTED else 0


def _raise_descriptor_limit() -> None:
    """Raise the limit of open files as far as allowed, because each agent keeps a few connections open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _parse_arguments() -> Settings:
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
