"""What others ask the operator over HTTP: /metrics, and /readyz. In a thread: it answers while the event loop is busy.

Whether the event loop is alive is kopf's to say, at /healthz of another port.
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
    """Serve until the block ends; gives the port. Raises OSError when the address cannot be had."""
    answers: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/readyz": lambda: (
            (HTTPStatus.OK, _PLAIN, b"ready\n")
            if ready()
            else (HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not every watch runs\n")
        ),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for one that connects and says nothing

        def do_GET(self) -> None:
            missing = (HTTPStatus.NOT_FOUND, _PLAIN, b"there are /metrics and /readyz\n")
            status, kind, body = answers.get(self.path.partition("?")[0], lambda: missing)()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: every few seconds somebody asks."""

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
