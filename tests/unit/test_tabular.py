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
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longshore_coordinator.enumerate import cut
from longshore_host import tabular
from longshore_host.tabular import SliceError, load
from longshore_protocol.errors import DATA_ERROR
from longshore_protocol.job import Input, Job, MiniBatchSize, Output, TabularFormat

CSV, LINES, PARQUET = TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")
few = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("table") / "rows"


def read_all(path: Path, format: TabularFormat, unit: str, value: int) -> pandas.DataFrame:
    """Return the table that all slices together make; check each slice on the way."""
    inputs = (Input("rows", (str(path),), tabular=format),)
    output = Output("summary_only", "/out")
    job = Job("step", "1", "/run", inputs, MiniBatchSize(unit, value), output, "/code", "main.py")
    frames = []
    for each in cut(job):
        frame = load(json.loads(each.payload), format)
        assert list(frame.index) == list(range(len(frame)))
        assert each.items in (None, len(frame))
        if unit == "rows" and each.items is not None:
            assert 0 < len(frame) <= value
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def read_one(path: Path, data: bytes, format: TabularFormat = CSV) -> pandas.DataFrame:
    path.write_bytes(data)
    return load({"path": str(path), "start": 0, "end": len(data)}, format)


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


DECLARED = {  # of each type: the column's texts, which pandas would read in another way in some cut, and its values
    "datetime64[ns]": (["2011-03-05", "", "2011-10-20T01:02:03.5"], ["2011-03-05", None, "2011-10-20 01:02:03.5"]),
    "datetime64[ns, UTC]": (["2011-03-05", "2011-10-20T02:00+02:00"], ["2011-03-05T00Z", "2011-10-20T00Z"]),
    "Int64": (["1541815603606036481", "", "1.0", "-3"], [1541815603606036481, None, 1, -3]),
    "int64": (["1541815603606036481", "2.0", "1e3"], [1541815603606036481, 2, 1000]),
    "int8": (["-128", "127", "1.0"], [-128, 127, 1]),
    "uint64": (["18446744073709551615", "1.0", "2"], [18446744073709551615, 1, 2]),
    "float64": (["1", "", "1e5", "0.30000000000000004"], [1.0, None, 100000.0, 0.30000000000000004]),
    "boolean": (["true", "", "False", "1"], [True, None, False, True]),
    "bool": (["True", "0", "false"], [True, False, False]),
    "str": (["007", "1e5", "true", "", "x"], ["007", "1e5", "true", None, "x"]),
    "string": (["007", "1e5", "true", "", "x"], ["007", "1e5", "true", None, "x"]),
    "category": (["007", "1.0", "x", ""], ["007", "1.0", "x", None]),
}


def written(path, texts, as_jsonl):
    if as_jsonl:
        rows = [{"n": number, "x": text or None} for number, text in enumerate(texts)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("n,x\n" + "".join(f"{number},{text}\n" for number, text in enumerate(texts)))


@pytest.mark.parametrize("format", [CSV, LINES], ids=lambda each: each.format)
@pytest.mark.parametrize(("kind", "column"), DECLARED.items(), ids=DECLARED)
@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_what_a_value_of_a_declared_type_means_does_not_depend_on_the_cut(path, format, kind, column, rows):
    texts, values = column
    written(path, texts, format is LINES)
    declared = replace(format, column_types={"x": kind})
    frame = read_all(path, declared, "rows", rows)
    times = "datetime" in kind
    wanted = [None if each is None else pandas.Timestamp(each) if times else each for each in values]
    assert [None if pandas.isna(each) else each for each in frame["x"].tolist()] == wanted
    if kind != "category":
        assert frame["x"].dtype == read_all(path, declared, "rows", 9)["x"].dtype


LONG = 1541815603606036481  # an integer that no float is
TEXTS = (
    "",
    "1",
    "1.0",
    "007",
    "-1",
    "1e3",
    "1.5",
    "300",
    "NA",
    "true",
    "x",
    str(LONG),
    "2011-05-03",
    "03/05/2011",
    "0",
)
KINDS = (
    "int64",
    "Int64",
    "int8",
    "uint64",
    "float64",
    "float32",
    "bool",
    "boolean",
    "str",
    "category",
    "datetime64[ns]",
)


@few
@given(texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5), kind=st.sampled_from(KINDS))
@example(texts=["", "true"], kind="float64")
@example(texts=["", "false", "0"], kind="Int64")
def test_a_mini_batch_has_the_values_of_its_rows_alone_or_fails_as_one_of_them_does(path, texts, kind):
    declared = TabularFormat("csv", column_types={"x": kind})

    def read(some):
        text = "n,x\n" + "".join(f"0,{each}\n" for each in some)
        try:
            values = read_one(path, text.encode(), declared)["x"].tolist()
        except SliceError as error:
            return str(error).partition(" in column ")[2]
        return [None if pandas.isna(each) else each for each in values]

    alone = [read([text]) for text in texts]
    failed = [each for each in alone if isinstance(each, str)]
    assert read(texts) == (failed[0] if failed else [value for [value] in alone])


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_form_of_times_that_a_dataset_states_is_the_reading_of_each_mini_batch(path, rows):
    path.write_text("id;date\n1;03/05/2011\n2;20/10/2011\n3;04/08/2011\n")
    types, forms = {"date": "datetime64[ns]"}, {"date": "%d/%m/%Y"}
    stated = TabularFormat("csv", separator=";", column_types=types, date_formats=forms)
    assert [f"{each:%Y-%m-%d}" for each in read_all(path, stated, "rows", rows)["date"]] == [
        "2011-05-03",
        "2011-10-20",
        "2011-08-04",
    ]
    said = failure({"path": str(path), "start": 21, "end": 99}, replace(stated, date_formats={}))
    assert said == (
        f'The file "{path}" could not be read as csv: the record at byte 21 has "20/10/2011" in column "date", which '
        'is not a time in ISO 8601; state its form in dateFormats, such as "%d/%m/%Y".'
    )


INTEGERS = {
    "csv, beside a blank": (CSV, f"x,y\n{LONG},1\n,2\n"),
    "csv, beyond 64 bits": (CSV, f"x,y\n{LONG}\n{LONG}000000,1\n"),
    "jsonl, beside a null": (LINES, f'{{"x": {LONG}}}\n{{"x": null}}\n'),
    "jsonl, beside a row without it": (LINES, f'{{"x": {LONG}}}\n{{"y": 1}}\n'),
    "jsonl, beside a float": (LINES, f'{{"x": {LONG}}}\n{{"x": 0.5}}\n'),
}
EDGE = 2**53 + 1  # the first integer that no float is: as one, it is the last that is


@pytest.mark.parametrize("number", [LONG, EDGE, -EDGE, EDGE + 2], ids=["long", "edge", "below", "next"])
@pytest.mark.parametrize(("format", "text"), INTEGERS.values(), ids=INTEGERS.keys())
def test_integers_of_inferred_columns_keep_their_digits(path, format, text, number):
    assert read_one(path, text.replace(str(LONG), str(number)).encode(), format)["x"].tolist()[0] == number


@pytest.mark.parametrize("number", [EDGE, -EDGE])
@pytest.mark.parametrize("kind", ["int64", "int", "Int64"])
def test_integers_of_declared_columns_keep_their_digits_beside_one_that_is_written_as_a_float(path, number, kind):
    declared = replace(CSV, column_types={"x": kind})
    assert read_one(path, f"x\n{number}\n1.0\n".encode(), declared)["x"].tolist() == [number, 1]


HUGE = 2**63  # which pandas reads as an integer only if no negative one and no missing value is in its column
GIVEN_UP = {
    "a missing value behind it": (CSV, f"{HUGE}\nNA\n", [HUGE, None]),
    "a missing value before it": (CSV, f"null\n{HUGE}\n", [None, HUGE]),
    "a quoted blank": (CSV, f'{HUGE}\n""\n', [HUGE, None]),
    "a text that means a missing value": (replace(CSV, na_values=("none",)), f"{HUGE}\nnone\n", [HUGE, None]),
    "a negative integer": (CSV, f"{HUGE}\n-1\n", [HUGE, -1]),
    "a negative integer and a missing value": (CSV, f"-1\n{HUGE}\nNA\n", [-1, HUGE, None]),
    "a text": (CSV, f"{HUGE}\nash\nNA\n", [str(HUGE), "ash", None]),
    "a text that is not missing here": (replace(CSV, keep_default_na=False), f"{HUGE}\nNA\n", [str(HUGE), "NA"]),
}


@pytest.mark.parametrize(("format", "text", "wanted"), GIVEN_UP.values(), ids=GIVEN_UP.keys())
def test_missing_values_beside_huge_integers_are_missing(path, format, text, wanted):
    found = read_one(path, f"x\n{text}".encode(), format)["x"].tolist()
    assert [None if pandas.isna(each) else each for each in found] == wanted


@pytest.mark.parametrize("others", ["", "0.5", "-1", "18446744073709551615"], ids=lambda text: text or "none")
def test_integers_keep_their_digits_beside_those_of_another_file_of_the_mini_batch(path, others):
    second = path.with_name("more")
    path.write_text(f"x\n{LONG}\n")
    second.write_text(f"x,y\n{others},1\n" if others else "x\n")
    path.write_text(f"x,y\n{LONG},1\n" if others else f"x\n{LONG}\n")
    pieces = [{"path": str(each), "start": 0, "end": 99} for each in (path, second)]
    found = load({"pieces": pieces}, CSV)["x"].tolist()
    assert found == [LONG, *([float(others) if "." in others else int(others)] if others else [])]


@pytest.mark.parametrize("number", [LONG, EDGE, -EDGE])
@pytest.mark.parametrize("kind", [None, "Int64", "string"])
def test_integers_of_parquet_keep_their_digits_beside_nulls(path, kind, number):
    pyarrow.parquet.write_table(pyarrow.table({"x": [number, None]}), path)
    declared = replace(PARQUET, column_types={"x": kind} if kind else {})
    found = load({"path": str(path), "row_groups": [0, 1], "rows": None}, declared)["x"].tolist()
    assert found[0] == (str(number) if kind == "string" else number)
    assert pandas.isna(found[1])


NESTED = {
    "in a list": ([[EDGE, None], [1]], lambda found: found[0][0]),
    "in lists of lists": ([[[1], [EDGE, None]]], lambda found: found[0][1][0]),
    "in a structure": ([{"k": EDGE}, {"k": None}], lambda found: found[0]["k"]),
    "in a list of a structure": ([{"k": [None, -EDGE]}], lambda found: -found[0]["k"][1]),
    "in structures of a list": ([[{"k": EDGE}, {"k": None}]], lambda found: found[0][0]["k"]),
    "in a map": (pyarrow.array([[("a", EDGE), ("b", None)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
                 lambda found: found[0][0][1]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "first"), NESTED.values(), ids=NESTED)
def test_integers_of_parquet_keep_their_digits_beside_nulls_within_a_value(path, values, first):
    pyarrow.parquet.write_table(pyarrow.table({"x": values}), path)
    found = load({"path": str(path), "row_groups": [0, 1], "rows": None}, PARQUET)["x"].tolist()
    assert (first(found), type(first(found))) == (EDGE, int)


def test_small_integers_beside_nulls_within_a_value_are_floats_as_ever(path):
    pyarrow.parquet.write_table(pyarrow.table({"x": [[2**53 - 1, None]]}), path)
    (found,) = load({"path": str(path), "row_groups": [0, 1], "rows": None}, PARQUET)["x"].tolist()
    assert found.dtype == float


@pytest.mark.parametrize("values", [[2, 3], [2, None]], ids=["whole", "with a null"])
def test_columns_of_one_name_are_read_unless_one_may_be_bent(path, values):
    pyarrow.parquet.write_table(pyarrow.table([pyarrow.array(values), pyarrow.array([4, 5])], names=["a", "a"]), path)
    piece = {"path": str(path), "row_groups": [0, 1], "rows": None}
    if None not in values:
        assert load(piece, PARQUET).to_numpy().tolist() == [[2, 4], [3, 5]]
    else:
        assert 'two of its columns are called "a", and one has missing values' in failure(piece, PARQUET)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e999999"])
@pytest.mark.parametrize("kind", ["float64", "float", "Float64", "float32"])
def test_a_number_beyond_all_floats_is_refused_and_what_is_written_as_infinite_is_not(path, text, kind):
    declared = replace(CSV, column_types={"x": kind})
    assert read_one(path, b"x\ninf\n-Infinity\n1\n", declared)["x"].tolist() == [float("inf"), -float("inf"), 1.0]
    path.write_text(f"x\n1\n{text}\n")
    assert f'has "{text}" in column "x", which is ' in failure({"path": str(path), "start": 0, "end": 99}, declared)


ALIKE = {
    "the others, behind one without rows": ["a,b\n", "a,b\n1,2\n", "a,c\n3,4\n"],
    "the others, behind an empty file": ["", "a,b\n1,2\n", "a,c\n3,4\n"],
    "the last": ["a,b\n1,2\n", "a,b\n1,2\n", "a\n3\n"],
    "the second": ["a,b\n1,2\n", "b,c\n1,2\n", "a,b\n3,4\n"],
    "those around one without rows": ["a,b\n1,2\n", "x\n", "a,c\n3,4\n"],
}


@pytest.mark.parametrize("texts", ALIKE.values(), ids=ALIKE)
def test_tables_of_one_mini_batch_that_have_rows_have_the_same_columns(path, texts):
    pieces = []
    for number, text in enumerate(texts):
        file = path.with_name(f"part-{number}")
        file.write_text(text)
        pieces.append({"path": str(file), "start": 0, "end": len(text)})
    with pytest.raises(SliceError, match=r"of one mini-batch have different columns: (b, )?c|b"):
        load({"pieces": pieces}, CSV)


TOGETHER = {  # what two files of a mini-batch hold, the type of k, and what comes of it
    "categories": (CSV, ["k\nx\n", "k\ny\n"], "category", ["x", "y"]),
    "categories alike": (CSV, ["k\nx\n", "k\nx\n"], "category", ["x", "x"]),
    "nullable integers that a file lacks": (LINES, ['{"k": 1}\n', '{"z": 2}\n'], "Int64", [1, None]),
    "texts that a file lacks": (LINES, ['{"z": 2}\n', '{"k": "x"}\n'], "string", [None, "x"]),
    "times that a file lacks": (LINES, ['{"k": "2024-01-02"}\n', '{"z": 2}\n'], "datetime64[us]",
                                [pandas.Timestamp(2024, 1, 2), None]),
    "truths that a file lacks": (LINES, ['{"k": true}\n', '{"z": 2}\n'], "boolean", [True, None]),
}  # fmt: skip


@pytest.mark.parametrize(("format", "texts", "kind", "wanted"), TOGETHER.values(), ids=TOGETHER)
def test_a_declared_type_holds_for_files_together_as_for_one(path, format, texts, kind, wanted):
    declared, pieces = replace(format, column_types={"k": kind}), []
    for number, text in enumerate(texts):
        file = path.with_name(f"part-{number}")
        file.write_text(text)
        pieces.append({"path": str(file), "start": 0, "end": len(text)})
    found = load({"pieces": pieces}, declared)["k"]
    assert found.dtype == kind
    assert [None if pandas.isna(each) else each for each in found.tolist()] == wanted


@pytest.mark.parametrize("kind", ["int64", "bool", "uint8", "int32", "int"])
def test_a_type_without_missing_values_refuses_files_that_lack_the_column(path, kind):
    second = path.with_name("more")
    path.write_text('{"k": 1}\n')
    second.write_text('{"z": 2}\n')
    pieces = [{"path": str(each), "start": 0, "end": 9} for each in (path, second)]
    with pytest.raises(SliceError, match=f'row 1 of all has no value in column "k", which {kind} cannot hold'):
        load({"pieces": pieces}, replace(LINES, column_types={"k": kind}))


def test_a_value_of_another_type_is_told_with_its_place(path):
    pyarrow.parquet.write_table(pyarrow.table({"x": [1, 300]}), path)
    said = failure(
        {"path": str(path), "row_groups": [0, 1], "rows": None}, replace(PARQUET, column_types={"x": "int8"})
    )
    assert said == (
        f'The file "{path}" could not be read as parquet: row 1, counted from row group 0, has 300 in column "x", '
        "which is outside of int8."
    )
    path.write_bytes(b'{"x": "1"}\n\n{"x": "one"}\n')
    said = failure({"path": str(path), "start": 0, "end": 99}, replace(LINES, column_types={"x": "int8"}))
    assert said.endswith('the record at byte 12 has "one" in column "x", which is not int8.')
    path.write_bytes(b"\xef\xbb\xbfx,y\r\n1,2\r\n\r\n,3\r\n")
    said = failure({"path": str(path), "start": 0, "end": 99}, replace(CSV, column_types={"x": "int64"}))
    assert said.endswith(
        'the record at byte 15 has no value in column "x", which int64 cannot hold; set its type to "Int64".'
    )
    path.write_bytes("x,y\n1,2\n,3\n".encode("utf-16"))
    wide = replace(CSV, column_types={"x": "int64"}, encoding="utf-16")
    assert 'row 1, counted from byte 0, has no value in column "x"' in failure(
        {"path": str(path), "start": 0, "end": 99}, wide
    )


COUNTRIES = b"id,country\n1,NA\n2,null\n3,\n4,-\n5,DE\n"
MISSING = {
    "pandas' own": ({}, [None, None, None, "-", "DE"]),
    "further ones": ({"na_values": ["-"]}, [None, None, None, None, "DE"]),
    "none": ({"keep_default_na": False}, ["NA", "null", "", "-", "DE"]),
    "stated ones only": ({"keep_default_na": False, "na_values": ["-"]}, ["NA", "null", "", None, "DE"]),
    "blanks only": ({"keep_default_na": False, "na_values": [""]}, ["NA", "null", None, "-", "DE"]),
}


@pytest.mark.parametrize("types", [{}, {"country": "str"}, {"country": "string"}, {"country": "object"}], ids=str)
@pytest.mark.parametrize(("options", "wanted"), MISSING.values(), ids=MISSING.keys())
@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_dataset_states_which_texts_are_missing_values(path, types, options, wanted, rows):
    path.write_bytes(COUNTRIES)
    found = read_all(path, TabularFormat("csv", column_types=types, **options), "rows", rows)["country"]
    assert [None if pandas.isna(each) else each for each in found] == wanted


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("kind", ["float64", "Float64", "Int64", "str", None])
def test_a_number_that_means_a_missing_value_does_so_however_it_is_written(path, kind, rows):
    path.write_bytes(b"n,x\n1,-9\n2,-9.0\n3,\n4,5\n5,-9e0\n6,-9.00\n")
    types = {"x": kind} if kind else {}
    found = read_all(path, TabularFormat("csv", column_types=types, na_values=["-9"]), "rows", rows)["x"]
    wanted = [None, None, None, "5" if kind == "str" else 5, None, None]
    assert [None if pandas.isna(each) else each for each in found] == wanted


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
    wanted = ["str", "float32", "datetime64[ns]", "datetime64[s]", "datetime64[ns, UTC]"]
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
    assert "choose one of one character" in said


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


def failure(slice, format) -> str:
    with pytest.raises(SliceError) as caught:
        load(slice, format)
    assert caught.value.category == DATA_ERROR
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize(
    ("rows", "at"), [(b"1,2,3\n", 4), (b"1,2,3\n1,2\n", 4), (b"1,2\n1,2,3", 8), (b'"\n","1"\n1,2,3', 12)]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_row_with_too_many_fields_is_an_error_that_says_where_it_is(path, rows, at, mark):
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


def test_a_line_that_is_no_dict_is_told_with_its_byte(path):
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
