"""Inputs that lie elsewhere: what a process is handed, what is left behind, and what becomes of trouble."""

import asyncio
import errno
import io
import itertools
import json
import os
import shutil
import threading
import time
from pathlib import Path
from uuid import uuid4

import fsspec
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_agent import fetching, stager
from longshore_agent.places import places_of
from longshore_agent.slots import Slot
from longshore_agent.stager import Stager
from longshore_agent.staging import host_spec, stage
from longshore_agent.threads import Threads
from longshore_agent.whole_data import WholeData
from longshore_agent.work import Lease
from longshore_agent.worker import Worker
from longshore_coordinator.enumerate import parquet, text
from longshore_coordinator.enumerate.partitions import TableGroups
from longshore_host import tabular
from longshore_protocol import errors, messages, slices, wire
from longshore_protocol.job import Input, Job, MiniBatchSize, Output, TabularFormat
from longshore_protocol.wire import Grant
from longshore_storage import files
from longshore_storage.errors import DatabaseError
from longshore_storage.files import CutOffError, file_version

PATIENCE = 60  # seconds: only a hang meets it
CSV = TabularFormat("csv")
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def remote(content=b"x", name="f.txt", folder=None):
    """Write a file into the store in memory and return its URL."""
    url = f"memory://{folder or uuid4()}/{name}"
    fsspec.filesystem("memory").pipe_file(url, content)
    return url


def lease(piece, *, number=0, attempt=1):
    return Lease(Grant(number, attempt, 0, json.dumps(piece).encode()), tabular=isinstance(piece, dict))


def piece_of(found):
    return json.loads(found.grant.slice)


class Outcomes:
    """Takes what a stager has to tell."""

    def __init__(self):
        self._told = asyncio.Queue()

    def staged(self, lease):
        self._told.put_nowait((lease, None))

    def not_staged(self, lease, said, times):
        self._told.put_nowait((lease, said))

    def deferred(self, lease, origin, message):
        self._told.put_nowait((lease, (origin, message)))

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            return await self._told.get()

    def is_empty(self):
        return self._told.empty()


async def until(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"still not so after {PATIENCE} s"
        await asyncio.sleep(0.001)


def read(path):
    return Path(path).read_bytes()


def size_of(path):
    return os.path.getsize(path)


@pytest.fixture
def staging(tmp_path):
    """Return a function that runs `body(stager, outcomes)` on an event loop, with a stager in tmp_path/inputs."""

    def run(body, table=None):
        async def main():
            outcomes = Outcomes()
            made = Stager([Input("given", ("memory://given",), tabular=table)], str(folder), takers=outcomes)
            try:
                return await body(made, outcomes)
            finally:
                await made.close()
                assert not folder.exists()

        folder = tmp_path / "inputs"
        return asyncio.run(main())

    return run


@pytest.fixture
def hurried(monkeypatch):
    """Let no time pass between tries."""
    monkeypatch.setattr(stager.retrying, "pause", lambda *_: 0.0)


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_lie_in_a_folder_of_their_mini_batch_under_their_own_names(staging, tmp_path):
    async def body(made, outcomes):
        for number in range(2):
            made.add(lease([remote(b"one", "a.png"), remote(b"two", "b.png")], number=number))
        folders = set()
        for _ in range(2):
            paths = piece_of((await outcomes.next())[0])
            assert [os.path.basename(path) for path in paths] == ["a.png", "b.png"]
            assert [*map(read, paths)] == [b"one", b"two"]
            assert all(os.path.isabs(path) and path.startswith(str(tmp_path)) for path in paths)
            folders.add(os.path.dirname(paths[0]))
        assert len(folders) == 2

    staging(body)


def test_files_of_one_name_do_not_meet(staging):
    async def body(made, outcomes):
        made.add(lease([remote(bytes([number]), "1") for number in range(3)]))
        paths = piece_of((await outcomes.next())[0])
        assert [os.path.basename(path) for path in paths] == ["1"] * 3
        assert [*map(read, paths)] == [b"\0", b"\1", b"\2"]

    staging(body)


def test_a_local_file_beside_remote_ones_stays_where_it_is(staging, tmp_path):
    async def body(made, outcomes):
        made.add(lease([str(tmp_path / "here.txt"), remote()]))
        assert piece_of((await outcomes.next())[0])[0] == str(tmp_path / "here.txt")

    staging(body)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/folder/a b.png", "a b.png"),
        ("s3://bucket/what?.png", "what?.png"),
        ("https://host/folder/a%20b.png?signature=c/d", "a b.png"),
        ("http://host/", "file"),
    ],
)
def test_a_file_is_named_as_at_its_place(url, name):
    assert fetching.base_name(url) == name


def test_what_was_brought_goes_when_it_is_released(staging):
    async def body(made, outcomes):
        made.add(lease([remote()]))
        found, _ = await outcomes.next()
        folder = found.folder
        assert folder
        made.release(found)
        made.release(found)
        await until(lambda: not os.path.exists(folder))

    staging(body)


def test_what_an_agent_that_was_killed_left_is_deleted(staging, tmp_path):
    (tmp_path / "inputs" / "000000").mkdir(parents=True)
    (tmp_path / "inputs" / "000000" / "left.txt").touch()

    async def body(_made, _outcomes):
        assert list((tmp_path / "inputs").iterdir()) == []

    staging(body)


# --- tables ----------------------------------------------------------------------------------------------------------


def moved(piece, url):
    """Return the piece of a local file as one of its copy at a URL."""
    return {**piece, "path": url, "stamp": file_version(url).stamp}


def assert_same_rows(staging, tmp_path, content, table, size, **tells):
    """Read each slice of a file here, and of its remote twin by way of the stager; `tells` is in each piece."""
    local = tmp_path / "twin.data"
    local.write_bytes(content)
    url = remote(content, "twin.data")
    source = parquet.pieces if table.format == "parquet" else text.pieces
    pieces = [{**each.piece, **tells} for each in source(str(local), slices.format_of(tells, table), size)]

    async def body(made, outcomes):
        for number, piece in enumerate(pieces):
            made.add(lease(moved(piece, url), number=number))
        found = {}
        for _ in pieces:
            each, said = await outcomes.next()
            assert said is None, said
            found[each.grant.mini_batch] = tabular.load(piece_of(each), table)
        return found

    staged = staging(body, table)
    for number, piece in enumerate(pieces):
        pandas.testing.assert_frame_equal(staged[number], tabular.load(piece, table))
    return pieces


FIELD = st.text(st.sampled_from("ab1 é"), min_size=1, max_size=4)


@SHARED_FOLDER
@given(
    lines=st.lists(st.lists(FIELD, min_size=2, max_size=2).map(",".join), max_size=8),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"\r\n\n"]),
    newline=st.sampled_from(["\n", "\r\n", "\n\n"]),
    is_ended=st.booleans(),
    header=st.booleans(),
    size=st.integers(1, 40),
)
def test_csv_slices_give_the_rows_they_give_here(staging, tmp_path, *, lines, start, newline, is_ended, header, size):
    content = start + newline.join(["x,y", *lines]).encode() + newline.encode() * is_ended
    assert_same_rows(staging, tmp_path, content, TabularFormat("csv", header=header), MiniBatchSize("bytes", size))


@pytest.mark.parametrize("size", [1, 7, 8, 100])
def test_slices_without_the_header_of_another_file_have_its_columns(staging, tmp_path, size):
    content, table = b"7,2\n8,3\n9,4\n", TabularFormat("csv", one_header=True)
    pieces = assert_same_rows(staging, tmp_path, content, table, MiniBatchSize("bytes", size), names=["id", "x"])
    frame = pandas.concat(tabular.load(each, table) for each in pieces)
    assert frame.to_dict("list") == {"id": [7, 8, 9], "x": [2, 3, 4]}


@SHARED_FOLDER
@given(numbers=st.lists(st.integers(0, 10**9), max_size=8), size=st.integers(1, 60))
def test_jsonl_slices_give_the_rows_they_give_here(staging, tmp_path, numbers, size):
    content = "".join(json.dumps({"n": number}) + "\n" for number in numbers).encode()
    assert_same_rows(staging, tmp_path, content, TabularFormat("jsonl"), MiniBatchSize("bytes", size))


@SHARED_FOLDER
@given(keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=9), is_ended=st.booleans(), header=st.booleans())
@pytest.mark.parametrize("table", [TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")])
def test_partitions_give_the_rows_they_give_here(staging, tmp_path, table, *, keys, is_ended, header):
    rows = pandas.DataFrame({"key": keys, "n": range(len(keys))})
    local = tmp_path / "twin.data"
    if table.format == "parquet":
        rows.to_parquet(local, row_group_size=4)
    else:
        is_csv = table.format == "csv"
        table = TabularFormat("csv", header=header) if is_csv else table
        lines = rows.to_csv(index=False, header=header) if is_csv else rows.to_json(orient="records", lines=True)
        local.write_text(lines if is_ended else lines.rstrip("\n"))
    name = "key" if header or table.format != "csv" else "Column1"
    groups = TableGroups(Input("rows", (str(local),), tabular=table), (name,))
    groups.add(str(local))
    cut = [json.loads(each.payload) for each in groups.slices(0)]
    url = remote(local.read_bytes(), "twin.data")

    async def body(made, outcomes):
        for number, group in enumerate(cut):
            made.add(lease({**group, "pieces": [moved(piece, url) for piece in group["pieces"]]}, number=number))
        found = {}
        for _ in cut:
            each, said = await outcomes.next()
            assert said is None, said
            found[each.grant.mini_batch] = (piece_of(each)["partition"], tabular.load(piece_of(each), table))
        return found

    staged = staging(body, table)
    for number, (key, group) in enumerate(zip(dict.fromkeys(keys), cut, strict=True)):
        partition, frame = staged[number]
        assert partition == group["partition"] == {name: key}
        pandas.testing.assert_frame_equal(frame, tabular.load(group, table))
        assert list(frame.iloc[:, 1]) == [n for n, each in enumerate(keys) if each == key]


@pytest.mark.parametrize(
    ("content", "table"),
    [
        ('a,b\n1,"two\nlines"\n3,"4"\n5,"\n\n"\n', TabularFormat("csv", multi_line=True)),
        ("first,has,three\nthen,two\nand,two\nor,two\n", TabularFormat("csv", header=False)),
        ("\n\n\n\n\n\n\n\n\n\n\n\n\n1,2", TabularFormat("csv", header=False)),
    ],
    ids=["newlines in quotes", "columns that only the first record shows", "blank lines before the first record"],
)
@pytest.mark.parametrize("size", [1, 7, 12])
def test_a_slice_needs_the_beginning_of_its_file(staging, tmp_path, content, table, size):
    pieces = assert_same_rows(staging, tmp_path, content.encode(), table, MiniBatchSize("bytes", size))
    assert len(pieces) > 1


LINK = "https://example.org/?key=1&code=DE"


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"columns": {"link": LINK}}, "a.csv"),
        ({"columns": {"link": {"decimal": "1.0"}, "page": LINK}}, "a.csv"),
        ({"names": [LINK, "b;sort_key=1"]}, "a.csv"),
        ({"partition": {"link": LINK}}, "a.csv"),
        ({}, "a?key=1.csv"),
    ],
    ids=["a column", "one of more columns", "names", "a key", "a file"],
)
def test_values_and_names_that_look_like_secrets_reach_the_script_as_they_are(staging, more, name):
    url = remote(b"x\n1\n", name=name)
    piece = {"path": url, "start": 0, "end": 4, **more}
    if "partition" in more:
        piece = {**more, "pieces": [{"path": url, "start": 0, "end": 4}]}

    async def body(made, outcomes):
        made.add(lease(piece))
        found, failure = await outcomes.next()
        assert failure is None
        staged = piece_of(found)
        assert {key: staged[key] for key in more} == more
        assert read(slices.pieces_of(staged)[0]["path"]) == b"x\n1\n"

    staging(body, CSV)


@pytest.mark.parametrize(
    "table", [CSV, TabularFormat("jsonl"), TabularFormat("parquet")], ids=["csv", "jsonl", "parquet"]
)
def test_what_a_slice_is_a_copy_of_is_named_without_secrets(staging, monkeypatch, table):
    monkeypatch.setattr(fetching, "fetch_file", lambda url, target, **_: Path(target).write_bytes(b"1\n"))
    monkeypatch.setattr(fetching, "open_version", lambda *_, **__: (io.BytesIO(b"1\n"), files.Version(2, "2 a")))

    async def body(made, outcomes):
        url = "memory://given/a?X-Amz-Signature=secret"
        unreadable = {"path": url, "unreadable": f"OSError: {url}"}
        made.add(lease({"pieces": [{"path": url, "start": 0, "end": 2}, unreadable]}))
        found, failure = await outcomes.next()
        assert failure is None
        first, second = piece_of(found)["pieces"]
        assert first["copy_of"]["path"] == second["path"] == "memory://given/a?X-Amz-Signature=***"
        assert "secret" not in second["unreadable"]

    staging(body, table)


def test_a_text_that_cannot_be_cut_is_brought_whole(staging, tmp_path):
    content = "a,b\n1,2\n".encode("utf-16")
    assert_same_rows(staging, tmp_path, content, TabularFormat("csv", encoding="utf-16"), MiniBatchSize("bytes", 3))


def test_parquet_slices_give_the_rows_they_give_here(staging, tmp_path):
    path = tmp_path / "table.parquet"
    pandas.DataFrame({"n": range(100), "s": [str(number) for number in range(100)]}).to_parquet(path, row_group_size=30)
    table = TabularFormat("parquet")
    pieces = assert_same_rows(staging, tmp_path, path.read_bytes(), table, MiniBatchSize("rows", 20))
    assert len(pieces) > 4


def test_of_a_large_text_only_the_slice_is_kept_here(staging):
    rows = b"".join(b"%07d,1\n" % number for number in range(50_000))

    async def body(made, outcomes):
        made.add(lease({"path": remote(b"n,m\n" + rows, "big.csv"), "start": 200_000, "end": 230_000}))
        found, _ = await outcomes.next()
        staged = piece_of(found)
        assert size_of(staged["path"]) < 30_100
        assert len(tabular.load(staged, CSV)) == 3_000

    staging(body, CSV)


def test_parquet_files_for_which_there_is_no_room_go_once_nobody_reads_them(staging, monkeypatch):
    monkeypatch.setattr(stager.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 0, 60))
    urls = [remote(b"ten bytes.", f"{number}.parquet") for number in range(2)]

    async def body(made, outcomes):
        paths = []
        for number, url in enumerate(urls):
            made.add(lease({"path": url, "row_groups": [0, 1], "rows": None}, number=number))
            found, _ = await outcomes.next()
            paths.append(Path(piece_of(found)["path"]))
            assert [path.exists() for path in paths] == [True] * len(paths)
            if number:
                made.release(found)
            else:
                first = found
        await until(lambda: not paths[1].exists())  # 20 bytes were kept where 15 may be
        assert paths[0].exists()
        made.release(first)
        assert paths[0].exists()

    staging(body, TabularFormat("parquet"))


@pytest.mark.parametrize(("free", "limit"), [(16, None), (16, 1 << 40), (1 << 40, 16)], ids=["no", "high", "low"])
def test_nothing_is_brought_ahead_while_what_was_fills_the_disk_or_its_volumes_limit(staging, monkeypatch, free, limit):
    monkeypatch.setattr(stager.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, free))
    if limit is not None:
        monkeypatch.setenv("LONGSHORE_SPACE", str(limit))
    url = remote(b"ten bytes.")

    async def body(made, outcomes):
        assert made.ahead(Slot(0)) == 1
        made.add(lease([url]))
        found, _ = await outcomes.next()
        assert made.ahead(Slot(0)) == 0
        made.release(found)
        assert made.ahead(Slot(0)) == 1

    staging(body)


def test_a_parquet_file_is_brought_once_and_stays(staging, monkeypatch):
    fetched = []

    def fetch(path, target, *, check, **options):
        fetched.append(path)
        original(path, target, check=check, **options)

    original = fetching.fetch_file
    monkeypatch.setattr(fetching, "fetch_file", fetch)
    url = remote(b"whatever", "t.parquet")

    async def body(made, outcomes):
        paths = set()
        for number in range(6):
            made.add(lease({"path": url, "row_groups": [number, number + 1], "rows": None}, number=number))
            if number > 2:
                found, _ = await outcomes.next()
                paths.add(piece_of(found)["path"])
                made.release(found)
        assert fetched == [url]
        assert [*map(read, paths)] == [b"whatever"]

    staging(body, TabularFormat("parquet"))


def test_rows_that_cannot_be_read_are_told_with_the_place_their_user_knows(staging):
    url = remote(b"a,b\n1,2\n3,4,5\n", "bad.csv")

    async def body(made, outcomes):
        made.add(lease({"path": url, "start": 8, "end": 14}))
        found, _ = await outcomes.next()
        with pytest.raises(tabular.SliceError, match=f'"{url}" could not be read as csv: the record at byte 8 has'):
            tabular.load(piece_of(found), CSV)

    staging(body, CSV)


def remote_pieces(content, table, size):
    url = remote(content, "twin.data")
    cut = (parquet if table.format == "parquet" else text).pieces(url, table, MiniBatchSize("bytes", size))
    return url, [each.piece for each in cut]


def parquet_bytes(rows):
    file = io.BytesIO()
    pandas.DataFrame({"n": range(rows)}).to_parquet(file)
    return file.getvalue()


CSV_ROWS = b"a,b\n" + b"1,2\n" * 9


@pytest.mark.parametrize(
    "rows",
    [(CSV_ROWS, CSV, 8), (CSV_ROWS, CSV, 100), (b'{"a": 1}\n' * 9, TabularFormat("jsonl"), 20),
     (CSV_ROWS.decode().encode("utf-16"), TabularFormat("csv", encoding="utf-16"), 8),
     (parquet_bytes(9), TabularFormat("parquet"), 10**6)],
    ids=["csv in part", "csv whole", "jsonl", "csv in UTF-16", "parquet"],
)  # fmt: skip
@pytest.mark.parametrize("moment", ["before it is copied", "while it is copied"])
def test_a_file_of_another_version_than_planned_is_not_brought(staging, monkeypatch, rows, moment):
    content, table, size = rows
    url, pieces = remote_pieces(content, table, size)
    fs = fsspec.filesystem("memory")

    def change():
        fs.pipe_file(url, content + content[-9:])

    async def body(made, outcomes):
        if moment == "before it is copied":
            change()
        else:
            monkeypatch.setattr(fetching, "_check_again", after(change, fetching._check_again))
            monkeypatch.setattr(files, "_stamp_now", after(change, files._stamp_now))
        made.add(lease(pieces[0]))
        _, said = await outcomes.next()
        assert said is not None
        category, text = said
        changed = f"it changed since the run was planned: it had {len(content)} bytes and has {len(content) + 9}"
        assert category == errors.DATA_ERROR
        assert text.startswith(f'The file "{url}" cannot be brought to this machine: ')
        assert changed in text or "it changed while it was copied" in text

    monkeypatch.setattr(stager.retrying, "pause", lambda *_: 0.0)
    staging(body, table)


@pytest.mark.parametrize("table", [CSV, TabularFormat("jsonl"), TabularFormat("parquet")])
def test_a_download_of_another_size_than_planned_is_not_read(tmp_path, table):
    url, copy = remote(b"whatever"), tmp_path / "copy"
    copy.write_bytes(b"what")
    piece = {"path": url, "stamp": "8 None", "start": 0, "end": 8, "row_groups": [0, 1], "rows": None}

    async def main():
        outcomes = Outcomes()
        given = [Input("given", ("memory://given",), tabular=table)]
        made = Stager(given, str(tmp_path / "inputs"), takers=outcomes, copies={url: str(copy)})
        made.add(lease(piece))
        made.add(lease({**piece, "stamp": "4 None"}, number=1))
        found = {}
        for _ in range(2):
            each, said = await outcomes.next()
            found[each.grant.mini_batch] = piece_of(each)["path"] if said is None else said
        await made.close()
        return found

    found = asyncio.run(main())
    assert found[1] == str(copy)
    assert found[0][0] == errors.DATA_ERROR
    assert "its copy on this worker has 4 bytes, and it had 8 when the run was planned" in found[0][1]


def after(first, function):
    def call(*arguments):
        first()
        return function(*arguments)

    return call


def test_a_kept_copy_is_of_the_version_that_its_mini_batch_was_planned_of(staging):
    table = TabularFormat("parquet")
    url, [piece] = remote_pieces(parquet_bytes(2), table, 10**6)

    async def body(made, outcomes):
        made.add(lease(piece))
        brought, said = await outcomes.next()
        assert said is None
        fsspec.filesystem("memory").pipe_file(url, parquet_bytes(200))
        [later] = [each.piece for each in parquet.pieces(url, table, MiniBatchSize("bytes", 10**6))]
        made.add(lease(later, number=1))
        again, said = await outcomes.next()
        assert said is None
        assert [len(tabular.load(piece_of(each), table)) for each in (brought, again)] == [2, 200]

    staging(body, table)


# --- trouble ---------------------------------------------------------------------------------------------------------


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
        sentence = f'The file "{url}" cannot be brought to this machine: ConnectionResetError: reset by the other side.'
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
        assert said == (errors.DATA_ERROR, f'The file "{url}" cannot be brought to this machine: it is not there.')
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
def test_a_size_that_nobody_told_is_not_a_file_that_is_not_there(staging, monkeypatch):
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
    (CutOffError("3 bytes of it came, and it has 5"), wire.INPUT),
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


class Held:
    """Copies that stand still until they are let go."""

    def __init__(self, monkeypatch):
        self.running = self.most = 0
        self._lock = threading.Lock()
        self.go = threading.Event()
        monkeypatch.setattr(fetching, "fetch_file", self._fetch)

    def _fetch(self, path, target, *, check, planned):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.go.wait(PATIENCE)
            check()
            Path(target).touch()
        finally:
            with self._lock:
                self.running -= 1


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
        await until(lambda: held.running >= 7 and all(each.given_up for each in made._underway.values()))
        held.go.set()
        _, (_, sentence) = await outcomes.next()
        assert "memory://none" in sentence
        assert next(begun) <= 10  # those eight, and perhaps one that took the place of the first to end

    staging(body)


def test_an_abandoned_lease_is_not_staged_to_its_end(staging, tmp_path, monkeypatch):
    held = Held(monkeypatch)

    async def body(made, outcomes):
        given_up = lease(["memory://f", "memory://g"])
        made.add(given_up)
        await until(lambda: held.running == 2)
        given_up.abandoned = True
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


# --- threads ---------------------------------------------------------------------------------------------------------


def test_a_call_gives_what_its_function_gives_or_raises():
    async def main():
        threads = Threads(2)
        assert await threads.run(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        assert await threads.run(threading.get_ident) != threading.get_ident()
        threads.end(PATIENCE)

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_its_turn_is_never_made():
    async def main():
        threads, go, made = Threads(1), threading.Event(), []
        first = asyncio.create_task(threads.run(lambda: go.wait(PATIENCE)))
        second = asyncio.create_task(threads.run(lambda: made.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go.set()
        await first
        await threads.run(lambda: made.append(3))
        assert made == [3]
        threads.end(PATIENCE)

    asyncio.run(main())


# --- the worker ------------------------------------------------------------------------------------------------------


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
    places = places_of(job, worker="worker-0", shared=str(tmp_path / "work"))
    spec = host_spec(job, WholeData(), worker="worker-0", work_dir=str(tmp_path / "work" / "tmp"), places=places)
    worker = Worker(job, spec, agent="a", **options)
    worker.host_connected(Peer())
    worker.settle()
    children = [Peer() for _ in range(job.processes_per_worker)]
    for process, child in enumerate(children):
        assert worker.child_connected(child, process)
        worker.child_said(process, [messages.READY, 0.1], b"")
    worker.settle()
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


def test_one_mini_batch_per_process_is_brought_ahead(working):
    async def body(worker, children, job):
        assert worker.want() == 4
        worker.take(grants(job, *[remote() for _ in range(4)]))
        assert worker.want() == 0
        assert len(worker.held()) == 4
        assert not worker.is_idle()
        await until(lambda: all(len(child.run()) == 1 for child in children))
        for child in children:
            assert read(child.run()[0][0]) == b"x"
        assert len(worker.held()) == 4

    working(body)


def test_inputs_are_brought_to_the_folder_that_processes_only_read(tmp_path):
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
        assert worker.want() == 2
        held.go.set()
        await until(lambda: all(child.run() for child in children))

    working(body)


async def what_runs(worker, children, granted):
    """Have a worker take mini-batches, and each process run one; return that of the first."""
    worker.take(granted)
    await until(lambda: all(child.run() for child in children))
    [first] = [each for each in granted if json.loads(each.grant.slice) == children[0].run()[0]]
    return first


def test_what_a_process_is_through_with_is_deleted(working):
    async def body(worker, children, job):
        granted = grants(job, *[remote() for _ in range(3)])
        first = await what_runs(worker, children, granted)
        await until(lambda: granted[2].grant.slice.find(b"memory:") < 0)
        folder = first.folder
        worker.child_said(0, done(first.grant), b"row\n")
        worker.settle()
        await until(lambda: not os.path.exists(folder))
        assert len(children[0].run()) == 2

    working(body)


def test_what_a_dead_process_had_begun_is_deleted_and_the_rest_runs_elsewhere(working):
    async def body(worker, children, job):
        victim = await what_runs(worker, children, grants(job, *[remote() for _ in range(2)]))
        folder = victim.folder
        worker.child_gone(children[0], 0)
        worker.host_said([messages.EXITED, 0, -9, False])
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


def test_leases_that_are_lost_are_not_brought_and_leave_nothing(working, tmp_path):
    async def body(worker, _children, job):
        worker.take(grants(job, *[remote() for _ in range(4)]))
        await until(lambda: len(staged_folders(tmp_path)) == 4 and not worker._stager.underway())
        worker.forget(worker.held())
        assert worker.held() == []
        await until(lambda: len(staged_folders(tmp_path)) == 2)  # the processes still work on theirs
        for process, grant in enumerate(running(worker)):
            worker.child_said(process, done(grant), b"late\n")
        worker.settle()
        await until(lambda: staged_folders(tmp_path) == [])
        assert worker.outbox.batch.is_empty()

    working(body)


def test_a_mini_batch_that_comes_back_in_a_later_attempt_is_brought_anew(working):
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


def test_what_cannot_be_brought_is_a_failed_attempt_of_no_process(working):
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
        assert worker.want() == 2
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
    made = Stager([Input("given", ("memory://given",))], str(tmp_path / "inputs"), takers=None)
    made._average = seconds_to_bring
    slot = Slot(0)
    slot.average = seconds_to_run
    assert made.ahead(slot) == ahead
