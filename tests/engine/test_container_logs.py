"""What the host of a pod writes to its stdout, the log of its container, while an agent lets it run mini-batches."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from longshore_protocol import messages
from longshore_protocol.frames import Decoder, encode
from longshore_protocol.job import Output

WORKER = Path(__file__).parents[2] / "worker"
PATIENCE = 60.0  # seconds
SCRIPT = """
import logging, os, signal

def run(mini_batch):
    print("scoring", mini_batch)
    logging.warning("%s is blurred", mini_batch[0])
    if mini_batch[0] == "bad":
        raise ValueError("no digit in https://store/bad?sig=s3cret \\x1b[31m")
    if mini_batch[0] == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if mini_batch[0] == "flood":
        for _ in range(20_000):
            logging.warning("x" * 200)
    return mini_batch
"""


class Peer:
    """The agent's end of a connection."""

    def __init__(self, connection):
        connection.settimeout(PATIENCE)
        self._connection, self._decoder, self._frames = connection, Decoder(), []

    def send(self, header, body=b""):
        self._connection.sendall(encode(header, body))

    def hear(self, kind):
        """Return the next message, which must be of this kind."""
        while not self._frames:
            self._frames = self._decoder.feed(self._connection.recv(65536))
        header, _ = self._frames.pop(0)
        assert header[0] == kind
        return header


@contextmanager
def running(tmp_path, script, container_log, stdout):
    """Run a host with one process; yield the ends of both connections."""
    (tmp_path / "score.py").write_text(script)
    (tmp_path / "work").mkdir()
    spec = messages.HostSpec(
        source=str(tmp_path),
        entry_script="score.py",
        arguments=(),
        variables={},
        inputs=(messages.InputSpec("in"),),
        output=Output("summary_only", str(tmp_path / "out")),
        models=(),
        work_dir=str(tmp_path / "work"),
        log_dir=str(tmp_path / "logs"),
        worker="worker-0",
        output_dir=str(tmp_path / "out"),
        container_log=container_log,
    )
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, [str(WORKER), os.environ.get("PYTHONPATH")]))}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "agent.sock"))
        listening.listen()
        listening.settimeout(PATIENCE)
        command = [sys.executable, "-m", "longshore_host", str(tmp_path / "agent.sock")]
        with subprocess.Popen(command, env=environment, stdout=stdout) as started:
            try:
                with listening.accept()[0] as connected:
                    host = Peer(connected)
                    host.hear(messages.HELLO_HOST)
                    host.send([messages.SPEC, asdict(spec)])
                    host.send([messages.SPAWN, 0, 0])
                    with listening.accept()[0] as joined:
                        child = Peer(joined)
                        child.hear(messages.HELLO_CHILD)
                        child.send([messages.SPEC, asdict(spec)])
                        yield host, child
                    host.send([messages.STOP])
                    assert started.wait(PATIENCE) == 0
            finally:
                started.kill()


def run(child, *names):
    """Run a mini-batch for each name, and return the kind of the last answer."""
    child.hear(messages.READY)
    for number, name in enumerate(names):
        child.send([messages.RUN, [[number, 1, 0]]], json.dumps([[name]]).encode())
        if name != "deadly":
            child.hear(messages.FAILED if name == "bad" else messages.DONE)


def end(host, child):
    child.send([messages.SHUTDOWN])
    child.hear(messages.BYE)
    assert host.hear(messages.EXITED)[2] == 0


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "container.log").open("w") as file:
        yield file


def lines(tmp_path):
    """Return the lines of the container's log without their times."""
    found = (tmp_path / "container.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", each) for each in found)
    return [each.partition(" ")[2] for each in found]


FAILED = (
    "ERROR process000 mini-batch=1 attempt 1: UserError: ValueError: no digit in https://store/bad?sig=*** \\x1b[31m "
    "in score.py, line 8, in run"
)
WARNED = [
    "WARNING process000 mini-batch=0 root: good is blurred",
    "WARNING process000 mini-batch=1 root: bad is blurred",
]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("failures", [*WARNED, FAILED]),
        (
            "all",
            [
                "STDOUT process000 mini-batch=0 scoring ['good']",
                "STDOUT process000 mini-batch=0 TIME|WARNING|root|good is blurred",
                "STDOUT process000 mini-batch=1 scoring ['bad']",
                "STDOUT process000 mini-batch=1 TIME|WARNING|root|bad is blurred",
                FAILED,
            ],
        ),
        ("none", []),
    ],
)
def test_the_log_has_what_the_step_asks_for(tmp_path, log, what, expected):
    with running(tmp_path, SCRIPT, what, log) as (host, child):
        run(child, "good", "bad")
        end(host, child)
    assert [re.sub(r"[\d-]+ [\d:,]+\|", "TIME|", each) for each in lines(tmp_path)] == expected
    printed = (tmp_path / "logs/user/stdout/worker-0/process000.stdout.txt").read_text()
    assert printed.count("scoring") == 2, "the file has all of it in any case"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("import nonsense", "UserError: importing score.py failed: ModuleNotFoundError: No module named 'nonsense'"),
        (
            "def init():\n    1 / 0\ndef run(b):\n    pass",
            "UserError: init() failed: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_script_that_cannot_start_is_in_the_log(tmp_path, log, script, expected):
    with running(tmp_path, script, "failures", log) as (host, child):
        child.hear(messages.INIT_FAILED)
        host.hear(messages.EXITED)
    first, last = lines(tmp_path)
    assert first.startswith(f"ERROR process000 {expected}")
    assert last.startswith("ERROR process000 the process ended with exit code 1: ")


def test_a_process_that_dies_is_in_the_log(tmp_path, log):
    with running(tmp_path, SCRIPT, "failures", log) as (host, child):
        run(child, "good", "deadly")
        assert host.hear(messages.EXITED)[2] == -signal.SIGKILL
    assert lines(tmp_path)[-1] == "ERROR process000 the process was killed by SIGKILL"


def test_a_process_that_the_agent_has_killed_is_in_the_log_with_the_reason(tmp_path, log):
    with running(tmp_path, SCRIPT, "failures", log) as (host, child):
        child.hear(messages.READY)
        host.send([messages.KILL, 0, "run() took longer than 60 s"])
        host.hear(messages.EXITED)
    assert lines(tmp_path) == ["ERROR process000 run() took longer than 60 s; the process was killed"]


def test_a_process_that_is_killed_because_the_step_ended_is_no_failure(tmp_path, log):
    with running(tmp_path, SCRIPT, "failures", log) as (host, child):
        child.hear(messages.READY)
        host.send([messages.KILL, 0, ""])
        host.hear(messages.EXITED)
    assert lines(tmp_path) == []


@pytest.mark.parametrize("what", ["failures", "all"])
def test_a_flood_into_a_full_pipe_delays_nothing(tmp_path, what):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as unread, running(tmp_path, SCRIPT, what, writing) as (host, child):
        run(child, "flood", "good")
        end(host, child)
        os.close(writing)
        assert unread.readable()
