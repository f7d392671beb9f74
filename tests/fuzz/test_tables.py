"""Whatever a csv file holds and however its dataset says that it is written, no cut changes a value."""

import csv
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

from longshore_coordinator.enumerate import cut
from longshore_host.tabular import SliceError, load
from longshore_protocol.job import Input, Job, MiniBatchSize, Output, TabularFormat

MARK = "\x1f"  # a separator in the making
VALUES = ["", "1", "-1.5", "NA", "null", "abc", 'a"b', '"q"', "a,b", "x;y", "a::b", "007", "é", "日本", " 1", "inf",
          "\\N", "a\\", "a\nb", "a\rb", "\ufeffz", "=x", "9007199254740993"]  # fmt: skip
SIZES = [("bytes", 10**6), ("rows", 1), ("rows", 3), ("bytes", 1), ("bytes", 20)]
formats = st.builds(
    TabularFormat,
    st.just("csv"),
    separator=st.sampled_from([",", ";", "\t", "|", "::", "||", "£"]),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "shift_jis", "gb18030"]),
    keep_default_na=st.booleans(),
    infer_types=st.just(False),
    multi_line=st.booleans(),
    escape=st.sampled_from([None, None, "\\"]),
)
tables = st.integers(2, 3).flatmap(
    lambda width: st.lists(st.lists(st.sampled_from(VALUES), min_size=width, max_size=width), max_size=8)
)


def written(rows, form, *, end, all_quoted):
    """Return the bytes of a csv file, None for what it cannot hold."""
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if all_quoted or len(form.separator) > 1 else csv.QUOTE_MINIMAL
    names = [[f"c{number}" for number in range(len(rows[0]) if rows else 2)]] if form.header else []
    options = {"escapechar": form.escape, "doublequote": form.escape is None}
    csv.writer(text, delimiter=MARK, lineterminator=end, quoting=quoting, **options).writerows([*names, *rows])
    try:
        return text.getvalue().replace(MARK, form.separator).encode(form.encoding)
    except UnicodeEncodeError:
        return None


def outcome(path, form, unit, value):
    """Return the rows of all mini-batches, "refused" where one of them cannot be read."""
    inputs = (Input("rows", (str(path),), tabular=form),)
    size, output = MiniBatchSize(unit, value), Output("summary_only", "/out")
    try:
        found = [
            load(json.loads(each.payload), form) for each in cut(Job("s", "1", "/run", inputs, size, output, "", ""))
        ]
    except SliceError:
        return "refused"
    return [[None if pandas.isna(cell) else cell for cell in row] for each in found for row in each.to_numpy().tolist()]


@examples(60)
@given(rows=tables, form=formats, end=st.sampled_from(["\n", "\r\n"]), all_quoted=st.booleans())
def test_no_cut_of_a_csv_file_changes_a_value(rows, form, end, all_quoted):
    if rows and rows[0][0].startswith("\ufeff"):
        form = replace(form, header=True)  # as the first letter of a file it is a byte order mark
    separators = any(form.separator in cell for row in rows for cell in row)
    data = written(rows, form, end=end, all_quoted=all_quoted or separators)
    if data is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(data)
        outcomes = [outcome(path, form, *size) for size in SIZES]
    assert all(each == outcomes[0] for each in outcomes)
    if not any(set(cell) & set("\n\r\\") for row in rows for cell in row):
        missing = ("", "NA", "null") if form.keep_default_na else ()
        assert outcomes[0] == [[None if cell in missing else cell for cell in row] for row in rows]
