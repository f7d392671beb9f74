"""A worker's host as the first process of a container would be: what SIGTERM means to it."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from signals import wait_for_handler

from longshore_protocol import messages
from longshore_protocol.frames import Decoder, encode
from longshore_protocol.job import Output

WORKER = Path(__file__).parents[2] / "worker"
PATIENCE = 60.0  # seconds


@pytest.fixture
def host(tmp_path):
    """A host for an agent's socket, at which nobody listens yet, once it handles SIGTERM."""
    command = [sys.executable, "-m", "longshore_host", str(tmp_path / "agent.sock")]
    path = os.pathsep.join(filter(None, [str(WORKER), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(command, env={"PYTHONPATH": path}) as started:
        wait_for_handler(started.pid, signal.SIGTERM)
        yield started
        started.kill()


def hear(connection):
    """Return the next message of the host."""
    decoder = Decoder()
    while not (frames := decoder.feed(connection.recv(65536))):
        pass
    return frames[0][0]


def test_a_host_that_waits_for_an_agent_ends_when_it_is_stopped(host):
    host.send_signal(signal.SIGTERM)
    assert host.wait(PATIENCE) == 0


@contextmanager
def agent(tmp_path):
    """The agent's end of its connection with the host, which has said hello."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "agent.sock"))
        listening.listen()
        connection, _ = listening.accept()
    with connection:
        assert hear(connection)[0] == messages.HELLO_HOST
        yield connection


def test_a_host_that_has_an_agent_leaves_it_to_that_and_ends_with_it(host, tmp_path):
    with agent(tmp_path):
        host.send_signal(signal.SIGTERM)
        assert host.poll() is None
    assert host.wait(PATIENCE) == 0


def test_a_host_whose_agent_has_removed_its_folder_starts_no_process_there_and_ends(host, tmp_path):
    work = tmp_path / "agents" / "work"  # what an agent asked for last may reach the host when it has ended
    spec = messages.HostSpec(
        source=str(tmp_path),
        entry_script="score.py",
        arguments=(),
        variables={},
        inputs=(),
        output=Output("summary_only", str(tmp_path / "out")),
        models=(),
        work_dir=str(work),
        log_dir=str(tmp_path / "logs"),
        worker="worker-0",
        output_dir=str(tmp_path / "out"),
    )
    with agent(tmp_path) as connection:
        connection.sendall(encode([messages.SPEC, asdict(spec)]) + encode([messages.SPAWN, 2, 0]))
        assert host.wait(PATIENCE) == 0
    assert not work.exists()
