"""What is brought whole, once, however often an agent is started."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from jobs import job

from longshore_agent import downloads, preparing
from longshore_agent.coordinator_client import Orders
from longshore_agent.downloads import download_inputs
from longshore_agent.paths import StagingError, paths_of
from longshore_protocol import wire
from longshore_protocol.job import Input, ScriptInput


@pytest.fixture
def url():
    store, folder = fsspec.filesystem("memory"), f"memory://{uuid4()}"
    for name in ("a.txt", "deep/b.txt"):
        store.pipe_file(f"{folder}/{name}", name.encode())
    return folder


def test_a_file_is_a_file_a_folder_a_folder_and_what_is_here_is_read_where_it_is(tmp_path, url):
    local = tmp_path / "here"
    local.mkdir()
    side = (
        ScriptInput("file", (f"{url}/a.txt",)),
        ScriptInput("folder", (url,)),
        ScriptInput("here", (str(local),)),
    )
    for _ in range(2):  # an agent that is started again
        found = download_inputs(job(side_inputs=side), str(tmp_path / "data")).side_inputs
        assert Path(found["file"]).read_text() == "a.txt"
        assert Path(found["file"]).name == "a.txt"
        assert Path(found["folder"], "deep/b.txt").read_text() == "deep/b.txt"
        assert found["here"] == str(local)


def test_a_finished_download_is_not_repeated_and_one_that_was_begun_is(tmp_path, url, monkeypatch):
    fetched = []

    def fetch(uri, target):
        fetched.append(uri)
        if uri.endswith("b.txt") and len(fetched) < 4:
            raise OSError("cut off")
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text("x")

    monkeypatch.setattr(downloads, "fetch_file_to", fetch)
    wanted = job(Input("files", (url,), mode="download"))
    with pytest.raises(StagingError, match='input "files" cannot be downloaded: OSError: cut off'):
        download_inputs(wanted, str(tmp_path))
    fetched += ["", "", ""]
    found = download_inputs(wanted, str(tmp_path))
    assert sorted(filter(None, fetched)) == [f"{url}/a.txt", f"{url}/deep/b.txt", f"{url}/deep/b.txt"]
    assert found.downloads == {"files": f"{tmp_path}/files"}
    assert found.copies == {f"{url}/{name}": f"{tmp_path}/files/{name}" for name in ("a.txt", "deep/b.txt")}


def test_inputs_that_are_mounted_or_here_are_not_downloaded(tmp_path, url):
    found = download_inputs(
        job(Input("a", (url,)), Input("b", (str(tmp_path),), mode="download")), str(tmp_path / "data")
    )
    assert (found.side_inputs, found.downloads, found.copies) == ({}, {}, {})


def test_copies_are_read_only_and_what_links_lead_to_stays_as_it_is(tmp_path, url):
    here = tmp_path / "here.txt"
    here.write_text("here")
    here.chmod(0o640)
    side = ScriptInput("several", (f"{url}/deep", str(here)))
    folder = download_inputs(job(side_inputs=(side,)), str(tmp_path / "data")).side_inputs["several"]
    modes = {each.name: os.stat(each).st_mode & 0o777 for each in Path(folder).rglob("*.txt")}
    assert modes == {"b.txt": 0o444, "here.txt": 0o640}


# --- what the coordinator hears --------------------------------------------------------------------------------------


class Coordinator:
    """Takes reports, and answers each with the same orders."""

    def __init__(self, orders=None, heard=None):
        self.orders = orders or Orders()
        self.heard = heard or threading.Event()
        self.reports = []

    async def report(self, body):
        self.reports.append(body)
        self.heard.set()
        return self.orders


def prepared(coordinator, job, folder):
    places = paths_of(job, worker="w", shared=str(folder))
    return asyncio.run(preparing.prepare(job, places, coordinator, ("w.1.a", 1)))


@pytest.fixture
def slow(monkeypatch):
    """An event that a file waits for before it comes."""
    may_come, fetch = threading.Event(), downloads.fetch_file_to

    def fetch_late(uri, target):
        assert may_come.wait(60.0)
        fetch(uri, target)

    monkeypatch.setattr(downloads, "fetch_file_to", fetch_late)
    yield may_come
    may_come.set()


def test_the_coordinator_hears_of_downloads(tmp_path, url, slow):
    coordinator = Coordinator(heard=slow)
    found = prepared(coordinator, job(Input("files", (url,), mode="download")), tmp_path)
    assert sorted(found.copies) == [f"{url}/a.txt", f"{url}/deep/b.txt"]
    states = [each for report in coordinator.reports for each in report["processes"]]
    assert {(each["state"], each["what"]) for each in states} == {(wire.DOWNLOADING, 'input "files"')}


def test_what_is_there_is_not_reported(tmp_path):
    coordinator = Coordinator()
    assert prepared(coordinator, job(side_inputs=(ScriptInput("x", (str(tmp_path),)),)), tmp_path).side_inputs
    assert coordinator.reports == []


def test_what_does_not_come_is_a_failed_init_to_the_coordinator(tmp_path, url):
    coordinator = Coordinator()
    with pytest.raises(StagingError):
        prepared(coordinator, job(side_inputs=(ScriptInput("x", (f"{url}/absent",)),)), tmp_path)
    (failure,) = coordinator.reports[-1]["init_failed"]
    assert (failure.mini_batch, failure.category) == (-1, "DataError")
    assert failure.message.startswith('side input "x" cannot be downloaded: ')
    assert f"{url}/absent" in failure.message


@pytest.mark.parametrize("orders", [Orders(stop=True), Orders(drain=True), Orders(finished=True)])
@pytest.mark.usefixtures("slow")
def test_a_worker_that_is_to_end_does_not_wait_for_what_comes(tmp_path, url, orders):
    wanted = job(Input("files", (url,), mode="download"))
    assert prepared(Coordinator(orders), wanted, tmp_path) is None


FOR_NOW = [
    (TimeoutError("slow"), "input"),
    (ConnectionResetError("gone"), "input"),
    (OSError(errno.EIO, "Input/output error"), "input"),
    (OSError(errno.ENOSPC, "No space left on device"), "store"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "store"),
]


@pytest.fixture
def failing(monkeypatch):
    """Give a function that makes so many files fail; reports and tries follow at once."""
    fetch, left = downloads.fetch_file_to, []

    def fail(uri, target):
        if left:
            raise left.pop()
        fetch(uri, target)

    monkeypatch.setattr(downloads, "fetch_file_to", fail)
    monkeypatch.setattr(preparing, "_FIRST", 0.001)
    monkeypatch.setattr(preparing, "_HEARTBEAT", 0.001)
    monkeypatch.setattr(preparing, "_FIRST_PAUSE", 0.1)
    return left.extend


@pytest.mark.parametrize(("error", "origin"), FOR_NOW, ids=[repr(each[0]) for each in FOR_NOW])
def test_what_does_not_come_for_now_is_tried_again_and_is_why_the_run_waits(tmp_path, url, failing, error, origin):
    failing([error] * 2)
    coordinator = Coordinator()
    found = prepared(coordinator, job(Input("files", (f"{url}/a.txt",), mode="download")), tmp_path)
    assert list(found.copies) == [f"{url}/a.txt"]
    deferred = [each for report in coordinator.reports for each in report["deferred"]]
    assert [each[:3] for each in deferred] == [(-1, 0, origin)] * 2
    assert deferred[0].message.startswith('input "files" cannot be downloaded: ')
    assert not any(report["init_failed"] for report in coordinator.reports)
    assert all(report["processes"][0]["state"] == wire.DOWNLOADING for report in coordinator.reports)


def test_a_worker_that_is_to_end_makes_no_further_try(tmp_path, url, failing):
    failing([TimeoutError("slow")] * 1000)
    wanted = job(Input("files", (f"{url}/a.txt",), mode="download"))
    assert prepared(Coordinator(Orders(stop=True)), wanted, tmp_path) is None
