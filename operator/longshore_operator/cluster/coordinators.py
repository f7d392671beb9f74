"""Calls of a run's coordinator: where its run is, that a worker is gone, that one is to go."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from longshore_protocol.snapshot import Snapshot

_TIMEOUT = 5.0  # seconds; one that does not answer is asked again in the next reconcile
_LONGEST = 10.0  # seconds of a whole call: one that sends a byte now and then must not hold a thread of the operator
_LARGEST = 2**22  # bytes of an answer


class CoordinatorError(Exception):
    """The coordinator could not be asked, or refused; the message says why."""


@dataclass(frozen=True)
class Endpoint:
    """How to reach a coordinator."""

    address: str  # of its pod: no name server is needed
    port: int
    host: str  # which its certificate must name
    authority: str = field(repr=False)  # PEM
    token: str = field(repr=False)


class Coordinators(Protocol):
    """All that the operator asks of coordinators. Each call raises CoordinatorError."""

    def snapshot(self, endpoint: Endpoint) -> Snapshot:
        """Return where the run is."""

    def gone(self, endpoint: Endpoint, worker: str) -> None:
        """Say that a worker's agent is dead."""

    def drain(self, endpoint: Endpoint, worker: str) -> None:
        """Ask that a worker's agent ends, without the loss of a try; it ends with exit code 0 when it is through.

        Of the agent that is connected now: one that registers later, under the same name, may work. In vain, and no
        error, when none is.
        """


class HttpCoordinators:
    """Coordinators over HTTPS."""

    def snapshot(self, endpoint: Endpoint) -> Snapshot:
        try:
            return Snapshot.from_json(_call(endpoint, "GET", "/v1/snapshot"))
        except (ValueError, KeyError, TypeError) as error:
            raise CoordinatorError(f"no snapshot of this version: {error}") from error

    def gone(self, endpoint: Endpoint, worker: str) -> None:
        _call(endpoint, "POST", "/v1/gone", body=json.dumps({"worker": worker}))

    def drain(self, endpoint: Endpoint, worker: str) -> None:
        _call(endpoint, "POST", "/v1/drain", body=json.dumps({"worker": worker}))


class _Connection(http.client.HTTPSConnection):
    """Connects to an address and checks the certificate for another name."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._tls = ssl.create_default_context(cadata=endpoint.authority)
        super().__init__(endpoint.address, endpoint.port, timeout=_TIMEOUT, context=self._tls)
        self._name = endpoint.host
        self._connected: ssl.SSLSocket | None = None

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._connected = self._tls.wrap_socket(plain, server_hostname=self._name)

    def cut_off(self) -> None:
        """End what is sent and received, from another thread: who waits for it gets an error."""
        if self._connected is not None:
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(self._connected, socket.SHUT_RDWR)  # the reader still needs the TLS around it


def _call(endpoint: Endpoint, method: str, path: str, body: str | None = None) -> str:
    connection = _Connection(endpoint)
    deadline = threading.Timer(_LONGEST, connection.cut_off)
    deadline.daemon = True
    deadline.start()
    try:
        connection.request(method, path, body=body, headers={"Authorization": f"Bearer {endpoint.token}"})
        answer = connection.getresponse()
        found = answer.read(_LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise CoordinatorError(f"{endpoint.address}:{endpoint.port}: {error}") from error
    finally:
        deadline.cancel()
        connection.close()
    if len(found) > _LARGEST:
        raise CoordinatorError(f"{endpoint.address}:{endpoint.port}: its answer is longer than {_LARGEST} bytes")
    text = found.decode(errors="replace")
    if answer.status != http.HTTPStatus.OK:
        raise CoordinatorError(f"{endpoint.address}:{endpoint.port}: {answer.status} {text}")
    return text
