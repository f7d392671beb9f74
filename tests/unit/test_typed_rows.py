"""Rows of JSON lines and Parquet: their types, and what is refused."""

import datetime
import decimal
import json
import pathlib
import sys

import numpy as np
import pandas as pd
import pytest
from rendering import FRAME, Point, lines, renderer, tables

from longshore_host.rows import SettingsError, WrongReturn
from longshore_protocol.segments import NO_VALUE

JSON_VALUES = {
    "text as it is": ("\u00e9\n", "\u00e9\n"),
    "NaN": (float("nan"), None),
    "infinity deep inside": ({"a": [1, float("inf")]}, {"a": [1, None]}),
    "numpy integer": (np.int64(3), 3),
    "numpy NaN": (np.float32("nan"), None),
    "numpy array": (np.array([1, 2]), [1, 2]),
    "numpy time": (np.datetime64("2026-01-02"), "2026-01-02"),
    "numpy keys": ({np.int64(1): 2}, {"1": 2}),
    "datetime": (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00"),
    "duration in seconds": (datetime.timedelta(minutes=1), 60.0),
    "pandas missing": ([pd.NA, pd.NaT], [None, None]),
    "pandas time": (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
    "decimal keeps its digits": (decimal.Decimal("1.10"), "1.10"),
    "path": (pathlib.PurePosixPath("/a"), "/a"),
    "named tuple": (Point(1, 2), {"x": 1, "y": 2}),
}


@pytest.mark.parametrize(("value", "expected"), JSON_VALUES.values(), ids=JSON_VALUES.keys())
def test_jsonl_of_a_value(value, expected):
    text = lines([value], "jsonl")
    assert text.count("\n") == 1
    assert json.loads(text) == expected


def test_jsonl_of_a_table_has_an_object_per_row_and_null_for_what_is_missing():
    frame = pd.DataFrame({"n": [1, 2], "x": [0.1, None], "t": pd.to_datetime(["2026-01-02", None])})
    assert lines(frame, "jsonl") == '{"n": 1, "x": 0.1, "t": "2026-01-02T00:00:00"}\n{"n": 2, "x": null, "t": null}\n'


def test_jsonl_writes_a_broken_file_name_as_json_can():
    assert json.loads(lines(["\udce9"], "jsonl")) == "\udce9"


def test_jsonl_refuses_a_value_without_json_form_by_its_place():
    with pytest.raises(WrongReturn, match=r"element 1 .* builtins\.object has no JSON form"):
        renderer("jsonl").render([1, object()])


def test_jsonl_refuses_a_table_with_two_columns_of_one_name():
    with pytest.raises(WrongReturn, match="not unique"):
        renderer("jsonl").render(pd.DataFrame([[1, 2]], columns=["a", "a"]))


PARQUET = {
    "a table without its index": (FRAME, {"name": ["a", "b c"], "score": [0.5, 2.0]}),
    "dicts, with null for a missing key": ([{"a": 1}, {"b": "x"}], {"a": [1, None], "b": [None, "x"]}),
    "named tuples": ([Point(1, 2)], {"x": [1], "y": [2]}),
    "scalars": ([1, 2], {"result": [1, 2]}),
    "rows of an array": (np.array([[1, 2]]), {"result": [[1, 2]]}),
    "NaN in dicts as null": ([{"a": 1}, {"a": float("nan")}], {"a": [1, None]}),
    "a long integer beside NaN": ([{"a": 2**60 + 1}, {"a": float("nan")}], {"a": [2**60 + 1, None]}),
    "a decimal beside NaN": (
        [{"a": decimal.Decimal("1.10")}, {"a": float("nan")}],
        {"a": [decimal.Decimal("1.10"), None]},
    ),
    "text beside NaN": ([{"a": "x"}, {"a": float("nan")}], {"a": ["x", None]}),
    "missing values of pandas": ([{"a": 1}, {"a": pd.NA}], {"a": [1, None]}),
    "nanoseconds": (
        [{"a": pd.Timestamp("2024-01-01 00:00:00.123456789")}, {"a": pd.NaT}],
        {"a": [pd.Timestamp("2024-01-01 00:00:00.123456789"), None]},
    ),
    "categories as their values": (pd.DataFrame({"c": pd.Categorical(["x", "y"])}), {"c": ["x", "y"]}),
}


@pytest.mark.parametrize(("result", "expected"), PARQUET.values(), ids=PARQUET.keys())
def test_parquet_of_a_mini_batch_is_a_whole_file(result, expected):
    table = tables(result)
    assert table.to_pydict() == expected
    assert table.schema.metadata is None


def test_parquet_refuses_a_column_of_mixed_types():
    with pytest.raises(WrongReturn, match="does not fit into Parquet columns"):
        renderer("parquet").render([1, "one"])


MIXED_TIMES = {
    "dates and times": ([datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 3)], "dates and times"),
    "with and without a zone": (
        [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)],
        "times with and without a zone",
    ),
}


@pytest.mark.parametrize(("values", "found"), MIXED_TIMES.values(), ids=MIXED_TIMES.keys())
def test_parquet_refuses_a_column_whose_times_would_change(values, found):
    for result in ([{"a": each} for each in values], pd.DataFrame({"a": pd.Series(values, dtype=object)})):
        with pytest.raises(WrongReturn, match=f'column "a" has {found}$'):
            renderer("parquet").render(result)


@pytest.mark.parametrize("value", [2**64, decimal.Decimal(1).scaleb(80), [{1: 2, "1": 3}]], ids=repr)
def test_parquet_refuses_what_it_cannot_hold(value):
    result = value if isinstance(value, list) else [{"a": value}]
    with pytest.raises(WrongReturn, match=r"^(what run\(\) returned does not fit|two keys of the dicts)"):
        renderer("parquet").render(result)


EMPTY = {
    "a column of NaN": (pd.DataFrame({"x": [None, float("nan")]}, dtype=float), "double"),
    "a column of no time": (pd.DataFrame({"x": [pd.NaT]}).astype("datetime64[us]"), "timestamp[us]"),
    "a column of no integer": (pd.DataFrame({"x": [pd.NA]}, dtype="Int64"), "int64"),
    "dicts with None": ([{"x": None}], "null"),
}


@pytest.mark.parametrize(("result", "kind"), EMPTY.values(), ids=EMPTY.keys())
def test_a_parquet_column_without_a_value_reports_it(result, kind):
    field = tables(result).schema.field("x")
    assert (str(field.type), field.metadata) == (kind, NO_VALUE)
    assert tables([{"x": 1}]).schema.field("x").metadata is None


def test_parquet_without_pyarrow_is_refused_before_the_first_mini_batch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match="needs the package pyarrow in the script's environment"):
        renderer("parquet")
