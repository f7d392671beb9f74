"""What surrounds a coordinator in its pod: a frozen step, certificates, agents as processes and an operator."""

import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from longshore_client import api
from longshore_coordinator.ledger import Ledger
from longshore_operator.cluster.coordinators import AnswerPending, Endpoint
from longshore_operator.cluster.poller import Poller
from longshore_operator.manifests.credentials import issue
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import open_store

ENTRIES = Path(__file__).resolve().parents[1] / "data" / "entries"
LATER = 999_999  # an epoch after all others
PATIENCE = 120.0  # seconds; a machine may be busy


@contextmanager
def operating():
    """The part of the operator that asks coordinators, with answers that come while one waits."""
    operator = Operator()
    operator.poller.start()
    try:
        yield operator
    finally:
        operator.poller.stop()


class Operator:
    def __init__(self):
        self.requeued = queue.Queue()
        self.poller = Poller(lambda namespace, step: self.requeued.put((namespace, step)))
        self.generation = 0

    def snapshot(self, endpoint):
        """Return a snapshot that is asked for now."""
        self.generation += 1
        while True:
            try:
                return self.poller.snapshot(endpoint, generation=self.generation, ended=frozenset()).snapshot
            except AnswerPending:
                assert self.requeued.get(timeout=PATIENCE) == ("n", "score")


def eventually(find, *, what):
    """Return what `find` finds, once it finds something."""
    give_up = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < give_up, f"in vain: {what}"
        time.sleep(0.05)
    return found


@contextmanager
def port():
    """A port that nobody else is given meanwhile, not even between one coordinator and the next."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who listens there may have it, too
        held.bind(("", 0))
        yield held.getsockname()[1]


class Setup:
    """A run folder with job and secret, and the processes of a pod or two."""

    def __init__(self, folder, port, *, script="echo.py", arguments=(), items=6):
        self.folder, self.port = folder, port
        self.processes = []
        for index in range(items):
            (folder / "in").mkdir(exist_ok=True)
            (folder / "in" / f"{index}.txt").write_text(str(index))
        self.job = Job(
            name="score",
            run_id="score-1",
            run_uri=str(folder / "run"),
            inputs=(Input("in", (str(folder / "in"),)),),
            mini_batch=MiniBatchSize("files", 1),
            output=Output(APPEND_ROW, str(folder / "run" / "out")),
            source_uri=str(ENTRIES),
            entry_script=script,
            arguments=arguments,
        )
        credentials = issue("localhost", now=datetime.now(UTC))
        self.token = credentials.token
        self.is_now()
        for name, text in (
            ("token", credentials.token),
            ("tls.crt", credentials.certificate),
            ("tls.key", credentials.key),
            ("ca.crt", credentials.authority),
        ):
            (folder / name).write_text(text)

    def is_now(self, **changes):
        """Change the job of coordinators that start from now on."""
        self.job = replace(self.job, **changes)
        (self.folder / "job.json").write_text(self.job.to_json())

    def run(self):
        """Run a coordinator and a worker to their ends; return the last words."""
        coordinator = self.coordinator()
        self.worker()
        assert coordinator.wait(PATIENCE) == 0
        return self.words()

    def coordinator(self, *, linger=0.0):
        words = ["--last-words", str(self.folder / "words"), "--linger", str(linger), "--port", str(self.port)]
        files = ["--job", str(self.folder / "job.json"), "--secret", str(self.folder)]
        return self._start("longshore_coordinator", *files, *words)

    def worker(self, name="w-0", *, work=None, private=None, **of_the_host):
        """Start agent and host; `work` is the folder that the two share, `private` the agent's own."""
        work = work or self.folder
        path = str(work / f"{name}.sock")
        agent = {
            "LONGSHORE_COORDINATOR": f"https://localhost:{self.port}",
            "LONGSHORE_TOKEN": self.token,
            "LONGSHORE_WORKER": name,
            "LONGSHORE_SOCKET": path,
            "LONGSHORE_WORK_DIR": str(work),
            "TMPDIR": str(private or work),
            "LONGSHORE_CA": str(self.folder / "ca.crt"),
            "LONGSHORE_UMASK": "007",
        }
        host = {"LONGSHORE_UMASK": "007", **of_the_host}
        return self._start("longshore_agent", **agent), self._start("longshore_host", path, **host)

    def _start(self, module, *arguments, **environment):
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def ask(self, path, *, body=None, token=None):
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        headers = {"Authorization": f"Bearer {token or self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://localhost:{self.port}/v1/{path}", headers=headers, data=data)
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            return ""  # not up yet

    def endpoint(self):
        """As the operator reaches the coordinator."""
        authority = (self.folder / "ca.crt").read_text()
        http = api.Endpoint(f"https://127.0.0.1:{self.port}", self.token, authority, "localhost")
        return Endpoint("n", "score", http)

    def printed(self, worker, process=0):
        """The words that a process of a worker, and those of its name under later agents, printed."""
        with suppress(FileNotFoundError):
            return (self.folder / f"run/logs/user/stdout/{worker}/process{process:03d}.stdout.txt").read_text().split()
        return []

    def rows(self):
        return (self.folder / "run/out/parallel_run_step.txt").read_text().splitlines()

    def ledger(self):
        """Every valid record, as a later coordinator would read them."""
        return Ledger(open_store(str(self.folder / "run")), LATER).replay()

    def words(self):
        with suppress(FileNotFoundError, ValueError):
            return Snapshot.from_json((self.folder / "words").read_text())
