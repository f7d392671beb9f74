"""Slices of tables: together they are the table, whatever the cut."""

import csv
import datetime
import errno
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_tables import CSV, LINES, PARQUET, failure, few, read_all, read_one

from longshore_host import tabular
from longshore_host.tabular import SliceError, load
from longshore_protocol.job import TabularFormat


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("table") / "rows"


def csv_bytes(rows, *, newline: str, quoting: int) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=newline, quoting=quoting).writerows([["a", "b"], *rows])
    return text.getvalue().encode()


plain = st.text(alphabet='ab",; 1é', max_size=6)
broken = st.lists(st.sampled_from(["a", '"', ",", "\n", "\r\n"]), max_size=6).map("".join)


def tables(cells):
    return st.lists(st.tuples(cells, cells), min_size=1, max_size=12)


@pytest.mark.parametrize(("multi_line", "unit"), [(False, "bytes"), (False, "rows"), (True, "bytes"), (True, "rows")])
@few
@given(
    data=st.data(),
    value=st.integers(1, 40),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    has_last_newline=st.booleans(),
)
def test_the_slices_of_a_csv_are_the_csv(path, multi_line, unit, *, data, value, newline, quoting, has_last_newline):
    text = csv_bytes(data.draw(tables(broken if multi_line else plain)), newline=newline, quoting=quoting)
    path.write_bytes(text if has_last_newline else text[: -len(newline)])
    whole = pandas.read_csv(path, dtype=str, index_col=False)
    typed = TabularFormat("csv", multi_line=multi_line, column_types={"a": "str", "b": "str"})
    pandas.testing.assert_frame_equal(read_all(path, typed, unit, value), whole)


rows_of_json = st.lists(
    st.fixed_dictionaries({"id": st.integers(-9, 9), "text": st.text(alphabet='x"\n é', max_size=5)}), min_size=1
)


@pytest.mark.parametrize("unit", ["bytes", "rows"])
@few
@given(rows=rows_of_json, value=st.integers(1, 50), newline=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_the_slices_of_json_lines_are_the_lines(path, unit, rows, value, newline):
    path.write_bytes(newline.join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    found = read_all(path, LINES, unit, value)
    assert found.to_dict("records") == rows


@pytest.mark.parametrize("unit", ["bytes", "rows"])
@few
@given(count=st.integers(1, 60), group=st.integers(1, 30), value=st.integers(1, 400))
def test_the_slices_of_a_parquet_are_the_parquet(path, unit, count, group, value):
    whole = pandas.DataFrame({"a": range(count), "b": [str(number) for number in range(count)]})
    whole.to_parquet(path, row_group_size=group)
    pandas.testing.assert_frame_equal(read_all(path, PARQUET, unit, value), whole)


def test_a_slice_in_the_middle_has_the_names_of_the_header(path):
    path.write_bytes(b"id,a,a\n1,2,3\n4,5,6\n")
    found = load({"path": str(path), "start": 9, "end": 20}, CSV)
    assert found.to_dict("list") == {"id": [4], "a": [5], "a.1": [6]}


def test_a_slice_in_which_no_record_begins_has_columns_and_no_rows(path):
    path.write_bytes(b"id,a\n1,2\n")
    for start, end in ((0, 3), (3, 5), (7, 9)):
        found = load({"path": str(path), "start": start, "end": end}, CSV)
        assert list(found.columns) == ["id", "a"]
        assert len(found) == 0


def test_columns_without_header_are_numbered_from_one(path):
    bare = TabularFormat("csv", header=False, separator=";", column_types={"Column2": "str"})
    path.write_bytes(b"1;01\n2;02\n")
    found = [load({"path": str(path), "start": start, "end": start + 5}, bare) for start in (0, 5)]
    assert [each.to_dict("list") for each in found] == [
        {"Column1": [1], "Column2": ["01"]},
        {"Column1": [2], "Column2": ["02"]},
    ]


def test_columns_have_their_types(path):
    types = {
        "id": "str",
        "n": "float32",
        "day": "datetime",
        "at": "datetime64[s]",
        "zoned": "datetime64[ns, UTC]",
        "absent": "int8",
        "never": "datetime",
    }
    text = str(pandas.Series(["007"], dtype="str").dtype)  # object before pandas 3
    wanted = [text, "float32", "datetime64[ns]", "datetime64[s]", "datetime64[ns, UTC]"]
    data = b"id,n,day,at,zoned\n007,1,2024-05-06,2024-05-06 07:08:09,2024-05-06T07:08:09Z\n008,2,,,\n"
    found = read_one(path, data, TabularFormat("csv", column_types=types))
    assert list(found["id"]) == ["007", "008"]
    assert [str(kind) for kind in found.dtypes] == wanted
    assert found["day"][0] == pandas.Timestamp(2024, 5, 6)
    assert pandas.isna(found["day"][1])
    line = b'{"id": "007", "n": 1, "day": "2024-05-06", "at": "2024-05-06 07:08:09", "zoned": "2024-05-06T07:08:09Z"}'
    found = read_one(path, line, TabularFormat("jsonl", column_types=types))
    assert [str(kind) for kind in found.dtypes] == wanted


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("header", [True, False])
def test_encodings_are_honoured_and_byte_order_marks_dropped(path, encoding, header):
    encoded = TabularFormat("csv", encoding=encoding, header=header)
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    found = read_one(path, (mark + "é,b\nä,1\n").encode(encoding), encoded)
    assert found.to_dict("list") == (
        {"é": ["ä"], "b": [1]} if header else {"Column1": ["é", "ä"], "Column2": ["b", "1"]}
    )


def test_a_byte_order_mark_of_utf_8_is_dropped_without_being_asked(path):
    mark = b"\xef\xbb\xbf"
    assert list(read_one(path, mark + b"a,b\n1,2\n").columns) == ["a", "b"]
    assert list(read_one(path, mark + b"a\nb\n", TabularFormat("csv", header=False))["Column1"]) == ["a", "b"]
    assert list(read_one(path, mark + b'{"a": 1}\n', LINES).columns) == ["a"]


def test_json_lines_in_utf_16_are_read(path):
    found = read_one(path, '{"a": "é"}\n{"a": "x"}\n'.encode("utf-16"), TabularFormat("jsonl", encoding="utf-16"))
    assert list(found["a"]) == ["é", "x"]


@pytest.mark.parametrize("kind", [None, "float64", "float32"])
def test_separators_of_several_bytes_leave_all_digits(path, kind):
    wide = TabularFormat("csv", separator="§", column_types={"a": kind} if kind else {})
    path.write_text("a§b\n0.30000000000000004§1\n§2\n")
    found = read_all(path, wide, "rows", 9)
    assert found["a"].tolist()[0] == (0.30000001192092896 if kind == "float32" else 0.30000000000000004)
    assert found["b"].tolist() == [1, 2]


def test_separators_may_have_several_characters(path):
    assert read_one(path, b"a||b\n1||2\n", TabularFormat("csv", separator="||")).to_dict("list") == {"a": [1], "b": [2]}


LONG_SEPARATORS = {
    "a separator in quotes": ("::", 'a::b\n"x::y"::z\n', {}, [["x::y", "z"]]),
    "quotes in quotes": ("::", 'a::b\n"say ""hi"""::z\n', {}, [['say "hi"', "z"]]),
    "a quoted header": ("::", '"a"::"b"\nx::y\n', {}, [["x", "y"]]),
    "a quoted number": ("||", 'a||b\n"007"||"1.50"\n', {"infer_types": False}, [["007", "1.50"]]),
    "a line end in quotes": ("||", 'a||b\n"x\ny"||z\nu||v\n', {"multi_line": True}, [["x\ny", "z"], ["u", "v"]]),
    "quotes within a field": ("::", 'a::b\n3.5"::2"\n', {}, [['3.5"', '2"']]),
    "an escaped quote": ("::", 'a::b\n"x\\"::y"::z\n', {"escape": "\\"}, [['x"::y', "z"]]),
    "half a separator": ("::", "a::b\nx:y::z:\n", {}, [["x:y", "z:"]]),
    "a control character": ("::", "a::b\nx\x1fy::z\x1e\n", {}, [["x\x1fy", "z\x1e"]]),
    "letters that end with its byte": ("||", "a||b\n\u30dd||x\n", {"encoding": "shift_jis"}, [["\u30dd", "x"]]),
    "a character of two bytes": ("\u00a3", 'a\u00a3b\n"x\u00a3y"\u00a3z\n', {}, [["x\u00a3y", "z"]]),
    "one of UTF-16": ("::", 'a::b\n"x::y"::z\n', {"encoding": "utf-16"}, [["x::y", "z"]]),
}  # fmt: skip


@pytest.mark.parametrize(("separator", "text", "settings", "wanted"), LONG_SEPARATORS.values(), ids=LONG_SEPARATORS)
def test_quotes_mean_the_same_whatever_the_length_of_the_separator(path, separator, text, settings, wanted):
    declared = replace(CSV, separator=separator, **settings)
    data = text.encode(declared.encoding)
    frame = read_one(path, data, declared)
    assert (list(frame.columns), frame.to_numpy().tolist()) == (["a", "b"], wanted)
    if declared.encoding != "utf-16":
        for rows in (1, 2):
            assert read_all(path, declared, "rows", rows).to_numpy().tolist() == wanted


def test_a_separator_that_nothing_can_stand_for_is_refused_with_the_remedy(path):
    text = "a::b\n" + "".join(map(chr, [1, 2, 3, 4, 28, 29, 30, 31])) + "::x\n"
    path.write_text(text, newline="")
    said = failure({"path": str(path), "start": 0, "end": 99}, replace(CSV, separator="::"))
    assert "use a separator of one character" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", "::"])
@pytest.mark.parametrize("kind", [None, "str", "string"])
def test_a_byte_order_mark_within_a_file_is_text_whatever_the_cut(path, encoding, separator, kind):
    declared = replace(CSV, encoding=encoding, separator=separator, column_types={"a": kind} if kind else {})
    path.write_bytes(f"a{separator}b\nx{separator}1\n\ufeffa{separator}b\n\ufeffy{separator}2\n".encode(encoding))
    for unit, value in (("bytes", 10**6), ("rows", 1), ("rows", 2), ("bytes", 1)):
        assert read_all(path, declared, unit, value)["a"].tolist() == ["x", "\ufeffa", "\ufeffy"]


def test_a_header_without_rows_gives_no_rows(path):
    assert read_one(path, b"a,b").to_dict("list") == {"a": [], "b": []}
    assert len(read_one(path, b"\n")) == 0


def test_a_parquet_index_with_a_name_becomes_a_column_and_one_without_is_dropped(path):
    piece = {"path": str(path), "row_groups": [0, 1], "rows": [1, 3]}
    pandas.DataFrame({"a": [1, 2, 3]}, index=pandas.Index(["x", "y", "z"], name="key")).to_parquet(path)
    assert load(piece, PARQUET).to_dict("list") == {"key": ["y", "z"], "a": [2, 3]}
    pandas.DataFrame({"a": [1, 2, 3]}, index=["x", "y", "z"]).to_parquet(path)
    assert load(piece, PARQUET).to_dict("list") == {"a": [2, 3]}
    pandas.DataFrame({"a": [1, 2, 3]}, index=pandas.RangeIndex(3, name="n")).to_parquet(path)
    assert load(piece, PARQUET).to_dict("list") == {"a": [2, 3]}


@pytest.mark.parametrize(
    ("rows", "at"), [(b"1,2,3\n", 4), (b"1,2,3\n1,2\n", 4), (b"1,2\n1,2,3", 8), (b'"\n","1"\n1,2,3', 12)]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_row_with_too_many_fields_is_an_error_that_states_where_it_is(path, rows, at, mark):
    path.write_bytes(mark + b"a,b\n" + rows)
    quoted = TabularFormat("csv", multi_line=True)
    place = f'The file "{path}" could not be read as csv: the record at byte {at + len(mark)}'
    assert failure({"path": str(path), "start": 0, "end": 99}, quoted) == f"{place} has 3 fields, and the header has 2."
    path.write_bytes(mark + b"1,2\n" + rows)
    bare = TabularFormat("csv", header=False, multi_line=True)
    found = failure({"path": str(path), "start": 0, "end": 99}, bare)
    assert found == f"{place} has 3 fields, and the first record has 2."


def test_a_row_with_too_few_fields_lacks_the_last(path):
    frame = read_one(path, b"a,b,c\n1,2,3\n4\n")
    assert frame.isna().to_numpy().tolist() == [[False, False, False], [False, True, True]]


def test_failures_name_file_place_and_cause(path):
    path.write_bytes(b"a\nx\n\xff\n")
    piece = {"path": str(path), "start": 2, "end": 6}
    place = f'The file "{path}" could not be read as {{}}: the record at byte {{}} '
    assert failure(piece, CSV) == place.format("csv", 4) + "is not utf-8: byte 1 of it is 0xFF."
    assert failure({**piece, "start": 4}, LINES) == place.format("jsonl", 4) + "is not utf-8: byte 1 of it is 0xFF."
    assert failure({"path": str(path), "ranges": [[2, 4], [4, 6]]}, CSV).startswith(place.format("csv", 4))
    path.write_bytes(b"a\nx\nyy\n")
    found = failure(piece, TabularFormat("csv", column_types={"a": "int64"}))
    assert found == place.format("csv", 2) + 'has "x" in column "a", which is not int64.'
    assert failure(piece, LINES).startswith(place.format("jsonl", 2) + "is not JSON: Expecting value")
    path.write_bytes(b"1\n[2]\n")
    assert failure(piece, LINES) == place.format("jsonl", 2) + "is not a JSON object."
    assert failure({"path": str(path), "row_groups": [2, 3], "rows": [7, 9]}, PARQUET).startswith(
        f'The file "{path}" could not be read as parquet from row 7 of row group 2 on: ArrowInvalid: '
    )
    assert "No such file or directory" in failure({"path": "/absent", "start": 0, "end": 1}, CSV)


def test_json_lines_may_be_dicts_which_need_no_package_and_have_the_fields_of_their_lines(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = [{"a": 1, "b": [None, {"c": 0.5}]}, {"a": 10**20}, {}]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    path.write_bytes(b"".join(lines))
    dicts = replace(LINES, as_dicts=True)
    first = {"path": str(path), "start": 0, "end": len(lines[0])}
    rest = {"path": str(path), "start": len(lines[0]), "end": len(b"".join(lines))}
    assert load(first, dicts) == rows[:1]
    assert load({"pieces": [rest, first]}, dicts) == rows[1:] + rows[:1]
    told = {**first, "columns": {"day": {"date": "2026-01-02"}}}
    assert load(told, dicts) == [{**rows[0], "day": datetime.date(2026, 1, 2)}]
    assert 'the column "a" is in the file, and in partitionFormat or pathColumn too' in failure(
        {**first, "columns": {"a": 1}}, dicts
    )


def test_a_line_that_is_no_dict_is_reported_with_its_byte(path):
    path.write_bytes(b'{"a": 1}\n[1]\n')
    said = failure({"path": str(path), "start": 0, "end": 13}, replace(LINES, as_dicts=True))
    assert "the record at byte 9 is not a JSON object" in said


@pytest.mark.parametrize(("package", "format"), [("pandas", CSV), ("pandas", LINES), ("pyarrow", PARQUET)])
def test_a_missing_package_is_named(path, monkeypatch, package, format):
    path.write_bytes(b"{}\n{}\n")
    monkeypatch.setitem(sys.modules, package, None)
    piece = {"path": str(path), "start": 0, "end": 3, "row_groups": [0, 1], "rows": None}
    wanted = f'A {format.format} input needs the Python package "{package}" in the environment'
    assert failure(piece, format).startswith(wanted)


def test_a_lack_of_memory_is_no_fault_of_the_data(path, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError

    path.write_bytes(b"a\n1\n")
    monkeypatch.setattr(pandas, "read_csv", refuse)
    with pytest.raises(MemoryError):
        load({"path": str(path), "start": 0, "end": 4}, TabularFormat("csv", separator="~"))


FOR_NOW = [errno.EIO, errno.ESTALE, errno.ENOSPC, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH]


class Volume(io.RawIOBase):
    """A file on a volume that fails when it is read."""

    def __init__(self, number):
        self._error = OSError(number, os.strerror(number))

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        return offset if whence == io.SEEK_SET else 100

    def tell(self):
        return 0

    def readinto(self, _):
        raise self._error


@pytest.mark.parametrize(
    ("number", "category"),
    [*((each, "System") for each in FOR_NOW), (errno.EACCES, "DataError"), (errno.EISDIR, "DataError")],
    ids=errno.errorcode.get,
)
@pytest.mark.parametrize("format", [CSV, TabularFormat("jsonl")], ids=["csv", "jsonl"])
def test_a_volume_that_fails_for_now_is_not_the_fault_of_the_data(monkeypatch, format, number, category):
    monkeypatch.setattr(tabular, "open", lambda *_, **__: Volume(number), raising=False)
    with pytest.raises(SliceError) as caught:
        load({"path": "/in/a.csv", "start": 0, "end": 100}, format)
    assert caught.value.category == category
    assert os.strerror(number) in str(caught.value)
