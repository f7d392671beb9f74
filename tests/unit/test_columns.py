"""Values of declared types: exactly what the type says, or refused with the value, the reason and the remedy."""

import datetime
import decimal
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_host.columns import BadValue, convert, inferred

LONG = 1541815603606036481
BERLIN = "datetime64[ns, Europe/Berlin]"
NOON = pd.Timestamp("2024-07-01 12:00", tz="Europe/Berlin")


def column(values, dtype=object):
    return pd.Series(values, dtype=dtype, name="x", index=range(5, 5 + len(values)))


def plain(values):
    return [None if pd.isna(each) else each for each in values.tolist()]


CONVERTED = {
    "integers from texts": ("int64", ["007", " 12 ", "-1", "1.0", "1e3", str(LONG)], [7, 12, -1, 1, 1000, LONG]),
    "integers from JSON": ("int16", [True, 1.0, 2, "3"], [1, 1, 2, 3]),
    "integers from decimals": ("int64", [decimal.Decimal(LONG), decimal.Decimal("2.0")], [LONG, 2]),
    "integers with missing values": ("Int64", [LONG, None, math.nan], [LONG, None, None]),
    "the largest unsigned integer": ("UInt64", [2**64 - 1, None], [2**64 - 1, None]),
    "floats": ("float64", ["1", 2, None, "1e-3", "inf"], [1.0, 2.0, None, 0.001, math.inf]),
    "booleans": ("bool", ["TRUE", "false", 1, False, "0"], [True, False, True, False, False]),
    "booleans with missing values": ("boolean", [None, "true"], [None, True]),
    "texts": ("str", [1, 2.5, True, "007", None], ["1", "2.5", "True", "007", None]),
    "texts of nullable texts": ("string", [LONG, None], [str(LONG), None]),
    "objects as they are": ("object", [1, "1", None], [1, "1", None]),
    "categories": ("category", ["007", None, "x"], ["007", None, "x"]),
    "spans": ("timedelta64[ns]", ["1 day", None], [pd.Timedelta(days=1), None]),
    "spans of whole seconds": (
        "timedelta64[s]",
        ["1 day", "90s", None],
        [pd.Timedelta(days=1), pd.Timedelta("90s"), None],
    ),
    "times of whole seconds": (
        "datetime64[s]",
        ["2024-05-06T07:08:09.000", None],
        [pd.Timestamp(2024, 5, 6, 7, 8, 9), None],
    ),
    "periods": (
        "period[M]",
        ["2011-05", "2011-05-03", "2011Q2", None],
        [*[pd.Period("2011-05", "M")] * 2, pd.Period("2011-04", "M"), None],
    ),
    "numbers of which few are kept": ("Sparse[int64]", ["5", "0"], [5, 0]),
    "bytes": ("S3", ["ab", "abc"], [b"ab", b"abc"]),
    "dates": ("datetime64[s]", [datetime.date(2024, 1, 2), None], [pd.Timestamp(2024, 1, 2), None]),
    "times with nanoseconds": (
        "datetime64[ns]",
        ["2024-05-06T07:08:09.123456789"],
        [pd.Timestamp("2024-05-06T07:08:09.123456789")],
    ),
    "no times at all": ("datetime64[ns, UTC]", [None, None], [None, None]),
    "far times": ("datetime64[us]", ["9999-12-31"], [pd.Timestamp("9999-12-31")]),
    "times without offset in a zone": (BERLIN, ["2024-07-01 12:00:00", "20240701T12"], [NOON, NOON]),
    "times with and without offset in a zone": (
        BERLIN,
        ["2024-07-01T10:00Z", None, "2024-07-01T12"],
        [NOON, None, NOON],
    ),
    "objects of times in a zone": (BERLIN, [datetime.datetime(2024, 7, 1, 12), NOON.tz_convert("UTC")], [NOON, NOON]),
}


@pytest.mark.parametrize(("kind", "values", "wanted"), CONVERTED.values(), ids=CONVERTED.keys())
def test_values_become_the_declared_type_one_by_one_as_together(kind, values, wanted):
    found = convert(column(values), kind)
    assert plain(found) == wanted
    assert (found.name, list(found.index)) == ("x", list(range(5, 5 + len(values))))
    for value, each in zip(values, wanted, strict=True):
        if each is not None or kind != "bool":
            alone = convert(column([value]), kind)
            assert plain(alone) == [each]
            assert alone.dtype == found.dtype or kind == "category"


TYPED = {
    "narrower integers": (column([1, -128], "int64"), "int8", [1, -128]),
    "integers of floats": (column([1.0, 2.0], "float64"), "int8", [1, 2]),
    "texts of long integers": (column([LONG, None], "Int64"), "string", [str(LONG), None]),
    "times of a table in a zone": (column([pd.Timestamp(2024, 7, 1, 12)], "datetime64[us]"), BERLIN, [NOON]),
    "times of a zone in another": (column([NOON.tz_convert("UTC")], "datetime64[ns, UTC]"), BERLIN, [NOON]),
    "what has the type": (column([1, None], "Int64"), "Int64", [1, None]),
    "no rows": (column([], "str"), "int8", []),
}


@pytest.mark.parametrize(("values", "kind", "wanted"), TYPED.values(), ids=TYPED.keys())
def test_columns_that_have_a_type_become_another_without_loss(values, kind, wanted):
    assert plain(convert(values, kind)) == wanted


ISO = 'which is not a time in ISO 8601; state its form in dateFormats, such as "%d/%m/%Y"'
CUT, FINER, UTC, IN_MS = (
    "which is more precise than ",
    'set its type to "',
    'datetime64[ns, UTC]"',
    "datetime64[ms, Europe/Berlin]",
)
PART = "which is neither a time in ISO 8601 nor a part of one, such as 2011-05 or 2011Q2"
MS_CUT = f'{CUT}{IN_MS}: its unit is "ms"; {FINER}{BERLIN}"'
REMEDY, ZONED = "give times with an offset", 'set its type to "datetime64[ns, UTC]"'
REFUSED = {
    "a text that is no integer": ("int64", ["1", "abc"], 'has "abc" in column "x", which is not int64'),
    "a part of an integer": ("int64", [1, 1.5], 'has 1.5 in column "x", which is not int64'),
    "digits with underscores": ("int64", [1, "1_000"], 'has "1_000" in column "x", which is not int64'),
    "an integer that would wrap": ("int8", [1, 300], 'has 300 in column "x", which is outside of int8'),
    "a negative unsigned one": ("uint64", [1, "-1"], 'has "-1" in column "x", which is outside of uint64'),
    "a number that is endless": ("int64", [1, "1e999999999"], 'has "1e999999999" in column "x", which is not int64'),
    "a missing integer": (
        "uint16",
        ["1", None],
        'has no value in column "x", which uint16 cannot hold; set its type to "UInt16"',
    ),
    "a missing boolean": (
        "bool",
        [True, None],
        'has no value in column "x", which bool cannot hold; set its type to "boolean"',
    ),
    "a boolean by its being there": ("bool", [True, "no"], 'has "no" in column "x", which is not bool'),
    "a float too large": ("float32", [1.0, 1e300], 'has 1e+300 in column "x", which is outside of float32'),
    "a day and a month": ("datetime64[ns]", ["2011-03-05", "03/05/2011"], f'has "03/05/2011" in column "x", {ISO}'),
    "seconds since 1970": ("datetime64[ns]", ["2011-03-05", 1541815603], f'has 1541815603 in column "x", {ISO}'),
    "the time of the run": ("datetime", ["2011-03-05", "now"], f'has "now" in column "x", {ISO}'),
    "no day of the calendar": (
        "datetime",
        ["2011-03-05", "2011-02-30"],
        'has "2011-02-30" in column "x", which is not a time in ISO 8601',
    ),
    "an hour that was skipped": (
        BERLIN,
        ["2024-03-31 01:30", "2024-03-31 02:30"],
        'has "2024-03-31 02:30" in column "x", which Europe/Berlin skipped when clocks went forward; ' + REMEDY,
    ),
    "an hour that came twice": (
        BERLIN,
        ["2024-10-27 01:30", "2024-10-27 02:30"],
        'has "2024-10-27 02:30" in column "x", which Europe/Berlin had twice when clocks went back; ' + REMEDY,
    ),
    "an offset without a zone": (
        "datetime64[ns]",
        ["2024-01-01", "2024-01-01T00Z"],
        'has "2024-01-01T00Z" in column "x", which has an offset, and datetime64[ns] has no zone; ' + ZONED,
    ),
    "a part of a second": (
        "datetime64[s]",
        ["2024-01-01", "2024-01-01T00:00:00.5"],
        f'has "2024-01-01T00:00:00.5" in column "x", {CUT}datetime64[s]: its unit is "s"; {FINER}datetime64[ns]"',
    ),
    "a part of a microsecond": (
        "datetime64[us, UTC]",
        ["2024-01-01", "2024-01-01T00:00:00.0000005Z"],
        f'has "2024-01-01T00:00:00.0000005Z" in column "x", {CUT}datetime64[us, UTC]: its unit is "us"; {FINER}{UTC}',
    ),
    "a part of a millisecond, in a zone": (
        "datetime64[ms, Europe/Berlin]",
        ["2024-01-01", pd.Timestamp("2024-01-01T00:00:00.0005")],
        f"has Timestamp('2024-01-01 00:00:00.000500') in column \"x\", {MS_CUT}",
    ),
    "a part of a second of a span": (
        "timedelta64[s]",
        ["90s", "1.5s"],
        'has "1.5s" in column "x", which is more precise than timedelta64[s]; set its type to "timedelta64[ns]"',
    ),
    "a text that bytes have no room for": (
        "S3",
        ["ab", "abcd"],
        'has "abcd" in column "x", which has more than 3 bytes',
    ),
    "letters of two bytes": ("|S2", ["a", "éé"], 'has "éé" in column "x", which has more than 2 bytes'),
    "a period of a day and a month": (
        "period[D]",
        ["2011-03-05", "03/05/2011"],
        f'has "03/05/2011" in column "x", {PART}',
    ),
    "a number beyond all floats": ("float64", ["1", "1e400"], 'has "1e400" in column "x", which is not float64'),
    "one below them": ("Float64", ["inf", "-1e400"], 'has "-1e400" in column "x", which is not Float64'),
    "a part of a sparse integer": ("Sparse[int8]", ["1", "300"], 'has "300" in column "x", which is outside of int8'),
    "a time beyond the unit": (
        "datetime64[ns]",
        ["2024-01-01", "9999-12-31"],
        'has "9999-12-31" in column "x", which is outside of datetime64[ns]; set its type to "datetime64[us]"',
    ),
}


@pytest.mark.parametrize(("kind", "values", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_a_value_that_is_not_of_the_type_is_named_and_never_bent(kind, values, text):
    good, bad = values
    with pytest.raises(BadValue) as caught:
        convert(column([good] * 3 + [bad, good, bad]), kind)
    assert (caught.value.row, str(caught.value)) == (3, text)


def test_a_long_value_is_cut_in_its_message():
    with pytest.raises(BadValue, match=r'^has "x{79}\.\.\. in column'):
        convert(column(["x" * 1000]), "int64")


FORMS = {
    "a day first": ("datetime64[ns]", "%d/%m/%Y", "03/05/2011", pd.Timestamp(2011, 5, 3)),
    "a number": ("datetime64[ns]", "%Y%m%d", 20110503, pd.Timestamp(2011, 5, 3)),
    "in a zone": (BERLIN, "%d.%m.%Y %H:%M", "01.07.2024 12:00", NOON),
    "with an offset": (BERLIN, "%d.%m.%Y %H:%M %z", "01.07.2024 10:00 +0000", NOON),
    "a month alone": ("datetime64[s]", "%Y-%m", "2011-05", pd.Timestamp(2011, 5, 1)),
}


@pytest.mark.parametrize(("kind", "form", "value", "wanted"), FORMS.values(), ids=FORMS.keys())
def test_times_of_a_stated_form(kind, form, value, wanted):
    assert plain(convert(column([value, None]), kind, form)) == [wanted, None]


@pytest.mark.parametrize("value", ["2011-05-03", "today", "now", "NaT", "", 1.5, "03/05/2011 "])
def test_times_of_another_form_than_the_stated_one_are_refused(value):
    with pytest.raises(BadValue, match=r'which does not have the form "%d/%m/%Y" of its dateFormats$'):
        convert(column(["03/05/2011", value]), "datetime64[ns]", "%d/%m/%Y")


def test_an_offset_of_a_stated_form_needs_a_zone():
    with pytest.raises(BadValue, match=r'set its type to "datetime64\[us, UTC\]"$'):
        convert(column(["03/05/2011 +02:00"]), "datetime64[us]", "%d/%m/%Y %z")


@pytest.mark.parametrize("kind", ["in64", "datetime65", "Int65"])
def test_an_unknown_type_is_no_fault_of_a_value(kind):
    with pytest.raises(TypeError):
        convert(column(["1"]), kind)


@given(st.lists(st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)))
def test_inferred_columns_hold_the_numbers_that_they_were_made_of(values):
    found = inferred(pd.Series(values, dtype=object))
    assert plain(found) == values
