"""How an agent delivers results."""

import asyncio
import errno
import json
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock
from uuid import uuid4

import fakes
import pytest
from fakes import SPEC, until

from longshore_agent.agent import Agent
from longshore_agent.coordinator_client import Orders
from longshore_agent.paths import paths_of
from longshore_agent.shipping import Shipper
from longshore_agent.work import Lease
from longshore_agent.worker import Worker
from longshore_protocol import messages
from longshore_protocol.job import Output, Timeouts
from longshore_protocol.wire import Failure, Grant
from longshore_storage.store import LocalStore, open_store

JOB = replace(fakes.JOB, timeouts=Timeouts(run_invocation=0.1, task_overhead=0.1))


class Client:
    """A coordinator that keeps what it is told, and lets the store end its write once leases were renewed."""

    def __init__(self, store):
        self.reports = []
        self._store = store

    async def report(self, body):
        self.reports.append(body)
        if len(self.reports) == 3:
            self._store.may_end.set()
        return Orders()


class SlowStore:
    """A store whose write takes as long as the test wants."""

    child = LocalStore("/run").child

    def __init__(self):
        self.may_end = threading.Event()
        self.written = {}

    def put(self, name, data):
        assert self.may_end.wait(60.0)
        self.written[name] = data


def agent_of(client, worker, *, job=JOB, folder="/work"):
    places = paths_of(job, worker="worker-0", shared=str(folder))
    places.make()
    shipper = Shipper(job, places, worker="worker-0", private=str(folder))
    return Agent(client, job, worker, identity=("worker-0.1.a", 1), shipper=shipper)


def test_leases_are_renewed_while_a_slow_store_takes_the_rows():
    store = SlowStore()
    client = Client(store)

    async def deliver():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        agent = agent_of(client, worker)
        agent._segments = store
        worker.outbox.complete([messages.DONE, 7, 2, 1, 1, 0, 0, 0, 0, ""], process=0, rows=b"row\n")
        await agent._send()

    asyncio.run(deliver())
    *renewals, last = client.reports
    assert len(renewals) >= 3
    assert all(each["held"] == [[7, 2]] and not each["completed"] for each in renewals)
    assert [each[:2] for each in last["completed"]] == [(7, 2)]
    assert store.written == {last["segment"]: b"row\n"}


def test_many_failures_with_long_tracebacks_are_reported_in_reports_that_the_coordinator_takes():
    client = Client(SlowStore())
    trace = "\n".join(["\N{PILE OF POO}" * 500] * 20)  # the longest there is: JSON writes twelve bytes for each
    failures = [Failure(number, 1, 1, 0, "UserError", "no", trace, 0.0, 0.0, "log") for number in range(700)]

    async def deliver():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        agent = agent_of(client, worker)
        for failure in failures:
            worker.outbox.fail(failure)
        await agent._send()

    asyncio.run(deliver())
    assert [failure for each in client.reports for failure in each["failed"]] == failures
    assert all(len(json.dumps(each)) < 64 * 1024 * 1024 for each in client.reports)


class Witness:
    """A coordinator that looks, at each report, what is in a store."""

    def __init__(self, store):
        self.seen = []
        self.deferred = []
        self._store = store

    async def report(self, body):
        self.seen.append(([each[0] for each in body["completed"]], [each[0] for each in body["failed"]], self._there()))
        self.deferred += body["deferred"]
        return Orders()

    def _there(self):
        return [name for name in self._store.names() if not name.startswith("state/")]


@pytest.fixture
def remote():
    uri = f"memory://{uuid4()}"
    return replace(fakes.JOB, run_uri=uri, output=Output(action="summary_only", uri=f"{uri}/out"))


def deliver(job, folder, **what):
    """Have mini-batch 7 write a file and be reported; return what the coordinator saw."""
    return delivered(job, folder, **what).seen


def delivered(job, folder, *, refuse=None, fails=False):
    client = Witness(open_store(job.run_uri))
    output = Path(paths_of(job, worker="worker-0", shared=str(folder)).output)

    async def run():
        worker = Worker(job, SPEC, agent="worker-0.1.a")
        agent = agent_of(client, worker, job=job, folder=folder)
        (output / "made.txt").write_text("x")
        if refuse:
            agent._shipper._output.put = refuse
        if fails:
            worker.outbox.fail(Failure(7, 2, 1, 0, "UserError", "no", "", 0.0, 0.0, "log"))
        else:
            worker.outbox.complete([messages.DONE, 7, 2, 1, 1, 0, 0, 0, 0, ""], process=0, rows=b"")
        await agent._send()

    asyncio.run(run())
    return client


def test_what_a_mini_batch_wrote_is_in_the_store_when_it_is_reported(remote, tmp_path):
    assert deliver(remote, tmp_path) == [([7], [], ["out/made.txt"])]


def test_what_a_failed_mini_batch_wrote_is_in_the_store_before_another_may_run_it(remote, tmp_path):
    assert deliver(remote, tmp_path, fails=True) == [([], [7], ["out/made.txt"])]


def test_a_mini_batch_whose_files_the_store_refuses_is_deferred(remote, tmp_path, monkeypatch):
    monkeypatch.setattr("longshore_agent.agent._WRITE_ATTEMPTS", 1)

    def refuse(*_):
        raise OSError("no room")

    client = delivered(remote, tmp_path, refuse=refuse)
    assert client.seen[-1] == ([], [], [])
    assert client.deferred == [(7, 2, "store", f"cannot write {remote.output.uri}: no room")]


WRITING_FAILS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    OSError("s3://bucket/run: ClientError: Service Unavailable"),
]


@pytest.mark.parametrize("error", WRITING_FAILS, ids=str)
def test_results_whose_rows_cannot_be_written_are_given_back_and_not_failed(error, tmp_path, monkeypatch):
    monkeypatch.setattr("longshore_agent.agent._WRITE_ATTEMPTS", 2)
    job = replace(fakes.JOB, run_uri=str(tmp_path / "run"))  # whose leases need no renewal meanwhile
    client = Witness(open_store(job.run_uri))

    async def run():
        worker = Worker(job, SPEC, agent="worker-0.1.a")
        agent = agent_of(client, worker, job=job, folder=tmp_path)
        for number in (3, 4):
            done = [messages.DONE, number, 1, 1, 1, 0, 0, 0, 0, ""]
            worker.outbox.complete(done, process=0, rows=b"row\n")
        worker.outbox.fail(Failure(5, 1, 1, 0, "UserError", "no", "", 0.0, 0.0, "log"))
        with mock.patch.object(LocalStore, "put", side_effect=error):
            await agent._send()
        worker.outbox.complete([messages.DONE, 3, 2, 1, 1, 0, 0, 0, 0, ""], process=0, rows=b"row\n")
        await agent._send()

    asyncio.run(run())
    (none, failed, _), (completed, _, _) = client.seen
    assert (none, failed, completed) == ([], [5], [3])
    why = error.strerror or error
    assert client.deferred == [
        (number, 1, "store", f"cannot write {job.run_uri}/state/segments/worker-0.1.a-000001: {why}")
        for number in (3, 4)
    ]


def test_a_write_that_takes_long_is_reported_while_it_lasts(monkeypatch):
    monkeypatch.setattr("longshore_agent.agent._SLOW_WRITE", 0.0)
    store = SlowStore()
    client = Client(store)

    async def deliver():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        agent = agent_of(client, worker)
        agent._segments = store
        worker.outbox.complete([messages.DONE, 7, 2, 1, 1, 0, 0, 0, 0, ""], process=0, rows=b"row\n")
        await agent._send()

    asyncio.run(deliver())
    *renewals, last = client.reports
    for each in renewals:
        [(mini_batch, _, origin, message)] = each["deferred"]
        assert (mini_batch, origin) == (-1, "store")
        assert re.fullmatch(r"writing /run/state/segments/worker-0.1.a-000001 has taken \d+ s so far", message)
    assert [each[:2] for each in last["completed"]] == [(7, 2)]


class Scripts:
    """An agent whose processes are the test, in a pod: another user of the script's group."""

    def __init__(self, job, folder, monkeypatch):
        self.client = Witness(open_store(job.run_uri))
        self.reported = []
        self.worker = Worker(job, SPEC, agent="worker-0.1.a")
        self.agent = agent_of(self, self.worker, job=job, folder=folder)
        self.output = Path(paths_of(job, worker="worker-0", shared=str(folder)).output)
        monkeypatch.setattr("longshore_agent.agent._RECHECK_SECONDS", 0.01)
        fakes.be_another_user_of_the_group(monkeypatch)

    async def report(self, body):
        self.reported.append(body)
        return await self.client.report(body)

    def write(self, name, mode=0o640):
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
        return path

    def end(self, mini_batch, begin, end, *, attempt=1, rows=b""):
        """A mini-batch ran from one Unix time to the other."""
        times = int(begin * 1e6), int((end - begin) * 1e6), 0, 0
        self.worker.outbox.complete([messages.DONE, mini_batch, attempt, 1, 1, *times, ""], process=0, rows=rows)

    def begin(self, mini_batch, *, ago):
        """A process began a mini-batch so many seconds ago, and runs it."""
        lease = Lease(Grant(mini_batch, 1, 0, b"[]"), tabular=False)
        self.worker._slots[0].work.sent([lease], time.monotonic() - ago)

    async def send(self):
        """Report, and return the mini-batches that succeeded and the messages of those that failed."""
        await self.agent._send()
        last = self.reported[-1]
        return [each[0] for each in last["completed"]], {each[0]: each[5] for each in last["failed"]}


@pytest.fixture
def scripts(remote, tmp_path, monkeypatch):
    return lambda: Scripts(remote, tmp_path, monkeypatch)


MODES = {"a file": ("b", 0o600), "a folder": ("deep", 0o700), "a folder further down": ("deep/er", 0o700)}


@pytest.mark.parametrize(("name", "mode"), MODES.values(), ids=MODES)
def test_what_the_agent_may_not_read_fails_the_mini_batch_that_wrote_it_and_no_other(scripts, name, mode):
    async def scenario():
        pod = scripts()
        for each in ("a", "b", "deep/er/c"):
            pod.write(each)
        (pod.output / name).chmod(mode)
        changed = os.lstat(pod.output / name).st_ctime
        pod.end(1, changed - 3, changed - 2)
        pod.end(2, changed - 1, changed + 1, rows=b"row\n")
        pod.end(3, changed + 2, changed + 3, rows=b"row\n")
        succeeded, failed = await pod.send()
        assert (succeeded, list(failed)) == ([1, 3], [2])
        assert f'{name}{"/" * (name != "b")}" (mode ' in failed[2]
        assert "os.chmod(path, 0o" in failed[2]
        assert pod.client.deferred == []
        pod.end(4, changed + 3, changed + 4)  # it is known now, and nobody else's
        assert await pod.send() == ([4], {})
        (pod.output / name).chmod(0o750)
        pod.end(2, changed + 3, changed + 4, attempt=2)
        assert await pod.send() == ([2], {})
        assert sorted(pod.client.seen[-1][2]) == ["out/a", "out/b", "out/deep/er/c"]

    asyncio.run(scenario())


def test_a_mini_batch_that_leaves_the_file_as_it_is_fails_again(scripts):
    async def scenario():
        pod = scripts()
        changed = os.lstat(pod.write("a", 0o600)).st_ctime
        pod.end(1, changed - 1, changed + 1)
        assert list((await pod.send())[1]) == [1]
        pod.end(1, changed + 2, changed + 3, attempt=2)
        assert list((await pod.send())[1]) == [1]

    asyncio.run(scenario())


def test_a_file_that_a_running_mini_batch_may_have_written_is_waited_for(scripts):
    async def scenario():
        pod = scripts()
        pod.begin(2, ago=1.0)
        unfinished = pod.write("unfinished", 0o600)
        changed = os.lstat(unfinished).st_ctime
        pod.end(1, changed - 1, changed + 1)
        async with asyncio.timeout(fakes.PATIENCE):
            sending = asyncio.create_task(pod.send())
            await until(lambda: pod.agent._awaits_files)
            unfinished.chmod(0o640)  # as a script does that writes beside and puts in place
            assert await sending == ([1], {})
        assert pod.client.deferred == []

    asyncio.run(scenario())


def test_a_file_that_the_agent_may_not_read_is_judged_once_all_that_may_have_written_it_ended(scripts):
    async def scenario():
        pod = scripts()
        pod.begin(2, ago=1.0)
        changed = os.lstat(pod.write("a", 0o600)).st_ctime
        pod.end(1, changed - 1, changed + 1)
        async with asyncio.timeout(fakes.PATIENCE):
            sending = asyncio.create_task(pod.send())
            await until(lambda: pod.agent._awaits_files)
            pod.worker._slots[0].work.done(2, 1, time.monotonic())
            pod.end(2, changed - 2, changed + 2)
            assert list((await sending)[1]) == [1]
            assert list((await pod.send())[1]) == [2]  # it ran then, too: nobody can tell whose the file is

    asyncio.run(scenario())
