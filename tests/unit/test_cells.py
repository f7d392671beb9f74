"""What the text of a cell means, for rows and partition keys alike."""

import datetime

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_protocol.cells import ISO_TIME, missing, missing_texts, read_boolean, read_float, read_integer, read_time
from longshore_protocol.job import TabularFormat


def test_missing_texts_are_those_of_pandas_unless_a_dataset_states_others():
    defaults = missing_texts(TabularFormat("csv"))
    assert {"", "NA", "null", "NaN", "None"} < defaults
    assert missing_texts(TabularFormat("csv", keep_default_na=False)) == frozenset()
    assert missing_texts(TabularFormat("csv", na_values=["-"])) == defaults | {"-"}
    assert missing_texts(TabularFormat("csv", keep_default_na=False, na_values=["-", ""])) == {"-", ""}


def test_a_number_that_means_a_missing_value_does_so_however_it_is_written():
    is_missing = missing(TabularFormat("csv", na_values=["-9", "-"]))
    assert [text for text in ("-9", "-9.0", " -9e0", "-9.00", "-", "NA", "") if not is_missing(text)] == []
    assert [text for text in ("9", "-9.5", "x-9", "--") if is_missing(text)] == []


NUMBERS = {"007": 7, " 12 ": 12, "-1": -1, "1.0": 1, "1e3": 1000, "1541815603606036481": 1541815603606036481}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=NUMBERS)
def test_texts_of_integers_are_exact(text, number):
    assert read_integer(text) == number


@pytest.mark.parametrize("text", ["", "1.5", "1_000", "0x10", "nan", "inf", "1e999999999", "one"])
def test_what_is_no_integer_is_refused(text):
    with pytest.raises(ValueError, match=r"is not an? (number|integer)"):
        read_integer(text)


@given(st.floats())
def test_floats_are_read_back(number):
    assert repr(read_float(repr(number))) == repr(number)


@pytest.mark.parametrize("text", ["", "1_000", "0x10", "1,5", "one", "True"])
def test_what_is_no_float_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a (floating-point )?number"):
        read_float(text)


def test_truth_is_read_in_any_case_and_never_guessed():
    assert [read_boolean(text) for text in ("true", "TRUE", " 1 ", "1.0")] == [True] * 4
    assert [read_boolean(text) for text in ("false", "False", "0")] == [False] * 3
    for text in ("", "yes", "2", "t"):
        with pytest.raises(ValueError, match="is neither true nor false"):
            read_boolean(text)


DAY = (2024, 5, 6)
TIMES = {
    "2024-05-06": datetime.datetime(*DAY),
    "20240506": datetime.datetime(*DAY),
    "2024-05-06T07": datetime.datetime(*DAY, 7),
    "2024-05-06 07:08": datetime.datetime(*DAY, 7, 8),
    "20240506T070809": datetime.datetime(*DAY, 7, 8, 9),
    "2024-05-06 07:08:09.5": datetime.datetime(*DAY, 7, 8, 9, 500_000),
    "2024-05-06 07:08:09.123456000": datetime.datetime(*DAY, 7, 8, 9, 123_456),
    "2024-05-06T07:08:09Z": datetime.datetime(*DAY, 7, 8, 9, tzinfo=datetime.UTC),
    "2024-05-06 07:08 -02:30": datetime.datetime(*DAY, 9, 38, tzinfo=datetime.UTC),
    "20240506T0708+0200": datetime.datetime(*DAY, 5, 8, tzinfo=datetime.UTC),
}


@pytest.mark.parametrize(("text", "time"), TIMES.items(), ids=TIMES)
def test_a_time_in_iso_8601_has_one_reading_which_is_that_of_pandas(text, time):
    assert read_time(text) == time
    assert (read_time(text).tzinfo is None) == (time.tzinfo is None)
    assert pandas.Timestamp(text).floor("us") == pandas.Timestamp(time)


@pytest.mark.parametrize(
    "text",
    ["03/05/2011", "2011/05/03", "2024", "2024-05", "now", "today", "", "2024-13-01", "2024-02-30", "1714979289"],
)
def test_what_is_not_a_whole_date_in_iso_8601_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        read_time(text)


def test_a_time_that_would_be_rounded_is_refused():
    with pytest.raises(ValueError, match="more precise than a microsecond"):
        read_time("2024-05-06 07:08:09.123456789")


def test_a_stated_form_is_the_only_one():
    assert read_time("03/05/2011", "%d/%m/%Y") == datetime.datetime(2011, 5, 3)
    with pytest.raises(ValueError, match="does not match format"):
        read_time("2011-05-03", "%d/%m/%Y")


@given(st.datetimes(timezones=st.none() | st.just(datetime.UTC)))
def test_what_python_writes_in_iso_8601_is_read_back(time):
    assert ISO_TIME.fullmatch(time.isoformat())
    assert read_time(time.isoformat()) == time
