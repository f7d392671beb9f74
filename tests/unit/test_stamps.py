"""What was planned is what is read: a table that changes during a run is an error, and never rows less."""

import hashlib
import json
import os
import shutil
from dataclasses import replace

import jobs
import pandas
import pytest

from longshore_coordinator import plan as plans
from longshore_coordinator.enumerate import cut, plan_settings
from longshore_coordinator.plan import PlanChangedError, PlanReader, PlanRecord
from longshore_host import tabular
from longshore_host.tabular import SliceError, load
from longshore_protocol import stamps
from longshore_protocol.job import Input, Job, MiniBatchSize, TabularFormat

CSV, LINES, PARQUET = TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")
QUOTED = TabularFormat("csv", multi_line=True)
VOLUME = "0123456789ab"
TABLES = {
    "csv by bytes": (CSV, {"mini_batch": MiniBatchSize("bytes", 9)}),
    "csv by rows": (CSV, {"mini_batch": MiniBatchSize("rows", 2)}),
    "csv with line ends in quotes": (QUOTED, {"mini_batch": MiniBatchSize("bytes", 9)}),
    "csv in UTF-16": (TabularFormat("csv", encoding="utf-16"), {"mini_batch": MiniBatchSize("bytes", 9)}),
    "json lines": (LINES, {"mini_batch": MiniBatchSize("bytes", 20)}),
    "parquet": (PARQUET, {"mini_batch": MiniBatchSize("rows", 2)}),
    "partition keys": (CSV, {"partition_keys": ("k",)}),
    "partition keys of parquet": (PARQUET, {"partition_keys": ("k",)}),
    "small files": (CSV, {"mini_batch": MiniBatchSize("bytes", 1000), "coalesce": True}),
}


@pytest.fixture(autouse=True)
def inodes_last(monkeypatch):
    """Let the tests' folder be on a file system that keeps inode numbers, whatever it is."""
    monkeypatch.setattr(stamps, "_volume", lambda device: VOLUME)


def write(path, table, rows=6):
    frame = pandas.DataFrame({"k": [number % 2 for number in range(rows)], "n": range(10, 10 + rows)})
    if table.format == "parquet":
        frame.to_parquet(path, row_group_size=2)
    elif table.format == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, encoding=table.encoding)


def job_of(path, table, **settings) -> Job:
    return jobs.job(Input("rows", (str(path),), tabular=table), unit="bytes", size=9, **settings)


def rename_over(path, table):
    write(path.with_name("new"), table, rows=4)
    os.replace(path.with_name("new"), path)


def truncate(path, _format):
    os.truncate(path, path.stat().st_size // 2)


def append(path, _format):
    with path.open("ab") as file:
        file.write(b"0,99\n")


def edit(path, _format):
    data, times = path.read_bytes(), path.stat()
    path.write_bytes(data.replace(b"13", b"31"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))  # as fine as a clock can be
    assert path.stat().st_size == times.st_size


def delete(path, _format):
    path.unlink()


def replace_with_its_time(path, _format):
    shutil.copy2(path, path.with_name("new"))
    os.replace(path.with_name("new"), path)


CHANGES = {
    rename_over: "changed since the run was planned: it had ",
    truncate: "changed since the run was planned: it had ",
    append: "changed since the run was planned: it had ",
    edit: "changed since the run was planned: it was last modified at ",
    delete: "no longer exists: it was deleted or renamed since the run was planned",
    replace_with_its_time: "changed since the run was planned: another file of the same size and time took its place",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", TABLES)
def test_no_row_of_another_version_is_read(tmp_path, kind, change):
    table, settings = TABLES[kind]
    write(tmp_path / "a", table)
    write(tmp_path / "b", table)
    planned = [json.loads(each.payload) for each in cut(job_of(tmp_path, table, **settings))]
    assert sum(len(load(piece, table)) for piece in planned) == 12
    change(tmp_path / "a", table)
    rows = 0
    for piece in planned:
        if any(each["path"] == f"{tmp_path}/a" for each in piece.get("pieces", [piece])):
            with pytest.raises(SliceError) as caught:
                load(piece, table)
            assert str(caught.value).startswith(f'The file "{tmp_path}/a" {CHANGES[change]}')
            assert str(caught.value).endswith("start a new run for new data.")
        else:
            rows += len(load(piece, table))
    assert rows == (0 if "pieces" in planned[0] else 6)


@pytest.mark.parametrize("change", [truncate, append, edit])
@pytest.mark.parametrize("table", [CSV, LINES, PARQUET], ids=lambda table: table.format)
def test_a_change_while_a_file_is_read_is_noticed(tmp_path, monkeypatch, table, change):
    write(tmp_path / "a", table)
    [each] = cut(job_of(tmp_path / "a", table, mini_batch=MiniBatchSize("bytes", 10**6)))
    check = tabular._check_stamp

    def check_and_change(*arguments):
        check(*arguments)
        change(tmp_path / "a", table)

    monkeypatch.setattr(tabular, "_check_stamp", check_and_change)
    with pytest.raises(SliceError, match="changed since the run was planned"):
        load(json.loads(each.payload), table)


def test_a_plan_without_stamps_is_read_as_before(tmp_path):
    (tmp_path / "a").write_bytes(b"k\n1\n2\n")
    assert len(load({"path": str(tmp_path / "a"), "start": 0, "end": 6}, CSV)) == 2


# --- resuming --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def lots_depend_on_no_clock(monkeypatch):
    monkeypatch.setattr(plans, "_LOT_SECONDS", 3600.0)


def read_plan(job, earlier=()):
    """Return the plan's records and how its reading ended."""
    record, entries, ends = PlanRecord(), [], []
    for entry in earlier:
        record.update(entry)
    reader = PlanReader(job, record, deliver=lambda _, entry: entries.append(entry), ended=ends.append)
    reader.run()
    return json.loads(json.dumps(entries)), ends[0]


@pytest.mark.parametrize("change", [rename_over, truncate, append, edit])
@pytest.mark.parametrize("kind", [kind for kind in TABLES if "parquet" not in kind])
def test_a_plan_of_a_table_that_changed_is_refused_and_names_it(tmp_path, kind, change):
    table, settings = TABLES[kind]
    for name in "abc":
        write(tmp_path / name, table)
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    job = job_of(tmp_path, table, **settings)
    entries, end = read_plan(job)
    assert end is None
    change(tmp_path / "b", table)
    _, end = read_plan(job, entries)
    assert isinstance(end, PlanChangedError)
    assert f'The file "{tmp_path}/b" was modified last, at ' in str(end)


@pytest.mark.parametrize("kind", ["parquet", "partition keys of parquet"])
def test_a_plan_of_a_parquet_that_was_written_again_is_refused(tmp_path, kind):
    table, settings = TABLES[kind]
    write(tmp_path / "a", table)
    os.utime(tmp_path / "a", ns=(10**18, 10**18))
    job = job_of(tmp_path, table, **settings)
    entries, _ = read_plan(job)
    write(tmp_path / "a", table)  # the very same rows: nothing but its time is another
    assert f'The file "{tmp_path}/a" was modified last, at ' in str(read_plan(job, entries)[1])


@pytest.mark.parametrize("kind", TABLES)
def test_files_restored_with_their_times_are_the_same_files(tmp_path, kind):
    table, settings = TABLES[kind]
    write(tmp_path / "a", table)
    job = job_of(tmp_path / "a", table, **settings)
    entries, _ = read_plan(job)
    replace_with_its_time(tmp_path / "a", table)
    assert read_plan(job, entries)[1] is None


@pytest.mark.parametrize("kind", TABLES)
def test_a_run_of_an_earlier_version_goes_on_without_stamps_in_its_plan(tmp_path, kind):
    table, settings = TABLES[kind]
    write(tmp_path / "a", table)
    job = job_of(tmp_path / "a", table, **settings)
    digest, count = hashlib.sha256(), 0
    for each in cut(job):
        piece = json.loads(each.payload)
        for part in piece.get("pieces", [piece]):
            del part["stamp"]
        payload = json.dumps(piece, separators=(",", ":")).encode()
        digest.update(b"0 %d\n%s" % (len(payload), payload))
        count += 1
    earlier = [
        {"settings": plan_settings(job, has_stamps=False)},
        {"count": count, "digest": digest.hexdigest(), "first": f"{tmp_path}/a"},
        {"total": count},
    ]
    entries, end = read_plan(job, earlier)
    assert end is None
    assert read_plan(job, [*earlier, *entries])[1] is None  # and on, as the run that it is
    os.rename(tmp_path / "a", tmp_path / "b")
    assert isinstance(read_plan(replace(job, inputs=(job_of(tmp_path, table).inputs)), earlier)[1], PlanChangedError)


# --- stamps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planned", "found", "is_same"),
    [
        ("4 5 6@0123456789ab", "4 5 6@0123456789ab", True),
        ("4 5 6@0123456789ab", "4 5 7@0123456789ab", False),  # another inode of one volume
        ("4 5 6@0123456789ab", "4 5 7@ba9876543210", True),  # another mount or machine, which numbers as it likes
        ("4 5 6@0123456789ab", "4 5", True),
        ("4 5", "4 5 6@0123456789ab", True),
        ("4 5 6@0123456789ab", "4 6 6@ba9876543210", False),
        ("4 5", "3 5", False),
        ('4 "etag"', '4 "etag"', True),
        ('4 "etag"', '4 "other"', False),
        ("4 None", "5 None", False),
    ],
)
def test_versions_are_compared_by_what_lasts(planned, found, is_same):
    assert stamps.is_same(planned, found) is is_same


@pytest.mark.parametrize(
    ("planned", "found", "text"),
    [
        ("400 1 2@0123456789ab", "304 2 2@0123456789ab", "it had 400 bytes and has 304"),
        (
            "4 1700000000123456789",
            "4 1700000001000000000",
            "it was last modified at 2023-11-14 22:13:20.123456789 UTC and is now of 2023-11-14 22:13:21.000000000 UTC",
        ),
        ("4 5 6@0123456789ab", "4 5 7@0123456789ab", "another file of the same size and time took its place"),
        ('4 "a"', '4 "b"', 'its version was "a" and is "b"'),
    ],
)
def test_a_difference_is_reported_in_words(planned, found, text):
    assert stamps.difference(planned, found) == text


def test_inodes_of_unknown_file_systems_are_left_out(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "a").write_bytes(b"1234")
    status = (tmp_path / "a").stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    for kind, has_inode in (("ext4", True), ("nfs4", True), ("fuse.gcsfuse", False), ("cifs", False)):
        monkeypatch.setattr(stamps, "_file_systems", lambda kind=kind: {device: kind})
        stamps._volume.cache_clear()
        stamp = stamps.of_status(status)
        assert stamp.startswith(f"4 {status.st_mtime_ns}")
        assert (f" {status.st_ino}@" in stamp) is has_inode
    stamps._volume.cache_clear()
