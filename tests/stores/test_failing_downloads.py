"""Downloads that fail: what is tried again, deferred or abandoned."""

import errno
import itertools
import threading
from uuid import uuid4

import pytest
from stager_bench import CSV, PATIENCE, Held, lease, piece_of, read, remote, until

from longshore_agent import fetching, stager
from longshore_protocol import errors, wire
from longshore_protocol.job import TabularFormat
from longshore_storage.errors import DatabaseError
from longshore_storage.files import CutOffError


def failing(monkeypatch, *troubles):
    """Let the next copies fail, each with one of these errors, and count all."""
    calls = []
    troubles = list(troubles)

    def fetch(path, target, *, check, **options):
        calls.append(path)
        if troubles:
            raise troubles.pop(0)
        original(path, target, check=check, **options)

    original = fetching.fetch_file
    monkeypatch.setattr(fetching, "fetch_file", fetch)
    return calls


@pytest.mark.usefixtures("hurried")
def test_a_copy_that_fails_is_tried_again(staging, monkeypatch):
    calls = failing(monkeypatch, TimeoutError("slow"), ConnectionResetError("gone"))

    async def body(made, outcomes):
        made.add(lease([remote(b"at last")]))
        found, said = await outcomes.next()
        assert said is None
        assert read(piece_of(found)[0]) == b"at last"
        assert len(calls) == 3

    staging(body)


@pytest.mark.usefixtures("hurried")
def test_a_file_that_does_not_come_for_now_is_deferred_and_url_and_cause_are_named(staging, tmp_path, monkeypatch):
    calls = failing(monkeypatch, *[ConnectionResetError("reset by the other side.")] * 4)

    async def body(made, outcomes):
        url = remote()
        made.add(lease([url]))
        _, said = await outcomes.next()
        sentence = f'The file "{url}" cannot be downloaded: ConnectionResetError: reset by the other side.'
        assert said == (wire.INPUT, sentence)
        assert calls == [url] * 4
        await until(lambda: list((tmp_path / "inputs").iterdir()) == [])

    staging(body)


@pytest.mark.parametrize("table", [None, CSV, TabularFormat("parquet")], ids=["file", "csv", "parquet"])
def test_a_file_that_is_not_there_is_not_asked_for_again(staging, tmp_path, table):
    url = f"memory://{uuid4()}/none"
    ranges = {"start": 0, "end": 9, "row_groups": [0, 1], "rows": None}

    async def body(made, outcomes):
        made.add(lease([remote(), url] if table is None else {"path": url, **ranges}))
        _, said = await outcomes.next()
        assert said == (errors.DATA_ERROR, f'The file "{url}" cannot be downloaded: it does not exist.')
        await until(lambda: list((tmp_path / "inputs").iterdir()) == [])

    staging(body, table)


class HttpError(Exception):
    """As aiohttp's."""

    def __init__(self, status):
        super().__init__(f"{status}, nothing to see")
        self.status = status


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("status", "tries"), [(403, 1), (404, 1), (410, 1), (408, 4), (429, 4), (500, 4), (503, 4)])
def test_only_http_errors_that_may_pass_are_tried_again(staging, monkeypatch, status, tries):
    calls = failing(monkeypatch, *[HttpError(status)] * 4)

    async def body(made, outcomes):
        made.add(lease([remote()]))
        _, (category, sentence) = await outcomes.next()
        assert category == (errors.DATA_ERROR if tries == 1 else wire.INPUT)
        assert str(status) in sentence
        assert len(calls) == tries

    staging(body)


@pytest.mark.usefixtures("hurried")
def test_a_size_that_was_not_reported_is_not_an_absent_file(staging, monkeypatch):
    vague = FileNotFoundError("memory://f")
    vague.__cause__ = HttpError(503)
    calls = failing(monkeypatch, vague, vague)

    async def body(made, outcomes):
        made.add(lease([remote()]))
        _, said = await outcomes.next()
        assert said is None
        assert len(calls) == 3

    staging(body)


class ExpiredToken(Exception):
    """As botocore's, whose class is called after the code."""


class EndpointConnectionError(Exception):
    """As botocore's."""


FAILING = [
    (OSError(errno.ENOSPC, "No space left on device"), wire.STORE),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), wire.STORE),
    (OSError(errno.EROFS, "Read-only file system"), wire.STORE),
    (HttpError(503), wire.INPUT),
    (TimeoutError("slow"), wire.INPUT),
    (ConnectionResetError("gone"), wire.INPUT),
    (DatabaseError("the server is starting", is_final=False), wire.INPUT),
    (ExpiredToken("renew it"), wire.INPUT),
    (HttpError(401), wire.INPUT),
    (CutOffError("3 bytes were downloaded, and it has 5"), wire.INPUT),
    (EndpointConnectionError("could not connect"), wire.INPUT),
    (OSError(errno.ESTALE, "Stale file handle"), wire.INPUT),
    (RuntimeError("whatever a parser raises"), errors.DATA_ERROR),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), errors.DATA_ERROR),
    (HttpError(404), errors.DATA_ERROR),
    (PermissionError(errno.EACCES, "Permission denied"), errors.DATA_ERROR),
]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("error", "outcome"), FAILING, ids=[repr(each[0]) for each in FAILING])
def test_a_store_or_a_disk_that_fails_is_not_the_fault_of_the_data(staging, monkeypatch, error, outcome):
    failing(monkeypatch, *[error] * 4)

    async def body(made, outcomes):
        made.add(lease([remote()]))
        _, (category, _) = await outcomes.next()
        assert category == outcome

    staging(body)


def test_each_part_that_comes_is_noted(staging):
    async def body(made, outcomes):
        before = made.fetched
        made.add(lease([remote(), remote()]))
        await outcomes.next()
        assert made.fetched >= before + 2

    staging(body)


@pytest.mark.usefixtures("hurried")
def test_a_parquet_file_that_failed_is_asked_for_again_by_the_next_mini_batch(staging, monkeypatch):
    failing(monkeypatch, *[TimeoutError("slow")] * 4)
    piece = {"path": remote(b"well", "t.parquet"), "row_groups": [0, 1], "rows": None}

    async def body(made, outcomes):
        made.add(lease(piece))
        assert (await outcomes.next())[1] is not None
        made.add(lease(piece, attempt=2))
        found, said = await outcomes.next()
        assert said is None
        assert read(piece_of(found)["path"]) == b"well"

    staging(body, TabularFormat("parquet"))


def test_eight_copies_run_at_once_and_no_more(staging, monkeypatch):
    held = Held(monkeypatch)

    async def body(made, outcomes):
        for number in range(5):
            made.add(lease([f"memory://f{number}", f"memory://g{number}"] * 2, number=number))
        await until(lambda: held.running == 8)
        held.go.set()
        for _ in range(5):
            await outcomes.next()
        assert held.most == 8

    staging(body)


def test_where_one_file_does_not_come_the_others_are_let_be(staging, monkeypatch):
    held, meeting, begun = Held(monkeypatch), threading.Barrier(8), itertools.count(1)

    def fetch(path, target, *, check, **options):
        if next(begun) <= 8:
            meeting.wait(PATIENCE)
        if path == "memory://none":
            raise PermissionError(path)
        hold(path, target, check=check, **options)

    hold = fetching.fetch_file
    monkeypatch.setattr(fetching, "fetch_file", fetch)

    async def body(made, outcomes):
        made.add(lease(["memory://none", *[f"memory://{number}" for number in range(30)]]))
        await until(lambda: held.running >= 7 and all(each.cancelled for each in made._underway.values()))
        held.go.set()
        _, (_, sentence) = await outcomes.next()
        assert "memory://none" in sentence
        assert next(begun) <= 10  # those eight, and perhaps one that took the place of the first to end

    staging(body)


def test_an_abandoned_lease_is_not_staged_to_its_end(staging, tmp_path, monkeypatch):
    held = Held(monkeypatch)

    async def body(made, outcomes):
        cancelled = lease(["memory://f", "memory://g"])
        made.add(cancelled)
        await until(lambda: held.running == 2)
        cancelled.abandoned = True
        held.go.set()
        await until(lambda: list((tmp_path / "inputs").iterdir()) == [])
        assert outcomes.is_empty()
        assert made.underway() == []

    staging(body)


def test_the_end_waits_for_no_copy_that_hangs(staging, monkeypatch):
    held = Held(monkeypatch)
    monkeypatch.setattr(stager, "_LEAVE", 0.01)

    async def body(made, _outcomes):
        made.add(lease(["memory://f"]))
        await until(lambda: held.running == 1)

    staging(body)
    held.go.set()
