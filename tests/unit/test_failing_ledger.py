"""A run's own store that fails for a while under its coordinator: nothing is lost, and nothing ends without need."""

import asyncio
import errno
import logging
import os
import threading

import pytest
from fakes import summary_job, until, work

from longshore_coordinator import ends, service
from longshore_coordinator.enumerate import Slice
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.reports import ProgressOverview
from longshore_coordinator.service import Coordinator
from longshore_protocol.job import Timeouts
from longshore_storage.store import LocalStore

FAILURES = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EROFS]
PATIENCE = 60.0  # seconds


class Failing:
    """Wraps a method of a store so that it fails until it is mended."""

    def __init__(self, monkeypatch, owner, name, number, *, only=""):
        self.calls = 0
        self.failed = threading.Event()
        self.mended = threading.Event()
        original = getattr(owner, name)

        def call(store, path, *arguments):
            if only in str(path) and not self.mended.is_set():
                self.calls += 1
                self.failed.set()
                raise OSError(number, os.strerror(number))
            return original(store, path, *arguments)

        monkeypatch.setattr(owner, name, call)


async def opened(folder, **changes):
    made = Coordinator(summary_job(folder, **changes), cut=lambda _: iter([Slice(0, 1, b'["/in/a"]')]))
    await made.open()
    await made.plan_complete()
    return made


def run(scenario):
    async def limited():
        async with asyncio.timeout(PATIENCE):
            await scenario()

    asyncio.run(limited())


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Flush often and wait little."""
    monkeypatch.setattr(service, "_FLUSH_SECONDS", 0.01)
    monkeypatch.setattr("longshore_coordinator.store_writes._FIRST", 0.01)


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
def test_a_flush_that_fails_for_a_while_is_why_the_run_waits_and_nothing_is_lost(tmp_path, monkeypatch, number):
    async def scenario():
        coordinator = await opened(tmp_path)
        failing = Failing(monkeypatch, LocalStore, "create", number, only="state/ledger")
        running = asyncio.create_task(coordinator.run())
        await asyncio.to_thread(failing.failed.wait)
        await until(lambda: coordinator.snapshot().waiting_reason == "WaitingForStorage")
        why = f"waiting for the store: cannot write the ledger: {os.strerror(number)}"
        assert coordinator.snapshot().waiting_message == why
        failing.mended.set()
        await work(coordinator)
        last = await running
        assert (last.state, last.mini_batches.succeeded) == ("Succeeded", 1)
        assert (last.waiting_reason, last.waiting_message) == ("", "")

    run(scenario)


def test_no_run_succeeds_before_its_ledger_records_it(tmp_path, monkeypatch):
    async def scenario():
        coordinator = await opened(tmp_path)
        running = asyncio.create_task(coordinator.run())
        await asyncio.to_thread(coordinator._ledger.flush)
        failing = Failing(monkeypatch, LocalStore, "create", errno.ENOSPC, only="state/ledger")
        await work(coordinator)
        await until(lambda: failing.calls >= 3)
        assert coordinator.snapshot().state == "Assembling"
        assert not (tmp_path / "run" / ends.FIRST).exists()
        assert not running.done()
        failing.mended.set()
        assert (await running).state == "Succeeded"
        done = [
            each for record in Ledger(LocalStore(str(tmp_path / "run")), 9).replay() if (each := record.get("done"))
        ]
        assert len(done) == 1

    run(scenario)


@pytest.mark.parametrize("when", ["while it runs", "at its end"])
def test_a_ledger_that_cannot_be_written_ends_the_run_as_storage_error_after_its_limit(tmp_path, monkeypatch, when):
    async def scenario():
        coordinator = await opened(tmp_path, timeouts=Timeouts(storage=0.3))
        if when == "at its end":
            monkeypatch.setattr(service, "_FLUSH_SECONDS", 1000.0)
        monkeypatch.setattr(service, "_FAILED_END_TIMEOUT", 0.0)
        running = asyncio.create_task(coordinator.run())
        failing = Failing(monkeypatch, LocalStore, "create", errno.EIO, only="state/ledger")
        if when == "at its end":
            await work(coordinator)
        last = await running
        assert (last.state, last.reason) == ("Failed", "StorageError")
        assert os.strerror(errno.EIO) in last.message
        assert last.message.endswith("; the run can be resumed")
        assert failing.calls > 1
        assert not (tmp_path / "run" / ends.FIRST).exists()
        failing.mended.set()
        again = await opened(tmp_path)
        resumed = asyncio.create_task(again.run())
        await work(again)
        assert (await resumed).state == "Succeeded"

    run(scenario)


def test_who_wants_a_run_to_end_now_does_not_wait_for_its_store(tmp_path, monkeypatch):
    async def scenario():
        coordinator = await opened(tmp_path)
        monkeypatch.setattr(service, "_FLUSH_SECONDS", 1000.0)
        running = asyncio.create_task(coordinator.run())
        failing = Failing(monkeypatch, LocalStore, "create", errno.EIO, only="state/ledger")
        await work(coordinator)
        await asyncio.to_thread(failing.failed.wait)
        coordinator.interrupt()
        assert (await running).reason == "StorageError"

    run(scenario)


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
def test_progress_and_metrics_that_cannot_be_written_end_no_run_and_are_logged_once(
    tmp_path, monkeypatch, caplog, number
):
    monkeypatch.setattr(service, "_OVERVIEW_SECONDS", 0.001)

    async def scenario():
        coordinator = await opened(tmp_path)
        failing = Failing(monkeypatch, ProgressOverview, "write", number)
        running = asyncio.create_task(coordinator.run())
        await until(lambda: failing.calls >= 3)
        await work(coordinator)
        assert (await running).state == "Succeeded"

    with caplog.at_level(logging.WARNING):
        run(scenario)
    [record] = caplog.records
    why = f"cannot write the progress of run 1 to its folder: [Errno {number}] {os.strerror(number)}"
    assert record.getMessage() == why


@pytest.mark.parametrize(("number", "state"), [(errno.ENOSPC, "Succeeded"), (errno.EACCES, "Failed")])
def test_reports_and_marker_are_written_again_where_that_may_help(tmp_path, monkeypatch, number, state):
    async def scenario():
        coordinator = await opened(tmp_path)
        failing = Failing(monkeypatch, LocalStore, "put", number, only="timing.json")
        running = asyncio.create_task(coordinator.run())
        await work(coordinator)
        await asyncio.to_thread(failing.failed.wait)
        failing.mended.set() if state == "Succeeded" else None
        last = await running
        assert last.state == state
        assert (tmp_path / "run" / ends.FIRST).exists() == (state == "Succeeded")

    run(scenario)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, *FAILURES[:3]], ids=errno.errorcode.get)
def test_a_run_that_has_succeeded_stays_so_where_nothing_can_be_deleted(tmp_path, monkeypatch, caplog, number):
    async def scenario():
        coordinator = await opened(tmp_path, timeouts=Timeouts(storage=0.1))
        failing = Failing(monkeypatch, LocalStore, "delete", number, only="state/segments")
        running = asyncio.create_task(coordinator.run())
        await work(coordinator)
        assert (await running).state == "Succeeded"
        assert failing.calls == 1

    with caplog.at_level(logging.WARNING):
        run(scenario)
    [record] = caplog.records
    assert os.strerror(number) in record.getMessage()
