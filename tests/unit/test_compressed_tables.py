"""Compressed text files: each is one mini-batch, whatever its name is, or is refused in words."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path

import jobs
import pytest

from longshore_coordinator.enumerate import InputError, cut
from longshore_host.tabular import SliceError, load
from longshore_protocol import compression
from longshore_protocol.job import Input, TabularFormat

CSV, LINES = TabularFormat("csv"), TabularFormat("jsonl")


def zipped(*members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for number, data in enumerate(members):
            archive.writestr(f"folder/{number}.csv", data)
    return file.getvalue()


COMPRESS = {
    "gzip": gzip.compress,
    "gzip of two parts": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}
ROWS = [[number, f"x{number}"] for number in range(200)]
CSV_TEXT = "id,x\n" + "".join(f"{number},{text}\n" for number, text in ROWS)
KINDS = {
    "csv": (CSV, CSV_TEXT.encode()),
    "csv in latin-1": (replace(CSV, encoding="latin-1"), CSV_TEXT.encode()),
    "csv in UTF-16": (replace(CSV, encoding="utf-16"), CSV_TEXT.encode("utf-16")),
    "csv with quoted line ends": (replace(CSV, multi_line=True), CSV_TEXT.encode()),
    "typed csv": (replace(CSV, column_types={"id": "int64"}), CSV_TEXT.encode()),
    "json lines": (LINES, "".join(json.dumps({"id": number, "x": x}) + "\n" for number, x in ROWS).encode()),
}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "rows.data"  # whose name says nothing


def pieces(path: Path, table: TabularFormat, unit: str = "bytes", value: int = 20, **settings) -> list[dict]:
    job = jobs.job(Input("rows", (str(path),), tabular=table), unit=unit, size=value, **settings)
    return [json.loads(each.payload) for each in cut(job)]


@pytest.mark.parametrize(("unit", "value"), [("bytes", 20), ("bytes", 10**6), ("rows", 3)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", COMPRESS)
def test_a_compressed_file_is_one_mini_batch(path, method, kind, unit, value):
    table, data = KINDS[kind]
    path.write_bytes(COMPRESS[method](data))
    [piece] = pieces(path, table, unit, value)
    assert load(piece, table).to_numpy().tolist() == ROWS


def locked(data: bytes) -> bytes:
    """Return a zip archive of one file that says that it has a password."""
    archive = bytearray(zipped(data))
    archive[archive.rindex(b"PK\1\2") + 8] |= 1
    return bytes(archive)


REFUSED = {
    "with a password": (locked(b"id\n1\n"), "is a zip archive with a password; unpack it"),
    "Zstandard": (b"\x28\xb5\x2f\xfd and more", "is compressed with Zstandard, which this Python cannot read"),
    "LZ4": (b"\x04\x22\x4d\x18 and more", "is compressed with LZ4, which this Python cannot read"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c and more", "is compressed with 7-Zip, which this Python cannot read"),
    "two files": (zipped(b"id\n1\n", b"id\n2\n"), "is a zip archive of 2 files and must have exactly one"),
    "no file": (zipped(), "is a zip archive of 0 files and must have exactly one"),
    "cut off": (gzip.compress(CSV_TEXT.encode())[:-20], "EOFError: Compressed file ended"),
    "damaged": (gzip.compress(CSV_TEXT.encode())[:-8] + b"\0" * 8, "BadGzipFile: CRC check failed"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_words(path, case, encoding):
    data, text = REFUSED[case]
    path.write_bytes(data)
    for table in (replace(CSV, encoding=encoding), replace(LINES, encoding=encoding)):
        [piece] = pieces(path, table)
        with pytest.raises(SliceError) as caught:
            load(piece, table)
        assert text in str(caught.value)
        assert str(caught.value).startswith(f'The file "{path}" could not be read as {table.format} from byte 0 on: ')


@pytest.mark.parametrize("method", COMPRESS)
def test_a_file_that_expands_without_measure_does_not_fill_the_memory(path, monkeypatch, method):
    monkeypatch.setattr(compression, "_SMALL", 1 << 20)
    monkeypatch.setattr(compression, "_RATIO", 2)
    path.write_bytes(COMPRESS[method](b"id\n" + b"1\n" * (4 << 20)))
    [piece] = pieces(path, CSV)
    with pytest.raises(SliceError, match="of text; decompress it before the run"):
        load(piece, CSV)


def test_a_record_in_a_compressed_file_is_named_without_a_byte(path):
    path.write_bytes(gzip.compress(b"a,b\n1,2\n1,2,3\n"))
    [piece] = pieces(path, CSV)
    with pytest.raises(SliceError, match="ValueError: a record has 3 fields, and the header has 2"):
        load(piece, CSV)


@pytest.mark.parametrize("method", COMPRESS)
def test_partition_keys_ask_for_text(path, method):
    path.write_bytes(COMPRESS[method](CSV_TEXT.encode()))
    with pytest.raises(
        InputError, match=r"partitionKeys are not supported for files compressed with .*; decompress it"
    ):
        pieces(path, CSV, partition_keys=("x",))


def test_partition_keys_of_paths_do_not_read_the_file(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(gzip.compress(CSV_TEXT.encode()))
    given = Input("rows", (str(tmp_path),), tabular=CSV, partition_format="{name}")
    job = jobs.job(given, unit="bytes", size=9, partition_keys=("name",))
    assert [len(load(json.loads(each.payload), CSV)) for each in cut(job)] == [200, 200]


@pytest.mark.parametrize("data", [b"BZh91,x\n", b"PK\n1\n", b"\x1f\n1\n", b"7z,id\n1,2\n"])
def test_text_that_begins_nearly_alike_is_text(path, data):
    path.write_bytes(data)
    assert len(pieces(path, CSV, value=3)) > 1
