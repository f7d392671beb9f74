"""Text that parsers divide otherwise than the cutter is an error that names file and byte, and never rows less."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import jobs
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_coordinator.enumerate import cut
from longshore_host import csv_frames
from longshore_host.tabular import SliceError, load
from longshore_protocol import records
from longshore_protocol.job import Input, TabularFormat

CSV, QUOTED = TabularFormat("csv"), TabularFormat("csv", multi_line=True)
CUTS = [("bytes", 5), ("bytes", 1000), ("rows", 2), ("rows", 1000)]
ALL_AS_TEXT = {"column_types": {"a": "str", "b": "str"}, "keep_default_na": False}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("records") / "rows.csv"


def read(path: Path, table: TabularFormat, unit: str, value: int) -> tuple[list, list[str]]:
    """Return the rows of all mini-batches that can be read, and what is said of the others."""
    rows, errors = [], []
    for each in cut(jobs.job(Input("rows", (str(path),), tabular=table), unit=unit, size=value)):
        try:
            rows += load(json.loads(each.payload), table).to_numpy().tolist()
        except SliceError as error:
            errors.append(str(error))
    return rows, errors


RETURN, ZERO = "has a carriage return, as its byte {}, that no line feed follows", "has a zero byte"
SWALLOWING = {
    "line ends of old Macs": (b"id,x\r1,2\r3,4\r5,6\r", CSV, RETURN.format(5)),
    "the same, and quoted line ends": (b"id,x\r1,2\r3,4\r5,6\r", QUOTED, RETURN.format(5)),
    "the same without a header": (b"1,2\r3,4\r5,6\r", replace(CSV, header=False), RETURN.format(4)),
    "an open quote": (b'id,"x\n1,2\n3,4\n5,6\n', QUOTED, "ends inside a quoted field: a quote is never closed"),
    "a quoted line end": (b'id,"x\ny"\n1,2\n', CSV, "ends inside a quoted field: set supportMultiLine"),
    "UTF-16 without a mark": ("id,x\n1,2\n3,4\n".encode("utf-16-le"), CSV, ZERO),
    "UTF-16 as Latin-1": ("id,x\n1,2\n3,4\n".encode("utf-16"), replace(CSV, encoding="latin-1"), ZERO),
    "UTF-16, and quoted line ends": ("id,x\n1,2\n".encode("utf-16-be"), QUOTED, ZERO),
    "an escaped line end": (b"id,x\\\n1,2\n", replace(CSV, escape="\\"), "ends with a line end that is escaped"),
}


LINES = {
    "no line": (b"", 0, True),
    "plain lines": (b"1,2\n3,4\n", 2, True),
    "blank lines": (b"\n\n1\n\n", 4, True),
    "CRLF": (b"1,2\r\n3,4\r\n", 2, True),
    "a return in a line": (b"1,2\r3,4\n", 1, False),
    "two returns before a feed": (b"1,2\r\r\n3\n", 2, False),
    "a return at a line's start": (b"1\n\r2\n", 2, False),
}


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@pytest.mark.parametrize(("rows", "count", "whole"), LINES.values(), ids=LINES.keys())
def test_line_ends_are_counted_whatever_block_they_are_in(monkeypatch, rows, count, whole, block):
    monkeypatch.setattr(csv_frames, "_BLOCK", block)
    assert csv_frames.count_lines(rows) == count
    assert csv_frames.are_returns_of_line_ends(rows) is whole


@pytest.mark.parametrize(("unit", "value"), CUTS)
@pytest.mark.parametrize("case", SWALLOWING)
def test_a_header_never_swallows_rows(path, case, unit, value):
    data, table, fault = SWALLOWING[case]
    path.write_bytes(data)
    rows, errors = read(path, table, unit, value)
    assert rows == []
    assert errors
    for text in errors:
        assert text.startswith(f'The file "{path}" could not be read as csv: the record at byte 0 {fault}')


@pytest.mark.parametrize(("unit", "value"), CUTS)
@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (b"1,2\r3,4\n5,6\n", "4 " + RETURN.format(4)),
        (b'1,2\n3,"4"\r5,6\n', "8 " + RETURN.format(6)),
        (b'1,2\n3,4\n\n5,"6\n7,8\n', "13 ends inside a quoted field: set supportMultiLine"),
        (b'1,2\n3,"4"\n5,"6', "14 ends inside a quoted field: set supportMultiLine"),
    ],
)
def test_a_fault_is_named_with_its_byte(path, rows, fault, unit, value):
    path.write_bytes(b"a,b\n" + rows)
    _, errors = read(path, CSV, unit, value)
    assert any(f"the record at byte {fault}" in text for text in errors), errors


@pytest.mark.parametrize(
    ("data", "table", "fault"),
    [
        (b"id,x\r" + b"1,2\r" * 500, CSV, RETURN.format(5)),
        (b'id,"x\n' + b"1,2\n" * 500, QUOTED, "ends inside a quoted field"),
        (b"id," + b"x" * 2000 + b"\n1,2\n", CSV, "has more than 1000 bytes and is the first record of its file"),
        (b"\n" * 5000 + b"id,x\r1,2\r", CSV, RETURN.format(5)),
    ],
)
def test_no_more_of_a_header_than_a_limit_is_read(path, monkeypatch, data, table, fault):
    monkeypatch.setattr(records, "_LONGEST_HEADER", 1000)
    path.write_bytes(data)
    with path.open("rb") as file:
        header = records.header_line(file, table)
    assert len(header.lstrip()) <= 1000
    for unit, value in CUTS:
        rows, errors = read(path, table, unit, value)
        assert rows == []
        assert all(fault in text for text in errors)
        assert errors


@pytest.mark.parametrize("table", [CSV, QUOTED], ids=["plain", "quoted"])
@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b\r\r\n1,x\r\r\n2,y\r\r\n", [["1", "x"], ["2", "y"]]),
        (b'a,b\n1,"x\ry"\n2,"\r"\n', [["1", "x\ry"], ["2", "\r"]]),
        (b'a,b\n1,3.5" pipe\n2,"3.5"" pipe"\n', [["1", '3.5" pipe'], ["2", '3.5" pipe']]),
        (b"a,b\n1,x\r", [["1", "x"]]),
        (b"a,b\n\n \n1,x\n\r\n2,y\n\n", [["1", "x"], ["2", "y"]]),
        (b'a,b\n1,x"\n2,"y"\n', [["1", 'x"'], ["2", "y"]]),
    ],
)
def test_what_only_looks_like_a_fault_is_read(path, table, data, rows):
    path.write_bytes(data)
    for unit, value in CUTS:
        assert read(path, replace(table, **ALL_AS_TEXT), unit, value) == (rows, []), (unit, value)


@pytest.mark.parametrize(("unit", "value"), [("bytes", 4), ("bytes", 37), ("bytes", 500), ("rows", 1), ("rows", 7)])
@pytest.mark.parametrize("lines", [2, 3])
def test_halves_of_records_are_no_rows(path, lines, unit, value):
    whole = "".join(f"{number},x{number}\n" for number in range(20))
    cell = '"' + "half, of\n" * (lines - 1) + 'it"'
    cut_ones = "".join(f"{number},{cell}\n" for number in range(60))
    path.write_text("a,b\n" + whole + cut_ones)
    rows, errors = read(path, replace(CSV, **ALL_AS_TEXT), unit, value)
    assert all(row in [[str(number), f"x{number}"] for number in range(20)] for row in rows), rows
    assert all("supportMultiLine" in text for text in errors)
    assert read(path, replace(QUOTED, **ALL_AS_TEXT), unit, value)[1] == []


# --- escapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "value"), CUTS)
@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (rb'1,"she said \"no\""', ["1", 'she said "no"']),
        (rb'"a\\",2', ["a\\", "2"]),
        (rb"a\,b,2", ["a,b", "2"]),
        (rb"1,\"2", ["1", '"2']),
        (rb'a\,"b,c', ['a,"b', "c"]),
        (rb'1,"a""b"', ["1", 'a"b']),
        (rb'1,"a"\"', ["1", 'a\\"']),
    ],
)
def test_characters_are_escaped(path, row, cells, unit, value):
    path.write_bytes(b"a,b\n" + (row + b"\n") * 3)
    for table in (CSV, QUOTED):
        escaped = replace(table, escape="\\", **ALL_AS_TEXT)
        assert read(path, escaped, unit, value) == ([cells] * 3, [])


@pytest.mark.parametrize(("unit", "value"), CUTS)
def test_escaped_line_ends_belong_to_their_record(path, unit, value):
    path.write_bytes(b'a,b\n1,x\\\ny\n2,"x\\\n\\"y"\n3,\\\n\\\n"z\n')
    escaped = replace(QUOTED, escape="\\", **ALL_AS_TEXT)
    assert read(path, escaped, unit, value) == ([["1", "x\ny"], ["2", 'x\n"y'], ["3", '\n\n"z']], [])


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030"])
def test_characters_whose_second_byte_looks_like_an_escape_are_none(path, encoding):
    text = 'a,b\n"表\u4e57",1\n"x\\"",2\n' if encoding == "shift_jis" else 'a,b\n"乗",1\n"x\\"",2\n'
    assert b"\\" in text.replace("\\", "").encode(encoding)
    path.write_bytes(text.encode(encoding))
    escaped = replace(QUOTED, escape="\\", encoding=encoding, **ALL_AS_TEXT)
    for unit, value in CUTS:
        rows, errors = read(path, escaped, unit, value)
        assert (rows[1], errors) == (['x"', "2"], [])


@pytest.mark.parametrize(("unit", "value"), CUTS)
@pytest.mark.parametrize(
    ("text", "cells"),
    [
        (b"\\N,x\n", [None, "x"]),
        (b'"x",\\N\r\n', ["x", None]),
        (b"\\N,\\N\n", [None, None]),
        (b'"\\N",\\Nx\n', ["N", "Nx"]),
        (b'"a,\\N,b",x\\N\n', ["a,N,b", "xN"]),
        (b"\\\\N,x\\,\\N\n", ["\\N", "x,N"]),
        (b'"a""b,\\N",N\n', ['a"b,N', "N"]),
    ],
)
def test_an_escaped_n_is_a_missing_value_where_it_is_the_field(path, text, cells, unit, value):
    path.write_bytes(b"a,b\n" + text * 3)
    for table in (CSV, QUOTED):
        rows, errors = read(path, replace(table, escape="\\", **ALL_AS_TEXT), unit, value)
        assert errors == []
        assert [[None if pandas.isna(cell) else cell for cell in row] for row in rows] == [cells] * 3


cells = st.text(alphabet='a",\\\n é', max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells.map("z".__add__)), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    unit=st.sampled_from(["bytes", "rows"]),
    value=st.integers(1, 30),
)
def test_what_is_written_with_escapes_is_read_again(path, rows, quoting, unit, value):
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, escapechar="\\", doublequote=False, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    escaped = replace(QUOTED, escape="\\", **ALL_AS_TEXT)
    assert read(path, escaped, unit, value) == ([list(row) for row in rows], [])


# --- any text --------------------------------------------------------------------------------------------------------

anything = st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "\\", "a", ' "', '"q\n"', "1,2\n", '\\"', '"x",'])
).map("".join)


@settings(max_examples=200, deadline=None)
@given(
    text=anything,
    unit=st.sampled_from(["bytes", "rows"]),
    value=st.integers(1, 12),
    multi_line=st.booleans(),
    escape=st.sampled_from([None, "\\"]),
)
def test_any_text_gives_the_rows_that_one_reading_gives_or_an_error(path, text, unit, value, *, multi_line, escape):
    path.write_bytes(b"a,b\n" + text.encode())
    table = TabularFormat("csv", multi_line=multi_line, escape=escape, **ALL_AS_TEXT)
    rows, errors = read(path, table, unit, value)
    if not errors:
        whole = pandas.read_csv(path, dtype=str, index_col=False, keep_default_na=False, escapechar=escape)
        assert rows == whole.to_numpy().tolist()
