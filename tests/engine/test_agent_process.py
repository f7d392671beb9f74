"""A worker's agent as the first process of a container would be: what SIGTERM means before it holds anything."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from signals import wait_for_handler

from longshore_protocol.job import SUMMARY_ONLY, Job, MiniBatchSize, Output, ScriptInput

PATIENCE = 60.0  # seconds, of the 300 that an agent waits for a coordinator


@contextmanager
def agent(folder, port, **variables):
    """An agent of the coordinator at a port of this machine."""
    given = {
        "LONGSHORE_COORDINATOR": f"http://127.0.0.1:{port}",
        "LONGSHORE_TOKEN": "token",
        "LONGSHORE_WORKER": "w0",
        "LONGSHORE_SOCKET": str(folder / "agent.sock"),
        "LONGSHORE_WORK_DIR": str(folder),
    }
    with subprocess.Popen([sys.executable, "-m", "longshore_agent"], env={**os.environ, **given, **variables}) as it:
        try:
            yield it
        finally:
            it.kill()


def test_an_agent_that_still_starts_ends_at_once(tmp_path):
    (tmp_path / "aiohttp.py").write_text("import os; open(os.environ['FIFO']).read()")  # nobody writes to it
    os.mkfifo(tmp_path / "fifo")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    nobody = 9  # it does not come that far
    with agent(tmp_path, nobody, PYTHONPATH=path, FIFO=str(tmp_path / "fifo")) as starting:
        wait_for_handler(starting.pid, signal.SIGTERM)
        starting.terminate()
        assert starting.wait(PATIENCE) == 1  # not by the signal, which the first process of a container would not get


def test_an_agent_does_not_wait_for_a_coordinator_when_it_is_to_end(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as never_answers,
        agent(tmp_path, never_answers.getsockname()[1]) as registering,
        never_answers.accept()[0] as connection,
    ):
        assert connection.recv(1)
        registering.terminate()
        assert registering.wait(PATIENCE) == 0
    assert not list(tmp_path.glob("longshore-*"))


class Coordinator(BaseHTTPRequestHandler):
    """Registers an agent whose side input never comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        call = self.path.rpartition("/")[2]
        if call == "bye":
            self.server.heard_bye.set()
            if self.server.is_gone:
                self.server.over.wait(2 * PATIENCE)
        answer = {"agent": "w0.1.a", "epoch": 1, "job": json.loads(self.server.job)} if call == "register" else {}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.server.asked.set()
        self.server.over.wait(2 * PATIENCE)

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)

    def log_message(self, *_):
        pass


@pytest.fixture
def coordinator(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Coordinator)
    server.asked, server.heard_bye, server.over = threading.Event(), threading.Event(), threading.Event()
    side = ScriptInput("lookup", (f"http://127.0.0.1:{server.server_port}/lookup.csv",))
    output = Output(SUMMARY_ONLY, str(tmp_path / "out"))
    job = Job("score", "1", str(tmp_path / "run"), (), MiniBatchSize("files", 1), output, "/code", "score.py")
    server.job = replace(job, side_inputs=(side,)).to_json()
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("is_gone", [False, True], ids=["the coordinator answers", "it answers no more"])
def test_an_agent_that_ends_does_not_wait_for_its_downloads(tmp_path, coordinator, is_gone):
    coordinator.is_gone = is_gone
    with agent(tmp_path, coordinator.server_port) as bringing:
        assert coordinator.asked.wait(PATIENCE)
        bringing.terminate()
        assert coordinator.heard_bye.wait(PATIENCE)
        assert bringing.wait(PATIENCE) == 0
