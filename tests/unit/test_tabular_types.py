"""Values of tables: types and missing values, whatever the cut."""

import json
from dataclasses import replace
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reading_tables import CSV, LINES, PARQUET, failure, few, read_all, read_one

from longshore_host.tabular import SliceError, load
from longshore_protocol.job import TabularFormat


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("table") / "rows"


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


def test_a_value_of_another_type_is_reported_with_its_place(path):
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
