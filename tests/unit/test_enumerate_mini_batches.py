"""How inputs are cut into mini-batches."""

import errno
import gzip
import json
import os
import tracemalloc
from dataclasses import replace
from uuid import uuid4

import fsspec
import jobs
import pyarrow
import pytest
from pyarrow import parquet

from longshore_coordinator.enumerate import EmptyInputError, InputError, Slice, cut, text
from longshore_host.tabular import SliceError, load
from longshore_protocol.job import Input, Job, TabularFormat
from longshore_storage.files import file_version

CSV, LINES, PARQUET = TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")


def job(*paths, tabular=None, unit="files", value=2, inputs=None) -> Job:
    inputs = inputs or (Input("mnist", tuple(map(str, paths)), tabular=tabular),)
    return jobs.job(*inputs, unit=unit, size=value)


def payloads(job) -> list:
    return [json.loads(each.payload) for each in cut(job)]


def ranges(path, tabular, unit, value) -> list:
    """Return items, start and end of each slice of a file."""
    found = []
    for each in cut(job(path, tabular=tabular, unit=unit, value=value)):
        piece = json.loads(each.payload)
        assert piece.pop("path") == str(path)
        found.append((each.items, piece["start"], piece["end"]))
    return found


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_taken_in_order_and_the_last_mini_batch_is_shorter(tmp_path):
    touch(tmp_path, "c", "a", "b/x")
    assert list(cut(job(tmp_path))) == [
        Slice(0, 2, f'["{tmp_path}/a","{tmp_path}/b/x"]'.encode()),
        Slice(0, 1, f'["{tmp_path}/c"]'.encode()),
    ]


def test_inputs_follow_one_another_and_never_share_a_mini_batch(tmp_path):
    touch(tmp_path, "z/1", "z/2", "z/3", "a/1")
    inputs = tuple(Input(name, (str(tmp_path / name),)) for name in ("z", "a"))
    assert [(each.input, each.items) for each in cut(job(inputs=inputs))] == [(0, 2), (0, 1), (1, 1)]


def test_paths_of_an_input_are_merged_and_a_file_counts_once(tmp_path):
    touch(tmp_path, "a", "b", "c")
    found = payloads(job(tmp_path / "c", tmp_path / "b", tmp_path / "[ab]", value=9))
    assert found == [[f"{tmp_path}/a", f"{tmp_path}/b", f"{tmp_path}/c"]]


def test_names_that_are_no_utf_8_survive(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3\xa4")
    touch(tmp_path, name)
    [payload] = payloads(job(tmp_path))
    assert payload == [name]


def test_mini_batches_are_known_before_the_listing_ends():
    def files(*_):
        yield from ("a", "b")
        raise AssertionError("read on")

    assert next(cut(job("/in"), list_files=files)).items == 2


def test_a_path_without_files_is_no_error_but_an_input_without_any_is(tmp_path):
    touch(tmp_path, "a")
    assert len(payloads(job(tmp_path / "x*", tmp_path))) == 1
    with pytest.raises(EmptyInputError) as caught:
        payloads(job(tmp_path / "x*", tmp_path / "y*"))
    assert str(caught.value) == f'Input "mnist" has no files: no file was found at "{tmp_path}/x*", "{tmp_path}/y*".'


def test_a_listing_that_fails_names_the_input(tmp_path):
    with pytest.raises(InputError, match=f'Input "mnist" cannot be listed. The path "{tmp_path}/x" does not exist.'):
        payloads(job(tmp_path / "x"))


def test_a_unit_that_the_input_does_not_know_is_refused():
    with pytest.raises(InputError, match='Input "mnist" is cut by files, and not by rows'):
        payloads(job("/in", unit="rows"))
    with pytest.raises(InputError, match='Input "mnist" is cut by bytes or rows, and not by files'):
        payloads(job("/in", tabular=CSV))


def test_plain_lines_are_cut_by_the_size_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 25)
    (tmp_path / "b").write_bytes(b"x" * 20)
    (tmp_path / "empty").touch()
    assert ranges(tmp_path / "a", CSV, "bytes", 10) == [(None, 0, 10), (None, 10, 20), (None, 20, 25)]
    assert ranges(tmp_path / "b", LINES, "bytes", 10) == [(None, 0, 10), (None, 10, 20)]
    assert ranges(tmp_path / "empty", CSV, "bytes", 10) == []
    assert len(payloads(job(tmp_path, tabular=CSV, unit="bytes", value=100))) == 2  # never across files


def test_quoted_newlines_are_cut_between_records(tmp_path):
    (tmp_path / "a").write_bytes(b'a,b\n1,"x\ny"\n2,z\n3,"\n\n\n\n"\n4,w\n')
    quoted = TabularFormat("csv", multi_line=True)
    assert ranges(tmp_path / "a", quoted, "bytes", 10) == [(None, 4, 12), (None, 12, 25), (None, 25, 29)]
    (tmp_path / "b").write_bytes(b'"a\nb"\n')
    assert ranges(tmp_path / "b", quoted, "bytes", 1) == []  # a header is no row


def test_rows_are_counted(tmp_path):
    (tmp_path / "a").write_bytes(b"a,b\n1,2\n\n3,4\r\n5,6\n\n")
    assert ranges(tmp_path / "a", CSV, "rows", 2) == [(2, 4, 14), (1, 14, 19)]
    assert ranges(tmp_path / "a", TabularFormat("csv", header=False), "rows", 4) == [(4, 0, 18)]
    (tmp_path / "b").write_bytes(b"a,b\n\n")
    assert ranges(tmp_path / "b", CSV, "rows", 2) == []
    (tmp_path / "c").write_bytes(b'{"a": 1}\n{"a": 2}')
    assert ranges(tmp_path / "c", LINES, "rows", 1) == [(1, 0, 9), (1, 9, 17)]


@pytest.mark.parametrize("unit", ["bytes", "rows"])
def test_a_file_whose_newlines_are_two_bytes_is_one_slice(tmp_path, unit):
    (tmp_path / "a").write_text("a,b\n1,2\n3,4\n", encoding="utf-16")
    assert ranges(tmp_path / "a", TabularFormat("csv", encoding="utf-16"), unit, 1) == [(None, 0, 26)]


def test_an_unknown_encoding_names_input_and_file(tmp_path):
    (tmp_path / "a").write_bytes(b"a\n")
    with pytest.raises(InputError, match=f'"{tmp_path}/a" of input "mnist".*unknown encoding: utf-99'):
        payloads(job(tmp_path, tabular=TabularFormat("csv", encoding="utf-99"), unit="bytes"))


def groups(path, unit, value) -> list:
    found = []
    for each in cut(job(path, tabular=PARQUET, unit=unit, value=value)):
        piece = json.loads(each.payload)
        found.append((each.items, piece["row_groups"], piece["rows"]))
    return found


def test_row_groups_are_packed_and_a_large_one_is_split(tmp_path):
    schema = pyarrow.schema([("a", pyarrow.int64())])
    with parquet.ParquetWriter(tmp_path / "a", schema) as writer:
        for rows in (2, 3, 1, 9, 2, 4):
            writer.write_table(pyarrow.table({"a": list(range(rows))}, schema))
    assert groups(tmp_path / "a", "rows", 5) == [
        (5, [0, 2], None),
        (1, [2, 3], None),
        (5, [3, 4], [0, 5]),
        (4, [3, 4], [5, 9]),
        (2, [4, 5], None),
        (4, [5, 6], None),
    ]
    assert groups(tmp_path / "a", "rows", 100) == [(21, [0, 6], None)]


def test_row_groups_are_packed_by_their_bytes(tmp_path):
    parquet.write_table(
        pyarrow.table({"a": [f"{number:03}" for number in range(50)]}), tmp_path / "a", row_group_size=10
    )
    size = parquet.read_metadata(tmp_path / "a").row_group(0).total_byte_size
    assert groups(tmp_path / "a", "bytes", 2 * size) == [(20, [0, 2], None), (20, [2, 4], None), (10, [4, 5], None)]
    assert groups(tmp_path / "a", "bytes", size)[0] == (10, [0, 1], None)
    assert groups(tmp_path / "a", "bytes", size - 1)[:2] == [(9, [0, 1], [0, 9]), (1, [0, 1], [9, 10])]
    assert groups(tmp_path / "a", "bytes", 1)[49] == (1, [4, 5], [9, 10])


def test_a_parquet_without_rows_gives_no_slice(tmp_path):
    parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.int64())}), tmp_path / "a")
    assert groups(tmp_path / "a", "bytes", 10) == []


def damage(path, how):
    path.unlink(missing_ok=True)
    if how == "a link to nothing":
        path.symlink_to(path.parent / "nowhere")
    elif how == "a link to itself":
        path.symlink_to(path)
    elif how == "no parquet":
        path.write_bytes(b"no parquet at all")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        parquet.write_table(pyarrow.table({"n": [1, 2, 3]}), path)
        data = bytearray(path.read_bytes())
        if how == "cut off":
            path.write_bytes(data[:-20])
        else:
            footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
            data[footer : footer + 20] = bytes(20)
            path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("no parquet", "ArrowInvalid: "),
        ("empty", "ArrowInvalid: "),
        ("cut off", "ArrowInvalid: "),
        ("a damaged footer", "OSError: Couldn't deserialize thrift"),
        ("a link to nothing", "FileNotFoundError: "),
        ("a link to itself", "OSError: [Errno 40]"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"column_types": {"n": "int64"}}])
def test_an_unreadable_parquet_fails_its_own_mini_batch(tmp_path, how, cause, settings):
    damage(tmp_path / "a", how)
    parquet.write_table(pyarrow.table({"n": [1, 2, 3]}), tmp_path / "b")
    table = replace(PARQUET, **settings)
    for coalesce in (False, True):
        planned = replace(job(tmp_path, tabular=table, unit="rows", value=10), coalesce=coalesce)
        bad, good = payloads(planned)
        with pytest.raises(SliceError) as caught:
            load(bad, table)
        assert str(caught.value).startswith(f'The file "{tmp_path}/a" could not be read as parquet: {cause}')
        assert len(load(good, table)) == 3


def test_an_unreadable_csv_fails_its_own_mini_batch(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b").write_bytes(b"n\n1\n")
    bad, good = payloads(job(tmp_path, tabular=CSV, unit="rows"))
    with pytest.raises(SliceError, match="could not be read as csv: FileNotFoundError"):
        load(bad, CSV)
    assert len(load(good, CSV)) == 1


def test_what_is_wrong_with_a_volume_ends_the_plan(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a").write_bytes(b"n\n1\n")
    monkeypatch.setattr(text, "file_version", fail)
    with pytest.raises(InputError, match=f'"{tmp_path}/a" of input "mnist" cannot be cut into mini-batches: OSError'):
        payloads(job(tmp_path, tabular=CSV, unit="rows"))


def test_object_stores_are_cut_like_folders():
    url, fs = f"memory://{uuid4()}", fsspec.filesystem("memory")
    fs.pipe_file(f"{url}/a.csv", b"a\n1\n2\n3\n")
    stamp = file_version(f"{url}/a.csv").stamp
    found = payloads(job(url, tabular=CSV, unit="rows", value=2))
    assert found == [
        {"path": f"{url}/a.csv", "stamp": stamp, "start": 2, "end": 6},
        {"path": f"{url}/a.csv", "stamp": stamp, "start": 6, "end": 8},
    ]
    [piece] = payloads(job(f"{url}/*.csv", tabular=CSV, unit="bytes", value=99))
    assert piece == {"path": f"{url}/a.csv", "stamp": stamp, "start": 0, "end": 8}


def test_a_file_takes_at_most_a_hundred_bytes_of_memory():
    names = [f"/data/images/{number:07}.png" for number in range(20_000)]
    tracemalloc.start()
    try:
        kept = list(cut(job("/in", value=10), list_files=lambda *_: iter(names)))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 2_000
    assert used / len(names) <= 100


TYPED = TabularFormat("csv", column_types={"id": "int64", "xx": "str"})


@pytest.mark.parametrize(
    ("tabular", "data", "there"),
    [
        (TYPED, b"id,x\n1,2\n", "id, x"),
        (TYPED, b"\n\nid,x\n1,2\n", "id, x"),
        (TYPED, gzip.compress(b"id,x\n1,2\n", mtime=0), "id, x"),
        (replace(TYPED, encoding="utf-16"), "id,x\n1,2\n".encode("utf-16"), "id, x"),
        (replace(TYPED, multi_line=True), b'id,"a\nb"\n1,2\n', "id, a\nb"),
        (replace(TYPED, header=False, column_types={"Column3": "str"}), b"1,2\n", "Column1, Column2"),
        (replace(TYPED, column_types={"x.2": "str"}), b"x,x,\n1,2,3\n", "x, x.1, Unnamed: 2"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"unit": "rows"}])
def test_a_type_of_a_column_that_is_not_there_is_refused_at_the_start(tmp_path, tabular, data, there, settings):
    (tmp_path / "a").write_bytes(b"")  # which has no columns
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(InputError) as caught:
        payloads(job(tmp_path, tabular=tabular, **{"unit": "bytes", **settings}))
    column = list(tabular.column_types)[-1]
    assert str(caught.value) == (
        f'Input "mnist" has columnTypes for "{column}", but no such column; '
        f'the columns of the file "{tmp_path}/b" are {there}.'
    )


def test_a_type_of_a_column_of_a_parquet_that_is_not_there_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"id": [1]}), tmp_path / "a")
    with pytest.raises(InputError, match='has columnTypes for "xx", but no such column'):
        payloads(job(tmp_path, tabular=replace(PARQUET, column_types={"xx": "str"}), unit="rows"))


def test_types_of_columns_of_paths_and_of_json_lines_are_known_later(tmp_path):
    (tmp_path / "2026.csv").write_bytes(b"id\n1\n")
    typed = replace(CSV, column_types={"id": "int64", "year": "int64"})
    given = Input("rows", (str(tmp_path),), tabular=typed, partition_format="{year}.csv")
    assert len(payloads(job(inputs=(given,), unit="bytes"))) == 3
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n')
    lines = replace(LINES, column_types={"year": "int64"})
    assert len(payloads(job(tmp_path / "a.jsonl", tabular=lines, unit="rows"))) == 1


def test_a_file_without_rows_has_no_columns_to_compare(tmp_path):
    (tmp_path / "a").write_bytes(b"\n\n")
    assert payloads(job(tmp_path, tabular=TYPED, unit="rows")) == []
