"""Tables that lie elsewhere: slices of them have the rows that they have here."""

import io
import json
import shutil
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stager_bench import CSV, SHARED_FOLDER, lease, moved, piece_of, read, remote, size_of, until

from longshore_agent import fetching, stager
from longshore_agent.slots import Slot
from longshore_coordinator.enumerate import parquet, text
from longshore_coordinator.enumerate.partitions import TableGroups
from longshore_host import tabular
from longshore_protocol import slices
from longshore_protocol.job import Input, MiniBatchSize, TabularFormat
from longshore_storage import files


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


def test_a_text_that_cannot_be_cut_is_downloaded_whole(staging, tmp_path):
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


def test_parquet_files_for_which_there_is_no_room_go_once_no_process_reads_them(staging, monkeypatch):
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
def test_nothing_is_downloaded_ahead_while_downloads_fill_the_disk_or_its_volumes_limit(
    staging, monkeypatch, free, limit
):
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


def test_a_parquet_file_is_downloaded_once_and_stays(staging, monkeypatch):
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


def test_rows_that_cannot_be_read_are_reported_with_the_place_their_user_knows(staging):
    url = remote(b"a,b\n1,2\n3,4,5\n", "bad.csv")

    async def body(made, outcomes):
        made.add(lease({"path": url, "start": 8, "end": 14}))
        found, _ = await outcomes.next()
        with pytest.raises(tabular.SliceError, match=f'"{url}" could not be read as csv: the record at byte 8 has'):
            tabular.load(piece_of(found), CSV)

    staging(body, CSV)
