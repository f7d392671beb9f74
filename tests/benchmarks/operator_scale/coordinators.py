"""Simulated coordinators: one HTTPS server that answers for the coordinator of every run.

`python coordinators.py --kubeconfig FILE --epoch SECONDS [--mute PREFIX]`, until it is killed. The client's SNI chooses
the run, the certificate and the token come from the run's Secret. The number of succeeded mini-batches in a snapshot
is the snapshot's time, in hundredths of a second since `--epoch` (Unix seconds): whoever sees it knows its age. The
coordinators of steps whose names begin with PREFIX accept connections and requests, and never answer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from api_server import MANAGED, ApiServer, Manifest, connected

from longshore_protocol.snapshot import RUNNING, ItemCounts, MiniBatchCounts, Snapshot, WorkerCounts

PORT = 8443
TICKS = 100  # per second: the unit of mini-batches
TOTAL = 1_000_000_000  # mini-batches of a run, which is never reached
_STEP = "longshore.dev/step"  # label
_COUNT, _TIME = 123_456_789, 234_567_891.5  # stand for what each snapshot says anew
_PRELUDE = "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


class _RunContext(ssl.SSLContext):
    """The TLS context of one run; a connection's context identifies its run."""

    host: str


class Coordinators:
    """The coordinators of all runs."""

    def __init__(self, *, epoch: float, mute: str) -> None:
        self._epoch = epoch
        self._mute = mute
        self._contexts: dict[str, _RunContext] = {}  # by host
        self._tokens: dict[str, str] = {}
        self._muted: set[str] = set()
        self._templates: dict[str, tuple[str, str, str]] = {}  # around the time and the count

    async def follow_secrets(self, api: ApiServer) -> None:
        async for kind, secret in api.watch("api/v1/secrets", MANAGED):
            if kind != "DELETED" and "tls.key" in secret.get("data", {}):
                self._take_secret(secret)

    async def follow_runs(self, api: ApiServer) -> None:
        async for kind, found in api.watch("api/v1/configmaps", MANAGED):
            if kind != "DELETED" and _STEP in found["metadata"].get("labels", {}):
                self._templates[_host(found)] = _template(json.loads(found["data"]["job.json"]))

    def _take_secret(self, secret: Manifest) -> None:
        host = _host(secret)
        data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
        context = _RunContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:  # the ssl module reads keys from files only
            file.write(data["tls.crt"] + data["tls.key"])
            file.flush()
            context.load_cert_chain(file.name)
        context.host = host
        self._contexts[host], self._tokens[host] = context, f"Bearer {data['token'].decode()}"
        if self._mute and secret["metadata"]["labels"][_STEP].startswith(self._mute):
            self._muted.add(host)

    def choose(self, connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> int | None:
        """Select the context of the run that the client names."""
        context = self._contexts.get(host or "")
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context
        return None

    def answer(self, host: str, method: str, path: str, token: str) -> tuple[str, str] | None:
        """Return status line and body of a response, or None for no response."""
        if host in self._muted:
            return None
        if token != self._tokens[host]:
            return "401 Unauthorized", "{}"
        if method == "POST":
            return "200 OK", "{}"
        if path.partition("?")[0] != "/v1/snapshot" or host not in self._templates:
            return "404 Not Found", "{}"
        now = time.time()
        before, between, after = self._templates[host]
        return "200 OK", f"{before}{now:.2f}{between}{round((now - self._epoch) * TICKS)}{after}"


class Connection(asyncio.Protocol):
    """Parses HTTP/1.1 requests of one client, as far as the operator needs them."""

    def __init__(self, coordinators: Coordinators) -> None:
        self._coordinators = coordinators
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._host = transport.get_extra_info("ssl_object").context.host

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, *lines = self._received[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            method, path, _ = request.split(" ")
            found = self._coordinators.answer(self._host, method, path, headers.get("authorization", ""))
            if found is not None:
                status, body = found
                self._transport.write((_PRELUDE.format(status=status, length=len(body)) + body).encode())


def _host(found: Manifest) -> str:
    """Return the name of a run's coordinator, by an object of the run."""
    metadata = found["metadata"]
    return f"{metadata['labels'][_STEP]}-coordinator.{metadata['namespace']}.svc"


def _template(job: Manifest) -> tuple[str, str, str]:
    """Return a snapshot's JSON in three parts: time and count belong between them."""
    workers = job["workers"]
    snapshot = Snapshot(
        state=RUNNING,
        run_id=job["run_id"],
        run_uri=job["run_uri"],
        output_uri=job["output"]["uri"],
        epoch=1,
        started=time.time(),
        last_progress=_TIME,
        rate_per_minute=TICKS * 60.0,
        mini_batches=MiniBatchCounts(total=TOTAL, scheduled=TOTAL, running=2 * workers, succeeded=_COUNT),
        items=ItemCounts(total=TOTAL),
        workers=WorkerCounts(wanted=workers, ready=workers),
    )
    before, _, rest = snapshot.to_json().partition(str(_TIME))
    between, _, after = rest.partition(str(_COUNT))
    assert after, "a snapshot's JSON has its times before its counts"
    return before, between, after


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--epoch", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--mute", default="", metavar="PREFIX", help="of the names of steps")
    options = parser.parse_args()
    coordinators = Coordinators(epoch=options.epoch, mute=options.mute)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.sni_callback = coordinators.choose
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(coordinators), "0.0.0.0", PORT, ssl=tls, backlog=4096
    )
    async with connected(options.kubeconfig) as api, server, asyncio.TaskGroup() as tasks:
        tasks.create_task(coordinators.follow_secrets(api))
        tasks.create_task(coordinators.follow_runs(api))
        tasks.create_task(server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main())
