"""A bug in the coordinator ends its run with a verdict that names it, and with its traceback in the run's folder."""

import asyncio

import pytest
from fakes import summary_job, work

from longshore_coordinator import service
from longshore_coordinator.enumerate import Slice
from longshore_coordinator.internal_errors import FILE, InternalErrors
from longshore_coordinator.service import Coordinator
from longshore_storage.store import open_store


def bug(*_, **__):
    raise KeyError("a bug \x1b[31m")


def in_a_tick(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator._run, "tick", bug)
    monkeypatch.setattr(coordinator._run, "grant", lambda *_: [])  # so that the run lasts until then


def in_a_flush(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator._ledger, "flush", bug)


def in_what_the_listing_delivers(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator._run, "add", bug)


def in_the_end_of_the_listing(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator._run, "finish_listing", bug)


def in_the_output(_, monkeypatch):
    monkeypatch.setattr(service, "write_output", bug)


def in_the_reports(_, monkeypatch):
    monkeypatch.setattr(service, "write_end", bug)


def in_the_look_for_an_earlier_end(_, monkeypatch):
    monkeypatch.setattr(service, "finished_end", bug)


PLACES = [
    in_a_tick,
    in_a_flush,
    in_what_the_listing_delivers,
    in_the_end_of_the_listing,
    in_the_output,
    in_the_reports,
    in_the_look_for_an_earlier_end,
]


@pytest.mark.parametrize("where", PLACES)
def test_a_bug_after_the_start_is_a_verdict_and_the_run_can_be_resumed(tmp_path, monkeypatch, where, caplog):
    async def scenario():
        coordinator = Coordinator(summary_job(tmp_path), cut=lambda _: iter([Slice(0, 1, b'["/in/a"]')]))
        with monkeypatch.context() as patch:
            begun = asyncio.Event()
            patch.setattr(coordinator, "_safely", _held(coordinator._safely, begun))
            await coordinator.open()
            where(coordinator, patch)
            begun.set()
            working = asyncio.create_task(work(coordinator))
            async with asyncio.timeout(120):
                last = await coordinator.run()
                await working
        assert (last.state, last.reason) == ("Failed", "InternalError")
        file = tmp_path / "run" / FILE
        assert last.message == (
            rf"internal error: KeyError: 'a bug \x1b[31m'; its traceback is in {tmp_path}/run/{FILE}"
        )
        assert "in bug" in file.read_text()
        again = Coordinator(
            summary_job(tmp_path), cut=lambda _: iter([Slice(0, 1, b'["/in/a"]')]), resumed_by_user=True
        )
        await again.open()
        async with asyncio.timeout(120):
            running, working = asyncio.create_task(again.run()), asyncio.create_task(work(again))
            assert (await running).reason == "Succeeded"
            await working

    asyncio.run(scenario())
    assert {record.name for record in caplog.records} == {"longshore.coordinator"}


def _held(function, begun):
    """Deliver what was cut only once the test has broken what it breaks."""
    loop = asyncio.get_running_loop()

    async def later(*arguments):
        await begun.wait()
        function(*arguments)

    def call(*arguments):
        tasks.append(loop.create_task(later(*arguments)))

    tasks = []
    return call


def test_a_store_that_takes_no_traceback_costs_nothing_but_the_file(tmp_path, caplog):
    (tmp_path / "logs").write_text("in the way")
    errors = InternalErrors(open_store(str(tmp_path)))
    for number in range(30):
        errors.note(ValueError(f"{number}\udcff"))
    errors.write()
    assert "cannot write" in caplog.text
    assert "ValueError: 29\\xff" in caplog.text
    caplog.text.encode()  # a log is UTF-8


def test_the_first_tracebacks_are_kept(tmp_path):
    errors = InternalErrors(open_store(str(tmp_path)))
    errors.write()
    assert not (tmp_path / FILE).exists()
    for number in range(30):
        errors.note(ValueError(f"number {number}"))
    errors.write()
    text = (tmp_path / FILE).read_text()
    assert "number 0" in text
    assert "number 29" not in text
