"""HTTP endpoints of the operator: /metrics and /readyz. A thread serves them, even while the event loop is busy.

kopf reports the liveness of the event loop, at /healthz of another port.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_PLAIN = "text/plain; charset=utf-8"


@contextmanager
def serving(address: tuple[str, int], registry: CollectorRegistry, ready: Callable[[], bool]) -> Iterator[int]:
    """Serve until the block ends; yield the port. Raises OSError if the address is not available."""
    answers: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/readyz": lambda: (
            (HTTPStatus.OK, _PLAIN, b"ready\n")
            if ready()
            else (HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not every watch runs\n")
        ),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds until a silent connection is closed

        def do_GET(self) -> None:
            missing = (HTTPStatus.NOT_FOUND, _PLAIN, b"there are /metrics and /readyz\n")
            status, kind, body = answers.get(self.path.partition("?")[0], lambda: missing)()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing, because probes and scrapes come every few seconds."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="endpoints")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
