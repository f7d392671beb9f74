"""The worker before its stager: what is fetched ahead, held, given back and deleted."""

import asyncio
import json
import os
from uuid import uuid4

import pytest
from stager_bench import Held, read, remote, until

from longshore_agent.downloads import DownloadedData
from longshore_agent.paths import paths_of
from longshore_agent.slots import Slot
from longshore_agent.stager import Stager
from longshore_agent.staging import host_spec, stage
from longshore_agent.worker import Worker
from longshore_protocol import errors, messages
from longshore_protocol.job import Input, Job, MiniBatchSize, Output
from longshore_protocol.wire import Grant


class Peer:
    """A connection that keeps what is sent."""

    pid = 1
    device = "cpu"

    def __init__(self):
        self.sent = []

    def send(self, header, body=b""):
        self.sent.append((header, body))

    def close(self):
        pass

    def run(self):
        """Return the slices that came so far."""
        return [piece for header, body in self.sent if header[0] == messages.RUN for piece in json.loads(body)]


def job(tmp_path, path="memory://given", table=None, processes=2):
    output = Output("append_row", str(tmp_path / "out"))
    return Job("step", "run-1", str(tmp_path), (Input("given", (path,), tabular=table),), MiniBatchSize("files", 1),
               output, str(tmp_path), "script.py", processes_per_worker=processes)  # fmt: skip


def worker_of(tmp_path, job, **options):
    """Return a worker with a host, each process ready, and the processes' connections."""
    (tmp_path / "work").mkdir()
    places = paths_of(job, worker="worker-0", shared=str(tmp_path / "work"))
    spec = host_spec(job, DownloadedData(), worker="worker-0", work_dir=str(tmp_path / "work" / "tmp"), paths=places)
    worker = Worker(job, spec, agent="a", **options)
    worker.host_connected(Peer())
    worker.reconcile()
    children = [Peer() for _ in range(job.processes_per_worker)]
    for process, child in enumerate(children):
        assert worker.child_connected(child, process)
        worker.child_message(process, [messages.READY, 0.1], b"")
    worker.reconcile()
    return worker, children


def done(lease):
    return [messages.DONE, lease.mini_batch, lease.attempt, 1, 1, 0, 1_000_000, 1, 1, ""]


def grants(job, *paths, first=0):
    return [
        stage(job, Grant(number, 1, 0, json.dumps([path]).encode())) for number, path in enumerate(paths, start=first)
    ]


@pytest.fixture
def working(tmp_path):
    """Return a function that runs `body(worker, children, job)` on an event loop."""

    def run(body, **options):
        async def main():
            made = job(tmp_path, **options)
            worker, children = worker_of(tmp_path, made)
            try:
                await body(worker, children, made)
            finally:
                await worker.close()
            assert list((tmp_path / "work").iterdir()) == []

        asyncio.run(main())

    return run


def test_one_mini_batch_per_process_is_downloaded_ahead(working):
    async def body(worker, children, job):
        assert worker.leases_wanted() == 4
        worker.take(grants(job, *[remote() for _ in range(4)]))
        assert worker.leases_wanted() == 0
        assert len(worker.held()) == 4
        assert not worker.is_idle()
        await until(lambda: all(len(child.run()) == 1 for child in children))
        for child in children:
            assert read(child.run()[0][0]) == b"x"
        assert len(worker.held()) == 4

    working(body)


def test_inputs_are_downloaded_to_the_folder_that_processes_only_read(tmp_path):
    async def main():
        made, staged = job(tmp_path, processes=1), tmp_path / "staged"
        staged.mkdir()
        worker, [child] = worker_of(tmp_path, made, staged=str(staged))
        try:
            worker.take(grants(made, remote()))
            await until(child.run)
            [[path]] = child.run()
            assert path.startswith(f"{staged}/longshore-inputs-run-1-worker-0/")
            assert read(path) == b"x"
            assert list((tmp_path / "work").iterdir()) == []
        finally:
            await worker.close()
        assert list(staged.iterdir()) == []

    asyncio.run(main())


def test_what_is_underway_is_held_and_renewed(working, monkeypatch):
    held = Held(monkeypatch)

    async def body(worker, children, job):
        worker.take(grants(job, "memory://f", "memory://g"))
        await until(lambda: held.running == 2)
        assert worker.held() == [[0, 1], [1, 1]]
        assert worker.leases_wanted() == 2
        held.go.set()
        await until(lambda: all(child.run() for child in children))

    working(body)


async def what_runs(worker, children, granted):
    """Have a worker take mini-batches, and each process run one; return that of the first."""
    worker.take(granted)
    await until(lambda: all(child.run() for child in children))
    [first] = [each for each in granted if json.loads(each.grant.slice) == children[0].run()[0]]
    return first


def test_what_a_process_has_finished_with_is_deleted(working):
    async def body(worker, children, job):
        granted = grants(job, *[remote() for _ in range(3)])
        first = await what_runs(worker, children, granted)
        await until(lambda: granted[2].grant.slice.find(b"memory:") < 0)
        folder = first.folder
        worker.child_message(0, done(first.grant), b"row\n")
        worker.reconcile()
        await until(lambda: not os.path.exists(folder))
        assert len(children[0].run()) == 2

    working(body)


def test_what_a_dead_process_had_begun_is_deleted_and_the_rest_runs_elsewhere(working):
    async def body(worker, children, job):
        victim = await what_runs(worker, children, grants(job, *[remote() for _ in range(2)]))
        folder = victim.folder
        worker.child_gone(children[0], 0)
        worker.host_message([messages.EXITED, 0, -9, False])
        await until(lambda: not os.path.exists(folder))
        assert [each.mini_batch for each in worker.outbox.batch.failed] == [victim.grant.mini_batch]

    working(body)


def test_a_drain_gives_back_what_is_underway_and_what_waits(working, monkeypatch, tmp_path):
    async def body(worker, children, job):
        worker.take(grants(job, remote(), remote(), remote()))
        await until(lambda: all(child.run() for child in children) and not worker._stager.underway())
        [waits] = {number for number, _ in worker.held()} - {each.mini_batch for each in running(worker)}
        held = Held(monkeypatch)
        worker.take(grants(job, "memory://g", first=3))
        await until(lambda: held.running == 1)
        worker.drain()
        assert sorted(worker.outbox.batch.returned) == [[waits, 1], [3, 1]]
        assert len(worker.held()) == 2
        held.go.set()
        await until(lambda: len(staged_folders(tmp_path)) == 2)
        assert all(len(child.run()) == 1 for child in children)

    working(body)


def running(worker):
    return [slot.work.queue[0].grant for slot in worker._slots if slot.work]


def staged_folders(tmp_path):
    return list((tmp_path / "work").glob("longshore-inputs-*/*"))


def test_leases_that_are_lost_are_not_downloaded_and_leave_nothing(working, tmp_path):
    async def body(worker, _children, job):
        worker.take(grants(job, *[remote() for _ in range(4)]))
        await until(lambda: len(staged_folders(tmp_path)) == 4 and not worker._stager.underway())
        worker.forget(worker.held())
        assert worker.held() == []
        await until(lambda: len(staged_folders(tmp_path)) == 2)  # the processes still work on theirs
        for process, grant in enumerate(running(worker)):
            worker.child_message(process, done(grant), b"late\n")
        worker.reconcile()
        await until(lambda: staged_folders(tmp_path) == [])
        assert worker.outbox.batch.is_empty()

    working(body)


def test_a_mini_batch_that_comes_back_in_a_later_attempt_is_downloaded_again(working):
    async def body(worker, children, job):
        url = remote()
        worker.take(grants(job, url))
        worker.take([stage(job, Grant(0, 2, 0, json.dumps([url]).encode()))])
        assert worker.held() == [[0, 2]]
        await until(lambda: any(child.run() for child in children))
        await until(lambda: not worker._stager.underway())
        [runs] = running(worker)
        assert (runs.mini_batch, runs.attempt) == (0, 2)

    working(body)


def test_a_failed_download_is_a_failed_attempt_of_no_process(working):
    async def body(worker, _children, job):
        url = f"memory://{uuid4()}/none"
        worker.take(grants(job, url))
        await until(lambda: worker.outbox.batch.failed)
        [failure] = worker.outbox.batch.failed
        assert (failure.mini_batch, failure.attempt, failure.items, failure.process) == (0, 1, -1, -1)
        assert failure.category == errors.DATA_ERROR
        assert url in failure.message
        assert failure.log == ""
        assert worker.held() == []
        assert worker.report_now.is_set()

    working(body)


def test_local_inputs_pass_unread_and_at_once(working, tmp_path):
    async def body(worker, children, job):
        tasks = len(asyncio.all_tasks())
        assert worker.leases_wanted() == 2
        slices = [b'["not JS', b"ON at all"]
        worker.take([stage(job, Grant(number, 1, 0, each)) for number, each in enumerate(slices)])
        bodies = [body for child in children for header, body in child.sent if header[0] == messages.RUN]
        assert bodies == [b"[%s]" % each for each in slices]
        assert len(asyncio.all_tasks()) == tasks
        assert list((tmp_path / "work").iterdir()) == []

    working(body, path=str(tmp_path))


@pytest.mark.parametrize(
    ("seconds_to_bring", "seconds_to_run", "ahead"),
    [(None, None, 1), (None, 10.0, 1), (1.0, 10.0, 1), (3.0, 1.0, 3), (60.0, 0.5, 8), (0.001, 0.00001, 8)],
)
def test_the_slower_files_come_the_more_of_them_are_underway(tmp_path, seconds_to_bring, seconds_to_run, ahead):
    made = Stager([Input("given", ("memory://given",))], str(tmp_path / "inputs"), callbacks=None)
    made._average = seconds_to_bring
    slot = Slot(0)
    slot.average = seconds_to_run
    assert made.ahead(slot) == ahead
