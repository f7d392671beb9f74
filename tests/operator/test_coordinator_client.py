"""Coordinators that answer as none of ours does: who may make pods can put one in a coordinator's place."""

import itertools
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from longshore_operator.cluster import coordinators as coordinator_client
from longshore_operator.cluster.coordinators import CoordinatorError, Endpoint, HttpCoordinators
from longshore_operator.manifests.credentials import issue
from longshore_protocol.snapshot import RUNNING, Snapshot

ANSWER = Snapshot(RUNNING, "score-1", "/run", "/run/scores", 1).to_json().encode()


@contextmanager
def serving(folder, chunks):
    """Serve an answer piece by piece over TLS, 20 pieces a second; gives its endpoint."""
    made = issue("score-coordinator.n.svc", now=datetime.now(UTC))
    (folder / "tls.crt").write_text(made.certificate)
    (folder / "tls.key").write_text(made.key)
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
                    if stopped.wait(0.05):
                        return
            except OSError:
                return

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Endpoint("127.0.0.1", server.server_port, "score-coordinator.n.svc", authority=made.authority, token="t")
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_answer_in_pieces_is_read(tmp_path):
    with serving(tmp_path, [ANSWER[:10], ANSWER[10:]]) as endpoint:
        assert HttpCoordinators().snapshot(endpoint).run_id == "score-1"


def test_an_answer_that_comes_byte_by_byte_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(coordinator_client, "_LONGEST", 0.3)
    slowly = itertools.chain(itertools.repeat(b" ", 200), [ANSWER])
    with serving(tmp_path, slowly) as endpoint, pytest.raises(CoordinatorError):
        HttpCoordinators().snapshot(endpoint)


def test_an_answer_that_is_too_long_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(coordinator_client, "_LARGEST", len(ANSWER) + 1)
    with serving(tmp_path, [ANSWER + b"  "]) as endpoint, pytest.raises(CoordinatorError, match="longer than"):
        HttpCoordinators().snapshot(endpoint)
