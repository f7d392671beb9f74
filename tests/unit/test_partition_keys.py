"""Keys of partitions: which values make one key, and which are refused."""

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pandas
import pyarrow.parquet
import pytest
from enumerated import CSV, LINES, PARQUET, groups, job, rows, write

from longshore_coordinator.enumerate import InputError, cut
from longshore_host.tabular import SliceError, load
from longshore_protocol import slices
from longshore_protocol.job import TabularFormat


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", "02"], None, [1, 2]),
        (["1", "2.5"], None, [1.0, 2.5]),
        (["1", "x"], None, ["1", "x"]),
        (["1", "1.5", "-0.0", "0.0"], None, ["1", "1.5", "-0.0", "0.0"]),  # two of them are one float
        (["1.50", "2.5"], None, ["1.50", "2.5"]),
        (["1", "1e3"], None, ["1", "1e3"]),
        (["0.1", "1541815603606036481"], None, ["0.1", "1541815603606036481"]),  # no float
        (["007", "x"], None, ["007", "x"]),
        (["true", "false"], None, [True, False]),
        (["true", "True"], None, ["true", "True"]),
        (["true", "1"], None, ["true", "1"]),
        (["NA", "null", "x", ""], None, [None, "x"]),
        (["1", "2"], "string", ["1", "2"]),
        (["1", "1.0", " 2"], "int64", [1, 2]),
        (["0.1", "0.5"], "float32", [0.10000000149011612, 0.5]),
        (["true", "False"], "boolean", [True, False]),
        (["2026-01-31", "2026-02-01"], "datetime64[ns]", [datetime(2026, 1, 31), datetime(2026, 2, 1)]),
    ],
)
def test_keys_of_a_csv_have_the_type_of_their_column(tmp_path, texts, kind, values):
    write(tmp_path, a="k\n" + "\n".join(texts))
    typed = TabularFormat("csv", column_types={"k": kind} if kind else {})
    found = [json.loads(each.payload)["partition"] for each in cut(job(rows(tmp_path, typed), keys=("k",)))]
    assert [slices.values(each)["k"] for each in found] == values


WHOLE = ["int64", "Int64", "i8", "<i4", "u1", "UInt8", "b", "int64[pyarrow]", "Sparse[int64]"]
KINDS = {  # of one column, and the values that are one key
    "integers": (WHOLE, [1, "1", "01", 1.0]),
    "floats": (["float64", "f8", "Float64", "double[pyarrow]", "Sparse[float64]"], [0.5, "0.5", "0.50", "5e-1"]),
    "short floats": (["float32", "f4", "f", "Float32", "float[pyarrow]"], [0.1, "0.1", "0.10"]),
    "truths": (["bool", "b1", "boolean", "bool[pyarrow]"], [True, "true", "TRUE", 1]),
    "texts": (["str", "string", "U5", "string[pyarrow]", "string[python]"], [7, "7"]),
    "times": (["datetime64[ns]", "datetime64[us]", "datetime"], ["2024-01-02", "20240102", "2024-01-02T00:00"]),
}  # fmt: skip
ONE_KEY = [(kind, values) for kinds, values in KINDS.values() for kind in kinds]


@pytest.mark.parametrize(("kind", "values"), ONE_KEY, ids=[kind for kind, _ in ONE_KEY])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_values_that_a_type_makes_one_are_one_key_whatever_the_type_is_called(tmp_path, kind, values, form):
    texts = [json.dumps({"k": each}) for each in values] if form == "jsonl" else ["k", *map(str, values)]
    write(tmp_path, a="\n".join(texts))
    typed = TabularFormat(form, column_types={"k": kind})
    ((key, found),) = groups(job(rows(tmp_path, typed), keys=("k",)))
    assert found["k"] == [key["k"]] * len(values)


@pytest.mark.parametrize("kind", ["string", "float64", "str", "Float64", "double[pyarrow]"])
def test_keys_of_parquet_are_the_cells_of_their_declared_type(tmp_path, kind):
    pandas.DataFrame({"k": [1, 2, 1]}).to_parquet(tmp_path / "a")
    found = groups(job(rows(tmp_path, replace(PARQUET, column_types={"k": kind})), keys=("k",)))
    assert [cells["k"] for _, cells in found] == [[key["k"]] * len(cells["k"]) for key, cells in found]
    assert [type(key["k"]) for key, _ in found] == [str if "str" in kind else float] * 2


@pytest.mark.parametrize(
    "kind", ["complex128", "timedelta64[ns]", "period[M]", "S3", "interval[int64]", "date32[day][pyarrow]"]
)
def test_a_type_whose_values_are_no_keys_is_refused(tmp_path, kind):
    write(tmp_path, a="k\n1\n1.0\n")
    with pytest.raises(InputError, match=r"for one of the partitionKeys, .* choose another type, such as string"):
        list(cut(job(rows(tmp_path, TabularFormat("csv", column_types={"k": kind})), keys=("k",))))


LONG = 1541815603606036480


@pytest.mark.parametrize(
    "texts",
    [
        [str(LONG + number) for number in range(3)],
        [str(2**64 - 1 - number) for number in range(3)],
        ["1234567890123456789012345", "1234567890123456789012346", "7"],
        ["-9223372036854775808", "9223372036854775807"],
        [f"{LONG}.0", str(LONG), str(LONG + 1)],
        ["007", "7x"],
        ["1", "1.25", "x"],
        ["true", "yes"],
        ["1e5", "100000.0"],
        ["NA", "N/A", "nothing"],
        ["", "a"],
    ],
)
@pytest.mark.parametrize("settings", [{}, {"keep_default_na": False}, {"multi_line": True}])
def test_keys_of_a_csv_are_the_cells_of_their_rows(tmp_path, texts, settings):
    write(tmp_path, a="k,n\n" + "".join(f"{text},{number}\n" for number, text in enumerate(texts * 2)))
    found = groups(job(rows(tmp_path, TabularFormat("csv", **settings)), keys=("k",)))
    missing = settings.get("keep_default_na", True)
    kept = [text for text in texts if not (missing and text in ("NA", "N/A", ""))]
    assert len(found) == len(kept) + (len(kept) < len(texts))
    assert sorted(n for _, table in found for n in table["n"]) == list(range(2 * len(texts)))
    for key, table in found:
        for cell, n in zip(table["k"], table["n"], strict=True):
            assert cell == key["k"] or (key["k"] is None and pandas.isna(cell))
            assert key["k"] is None or str(key["k"]) == texts[n % len(texts)]
            assert type(cell) in (type(key["k"]), float)


def test_a_key_of_any_length_is_read(tmp_path):
    long = "x, " * 50_000
    write(tmp_path, a=f'k,n\n"{long}",1\ny,"{long}"\n"{long}",3\n')
    assert [(key["k"], len(table["n"])) for key, table in groups(job(rows(tmp_path), keys=("k",)))] == [
        (long, 2),
        ("y", 1),
    ]
    (tmp_path / "a").write_text(f'k,n\n"{long}",1\n"{long}",1,2\n')
    [each] = cut(job(rows(tmp_path), value=10**6))
    with pytest.raises(SliceError, match="has 3 fields, and the header has 2"):
        load(json.loads(each.payload), CSV)


@pytest.mark.parametrize("separator", ["::", "||", "\u00a3", "<>"])
def test_quoted_keys_are_those_of_cells_whatever_the_length_of_the_separator(tmp_path, separator):
    cells = ["x", f"a{separator}b", 'say "hi"', "x"]
    quoted = ['"' + each.replace('"', '""') + '"' for each in cells]
    write(tmp_path, a=f'"k"{separator}n\n' + "".join(f"{each}{separator}1\n" for each in quoted))
    found = groups(job(rows(tmp_path, replace(CSV, separator=separator)), keys=("k",)))
    assert [(key["k"], rows["k"]) for key, rows in found] == [
        ("x", ["x", "x"]),
        (cells[1], [cells[1]]),
        (cells[2], [cells[2]]),
    ]


def test_escapes_in_keys_are_those_of_cells(tmp_path):
    (tmp_path / "a").write_bytes(b'k,n\n\\N,1\nN,2\n"a\\"b",3\na\\,b,4\n\\N,5\n')
    found = groups(job(rows(tmp_path, TabularFormat("csv", escape="\\")), keys=("k",)))
    assert [(key["k"], table["n"]) for key, table in found] == [(None, [1, 5]), ("N", [2]), ('a"b', [3]), ("a,b", [4])]
    assert all(table["k"] == [key["k"]] * len(table["k"]) for key, table in found if key["k"] is not None)


def test_keys_of_paths_have_the_types_of_their_columns(tmp_path):
    write(tmp_path, **{"y=1__a": "n\n1\n", "y=01__a": "n\n2\n", "y=2__a": "n\n3\n"})
    typed = TabularFormat("csv", column_types={"year": "int64"})
    found = groups(job(rows(tmp_path, typed, "y={year}/*"), keys=("year",)))
    assert found == [({"year": 1}, {"n": [2, 1], "year": [1, 1]}), ({"year": 2}, {"n": [3], "year": [2]})]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('k,n\n1,"a\nb",\n', "the record at byte 4 has no keys: it ends inside a quoted field: set supportMultiLine"),
        ("k,n\n1,2\r3,4\n", "the record at byte 4 has no keys: it has a carriage return, as its byte 4"),
        ("k,n\r1,2\r3,4\r", "it has a carriage return, as its byte 4"),
        ('k,"n\n1,2\n', "it ends inside a quoted field: set supportMultiLine"),
    ],
)
def test_keys_are_not_taken_from_halves_of_records(tmp_path, text, cause):
    (tmp_path / "a").write_bytes(text.encode())
    with pytest.raises(InputError) as caught:
        list(cut(job(rows(tmp_path / "a"), keys=("k",))))
    assert f'The file "{tmp_path}/a"' in str(caught.value)
    assert cause in str(caught.value)


def test_truth_is_no_number(tmp_path):
    write(tmp_path, a='{"k": true, "n": 1}\n{"k": 1, "n": 2}\n{"k": NaN, "n": 3}\n{"k": NaN, "n": 4}\n{"k": 1.0}\n')
    found = [json.loads(each.payload)["partition"]["k"] for each in cut(job(rows(tmp_path, LINES), keys=("k",)))]
    assert [(type(each), each) for each in found] == [(bool, True), (int, 1), (type(None), None)]


def parquet(folder, name, values, kind=None):
    pyarrow.parquet.write_table(pyarrow.table({"k": pyarrow.array(values, type=kind)}), folder / name)


def test_truth_is_no_number_in_parquet_either(tmp_path):
    parquet(tmp_path, "a", [True, False])
    parquet(tmp_path, "b", [1, 0])
    found = groups(job(rows(tmp_path, PARQUET), keys=("k",)))
    assert [key["k"] for key, _ in found] == [True, False, 1, 0]
    assert [cells["k"] for _, cells in found] == [[True], [False], [1], [0]]


NO_KEYS = {
    "times of nanoseconds": ([1, 2], pyarrow.timestamp("ns"), "is 1970-01-01 00:00:00.000000001; times with"),
    "such times in a zone": (
        [1, 2],
        pyarrow.timestamp("ns", "UTC"),
        "times with nanoseconds are not supported as keys",
    ),
    "structures": ([{"a": 1}], None, '"k" is a list or an object; a key must be a single value'),
    "lists": ([[1], [2]], None, '"k" is a list or an object; a key must be a single value'),
    "maps": (
        [[("a", 1)]],
        pyarrow.map_(pyarrow.string(), pyarrow.int64()),
        '"k" is a list or an object; a key must be a single value',
    ),
}


@pytest.mark.parametrize(("values", "kind", "told"), NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_key_is_reported_with_its_column(tmp_path, values, kind, told):
    parquet(tmp_path, "a", values, kind)
    with pytest.raises(InputError, match=told):
        list(cut(job(rows(tmp_path, PARQUET), keys=("k",))))


def test_times_of_whole_microseconds_are_keys_whatever_their_unit(tmp_path):
    parquet(tmp_path, "a", [1000, 2000, 1000], pyarrow.timestamp("ns"))
    found = groups(job(rows(tmp_path, PARQUET), keys=("k",)))
    assert [(key["k"].microsecond, len(cells["k"])) for key, cells in found] == [(1, 2), (2, 1)]


def test_json_lines_and_parquet_keep_their_types(tmp_path):
    write(tmp_path, a='{"k": true, "n": 1}\n{"n": 2}\n{"k": "x", "n": 3}\n{"k": true, "n": 4}\n')
    assert [(key["k"], table["n"]) for key, table in groups(job(rows(tmp_path, LINES), keys=("k",)))] == [
        (True, [1, 4]),
        (None, [2]),
        ("x", [3]),
    ]
    keys = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 1), None]
    table = pandas.DataFrame(
        {"day": keys, "cost": [Decimal("1.10"), Decimal("2.00"), Decimal("1.10"), None], "n": range(4)}
    )
    table.to_parquet(tmp_path / "a", row_group_size=3)
    found = groups(job(rows(tmp_path, PARQUET), keys=("day", "cost")))
    assert [(key["day"], key["cost"], table["n"]) for key, table in found] == [
        (date(2026, 1, 1), Decimal("1.10"), [0, 2]),
        (date(2026, 1, 2), Decimal("2.00"), [1]),
        (None, None, [3]),
    ]
