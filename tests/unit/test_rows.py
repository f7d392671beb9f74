"""What run() returned, as rows: which results are rows, and their bytes in every format."""

import collections
import csv
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendering import FRAME, Point, lines, renderer

from longshore_host.rows import Renderer, SettingsError, WrongReturn, read_settings
from longshore_protocol.job import APPEND_ROW, SUMMARY_ONLY, Output

REFUSED = {
    "nothing": (None, "returned None"),
    "a string": ("rows", "type str"),
    "bytes": (b"rows", "type bytes"),
    "a dict": ({"a": 1}, "type dict"),
    "a set, which has no order": ({1}, "type set"),
    "an integer": (3, "type int"),
    "a numpy scalar": (np.float64(3), "type numpy.float64"),
    "an array without a dimension": (np.array(3), "type numpy.ndarray"),
    "a generator": ((each for each in [1]), "a generator"),
    "an iterator": (iter([1]), "an iterator"),
    "a view of a dict": ({}.values(), "type dict_values"),
}


@pytest.mark.parametrize("action", [APPEND_ROW, SUMMARY_ONLY])
@pytest.mark.parametrize(("result", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_a_result_that_is_no_sized_sequence_is_refused_by_name(result, found, action):
    with pytest.raises(WrongReturn, match=rf"{found}.*; it must return a list, tuple, array or pandas\.DataFrame"):
        Renderer(Output(action=action, uri="/out")).render(result)


def test_a_table_of_another_package_is_refused_since_it_would_be_written_column_by_column():
    class Table(list):
        columns = ("a",)

    with pytest.raises(WrongReturn, match="Table"):
        renderer().render(Table())


def test_a_sequence_that_gives_more_elements_than_its_length_is_refused():
    class Odd(list):
        def __len__(self):
            return 1

    with pytest.raises(WrongReturn, match="2 elements in a Odd whose length is 1"):
        renderer().render(Odd([1, 2]))


SEQUENCES = {
    "list": ["a", "b"],
    "tuple": ("a", "b"),
    "array": np.array(["a", "b"]),
    "series": pd.Series(["a", "b"]),
    "deque": collections.deque(["a", "b"]),
}


@pytest.mark.parametrize("result", SEQUENCES.values(), ids=SEQUENCES.keys())
@pytest.mark.parametrize("format", ["text", "csv", "tsv"])
def test_every_sized_sequence_gives_one_line_per_element(result, format):
    assert renderer(format).render(result) == (2, b"a\nb\n", "")


@pytest.mark.parametrize("result", [[], (), np.array([]), pd.DataFrame(), FRAME.iloc[:0]], ids=type)
@pytest.mark.parametrize("format", ["text", "csv", "jsonl", "parquet"])
def test_no_rows_give_no_bytes_and_no_header(result, format):
    assert renderer(format, header=True).render(result) == (0, b"", "")


def test_summary_only_counts_and_renders_nothing():
    class Unprintable:
        def __str__(self):
            raise AssertionError

    counting = Renderer(Output(action=SUMMARY_ONLY, uri="/out", format="csv"))
    assert counting.render([Unprintable()] * 3) == (3, b"", "")
    assert counting.render(FRAME) == (2, b"", "")


@pytest.mark.parametrize("format", ["text", "csv", "tsv", "jsonl", "parquet"])
def test_summary_only_counts_whatever_the_format(format):
    counting = Renderer(Output(action=SUMMARY_ONLY, uri="/out", format=format))
    assert counting.render([FRAME, object()]) == (2, b"", "")


def test_text_is_str_of_each_element():
    assert lines(["a: 1", 2, 0.5, ("x", 1), {"k": 2}, None]) == "a: 1\n2\n0.5\n('x', 1)\n{'k': 2}\nNone\n"


def test_text_of_a_table_has_spaces_and_neither_index_nor_header():
    assert lines(FRAME) == 'a 0.5\n"b c" 2.0\n'


def test_a_file_name_that_is_no_utf8_keeps_its_bytes():
    assert renderer().render(["r\udce9sum\u00e9"]).data == b"r\xe9sum\xc3\xa9\n"


def test_half_a_surrogate_pair_is_a_wrong_return_and_not_a_crash():
    with pytest.raises(WrongReturn, match="UTF-8"):
        renderer().render(["\ud800"])


def test_what_an_element_raises_while_it_is_printed_is_the_scripts_own_error():
    class Unprintable:
        def __str__(self):
            raise KeyError("label")

    with pytest.raises(KeyError, match="label"):
        renderer().render([Unprintable()])


HEADERS = {
    "table as text": (FRAME, "text", "name score\n"),
    "table as csv": (FRAME, "csv", "name,score\n"),
    "table as tsv": (FRAME, "tsv", "name\tscore\n"),
    "a name with a newline": (pd.DataFrame({"a\nb": [1]}), "csv", '"a\nb"\n'),
    "dicts": ([{"x": 1, "y": 2}], "csv", "x,y\n"),
    "named tuples": ([Point(1, 2)], "csv", "x,y\n"),
    "tuples have none": ([(1, 2)], "csv", ""),
    "text lists have none": (["a"], "text", ""),
    "jsonl has none": (FRAME, "jsonl", ""),
    "parquet has none": (FRAME, "parquet", ""),
}


@pytest.mark.parametrize(("result", "format", "header"), HEADERS.values(), ids=HEADERS.keys())
def test_the_header_is_given_apart_and_without_its_newline_when_it_is_not_to_be_written(result, format, header):
    with_header = renderer(format, header=True).render(result)
    without = renderer(format).render(result)
    assert (with_header.header, without.header) == (header, header[:-1])
    assert with_header.data == without.data


def test_columns_without_names_have_no_header_unless_it_is_asked_for():
    frame = pd.DataFrame(np.array([[1, 2]]))
    assert renderer("csv").render(frame).header == ""
    assert renderer("csv", header=True).render(frame).header == "0,1\n"


def test_each_table_has_the_header_of_its_own_columns():
    one = renderer("csv")
    frames = [pd.DataFrame({name: [1], "y": [2]}) for name in ("x", "z", "x", 1, "1")]
    assert [one.render(frame).header for frame in frames] == ["x,y", "z,y", "x,y", "1,y", "1,y"]


FIELDS = {
    "tuples": ([(1, "a,b", None)], '1,"a,b",\n'),
    "lists": ([["x", 'say "hi"']], 'x,"say ""hi"""\n'),
    "scalars": ([1, "two", 0.5], "1\ntwo\n0.5\n"),
    "dicts follow the keys of the first": ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], "1,2\n3,4\n"),
    "rows of an array": (np.array([[1, 2], [3, 4]]), "1,2\n3,4\n"),
    "newlines are quoted": ([("a\nb", "c\rd")], '"a\nb","c\rd"\n'),
}


@pytest.mark.parametrize(("result", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_csv_of_a_list(result, expected):
    assert lines(result, "csv") == expected


def test_a_separator_of_the_step_holds_for_lists_and_tables():
    assert lines([(1, 2)], "csv", separator=";") == "1;2\n"
    assert lines(FRAME, "csv", separator=";") == "a;0.5\nb c;2.0\n"


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), min_size=1))
def test_a_csv_reader_gets_back_the_fields_that_were_written(rows):
    assert list(csv.reader(io.StringIO(lines(rows, "csv"), newline=""))) == rows


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}, (1, 2)], ids=["fewer", "others", "a tuple"])
def test_csv_refuses_dicts_with_different_keys(other):
    with pytest.raises(WrongReturn, match=r"element 1 .* element 0 has \['a', 'b'\]"):
        renderer("csv").render([{"a": 1, "b": 2}, other])


def test_csv_refuses_a_dict_after_a_tuple():
    with pytest.raises(WrongReturn, match=r"element 1 of what run\(\) returned is a dict"):
        renderer("csv").render([(1, 2), {"a": 1}])


@pytest.mark.parametrize(
    "other",
    [
        collections.namedtuple("Other", "y x")(2, 1),  # noqa: PYI024  (as above)
        collections.namedtuple("Wider", "x y z")(1, 2, 3),  # noqa: PYI024
        (1, 2),
        [1, 2],
        1,
    ],
    ids=["other order", "more", "tuple", "list", "number"],
)
@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_fields_are_not_joined_by_position_where_the_first_element_names_them(other, format):
    with pytest.raises(WrongReturn, match=r"element 1 of what run\(\) returned is no named tuple of .*'x', 'y'"):
        renderer(format).render([Point(1, 2), other])


class Tensor:
    """What PyTorch's looks like from outside: its text rounds and shortens."""

    __module__ = "torch"

    def __init__(self, values):
        self.values, self.ndim = values, 1

    def tolist(self):
        return self.values

    def __repr__(self):
        return "tensor([0.1235, ...])"


THIRD = 0.1234567890123456
LONG = list(range(1500))
NUMBERS = "[" + " ".join(f"{each:4d}" for each in LONG) + "]"
WHOLE = {  # of each kind: an element, and its text in rows of text and as the one field of a csv
    "a long array": (np.arange(1500), NUMBERS),
    "the digits of an array": (np.array([THIRD, 1.0]), f"[{THIRD} 1.                ]"),
    "an array of several dimensions": (np.array([[1, 2], [3, 4]]), "[[1 2] [3 4]]"),
    "a tensor": (Tensor([THIRD, 2]), f"[{THIRD}, 2]"),
    "a tensor in a tuple": (("a", Tensor([THIRD])), f"('a', [{THIRD}])"),
    "a tensor in a dict": ({"a": [Tensor([THIRD])]}, f"{{'a': [[{THIRD}]]}}"),
    "a named tuple": (Point(1, Tensor([THIRD])), f"Point(x=1, y=[{THIRD}])"),
    "an array in a tuple": (("a", np.arange(1500)), f"('a', array([{', '.join(f'{each:4d}' for each in LONG)}]))"),
    "a masked array": (np.ma.masked_array(LONG), str(LONG)),
    "a series": (pd.Series(LONG), str(LONG)),
    "an index": (pd.Index([THIRD, 1.0]), f"[{THIRD}, 1.0]"),
}


@pytest.mark.parametrize(("element", "text"), WHOLE.values(), ids=WHOLE.keys())
def test_text_never_abbreviates(element, text):
    found = lines([element], "text")
    assert "..." not in found
    assert found == f"{text}\n"


PLAIN_BUT_ONE = {  # elements that are written as they print, before one that must not be
    "tuples": (("a", 1), ("b", Tensor([THIRD])), f"('a', 1)\n('b', [{THIRD}])\n"),
    "lists": (["a", 1], ["b", [Tensor([THIRD])]], f"['a', 1]\n['b', [[{THIRD}]]]\n"),
    "a tuple and a list": (("a", 1), ["b", Tensor([THIRD])], f"('a', 1)\n['b', [{THIRD}]]\n"),
    "dicts": ({"a": 1}, {"a": Tensor([THIRD])}, f"{{'a': 1}}\n{{'a': [{THIRD}]}}\n"),
    "numbers": (np.float64(THIRD), Tensor([THIRD]), f"{THIRD}\n[{THIRD}]\n"),
    "a number and an array": (np.int8(1), np.arange(1500), f"1\n{NUMBERS}\n"),
    "a tuple of numbers": ((np.float64(0.5),), (np.arange(2),), f"({np.float64(0.5)!r},)\n({np.arange(2)!r},)\n"),
}


@pytest.mark.parametrize(("plain", "other", "text"), PLAIN_BUT_ONE.values(), ids=PLAIN_BUT_ONE.keys())
def test_elements_that_are_plain_hide_none_that_is_not(plain, other, text):
    assert lines([plain, other], "text") == text


NUMBERS_OF_NUMPY = {
    "float64": (np.float64(THIRD), str(THIRD)),
    "float32": (np.float32(THIRD), "0.12345679"),
    "complex": (np.complex128(THIRD), f"({THIRD}+0j)"),
    "integer": (np.int64(2**62), str(2**62)),
    "boolean": (np.bool_(True), "True"),
    "time span": (np.timedelta64(90, "m"), "90 minutes"),
}


@pytest.mark.parametrize(("value", "text"), NUMBERS_OF_NUMPY.values(), ids=NUMBERS_OF_NUMPY.keys())
def test_numbers_of_numpy_have_all_digits_whatever_arrays_have(value, text):
    with np.printoptions(precision=2, suppress=True, floatmode="fixed"):
        assert lines([value], "text") == f"{text}\n"
        assert lines([value, np.array([0.5])], "text") == f"{text}\n[0.50]\n"


CELLS = {name: (value, text) for name, (value, text) in WHOLE.items() if name != "an array of several dimensions"}


@pytest.mark.parametrize(("cell", "text"), CELLS.values(), ids=CELLS.keys())
def test_fields_of_csv_never_abbreviate(cell, text):
    cells = (
        [{"id": 1, "x": cell}],
        [(1, cell)],
        pd.DataFrame({"id": pd.Series([1]), "x": pd.Series([cell], dtype=object)}),
    )
    for result in cells:
        [[_, field]] = csv.reader(io.StringIO(lines(result, "csv")))
        assert field == text


def test_a_script_that_sets_how_numpy_prints_has_its_way():
    with np.printoptions(precision=2):
        assert lines([np.array([THIRD] * 1500)], "text") == "[" + " ".join(["0.12"] * 1500) + "]\n"
    assert np.get_printoptions()["threshold"] == 1000


def test_a_table_that_was_returned_is_not_changed_by_being_written():
    frame = pd.DataFrame({"x": pd.Series([Tensor([1])], dtype=object)})
    lines(frame, "csv")
    assert type(frame["x"][0]) is Tensor


@pytest.mark.parametrize("format", ["text", "csv", "tsv", "jsonl", "parquet"])
def test_a_list_of_tables_is_refused_with_the_remedy(format):
    wanted = r"element 1 of what run\(\) returned is a DataFrame: return one DataFrame .* pandas\.concat\(results\)$"
    with pytest.raises(WrongReturn, match=wanted):
        renderer(format).render([{"a": 1}, FRAME, FRAME])


@pytest.mark.parametrize("result", [[(1, FRAME)], [{"a": FRAME}], pd.DataFrame({"a": [FRAME]}), [[[FRAME]]]])
def test_a_table_in_a_cell_is_refused_with_the_remedy(result):
    with pytest.raises(
        WrongReturn, match=r"a cell of what run\(\) returned is a DataFrame: return its rows, or to_dict"
    ):
        renderer("csv").render(result)


def test_an_unknown_format_is_refused():
    with pytest.raises(SettingsError, match="'xml'; it must be text, csv"):
        renderer("xml")


SETTINGS = {
    "a separator": ({"sep": ","}, {}, "a,0.5\nb c,2.0\n", "name,score"),
    "index and header": ({"sep": ",", "index": True, "header": True}, {}, "7,a,0.5\n8,b c,2.0\n", ",name,score\n"),
    "names for the header": ({"header": ["n", "s"]}, {}, 'a 0.5\n"b c" 2.0\n', "n s\n"),
    "the step's separator wins": ({"sep": ","}, {"separator": ";"}, "a;0.5\nb c;2.0\n", "name;score"),
    "the step's header wins": ({"header": False}, {"header": True}, 'a 0.5\n"b c" 2.0\n', "name score\n"),
}


@pytest.mark.parametrize(("settings", "options", "data", "header"), SETTINGS.values(), ids=SETTINGS.keys())
def test_the_settings_file_sets_what_to_csv_gets(settings, options, data, header):
    rendered = renderer("text", settings, **options).render(FRAME)
    assert (rendered.data.decode(), rendered.header) == (data, header)


def write_settings(folder, text):
    (folder / "parallel_run_step.settings.json").write_bytes(text)
    return str(folder)


def test_a_folder_without_settings_file_has_no_settings(tmp_path):
    assert read_settings(str(tmp_path)) is None


def test_the_settings_file_is_read_from_its_nesting(tmp_path):
    text = b'{"append_row": {"pandas.DataFrame.to_csv": {"sep": ",", "encoding": "UTF-8"}}, "other": 1}'
    assert read_settings(write_settings(tmp_path, text)) == {"sep": ",", "encoding": "UTF-8"}


@pytest.mark.parametrize("text", [b"{}", b'{"append_row": {}}'])
def test_a_settings_file_without_those_settings_changes_nothing(tmp_path, text):
    assert read_settings(write_settings(tmp_path, text)) == {}


BAD_SETTINGS = {
    "no JSON": (b"{", "not valid JSON"),
    "no UTF-8": (b"\xff", "not UTF-8"),
    "no object": (b"[1]", r"the file must be a JSON object, not \[1\]"),
    "no object inside": (b'{"append_row": 1}', "append_row must be a JSON object, not 1"),
    "a file of its own": (b'{"append_row": {"pandas.DataFrame.to_csv": {"path_or_buf": "x"}}}', "path_or_buf cannot"),
    "other line ends": (b'{"append_row": {"pandas.DataFrame.to_csv": {"lineterminator": "x"}}}', "one newline"),
    "another encoding": (b'{"append_row": {"pandas.DataFrame.to_csv": {"encoding": "latin-1"}}}', "'latin-1'"),
}


@pytest.mark.parametrize(("text", "found"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
def test_a_bad_settings_file_is_refused_with_its_name_and_the_rule(tmp_path, text, found):
    with pytest.raises(SettingsError, match=rf"^parallel_run_step\.settings\.json.*{found}"):
        read_settings(write_settings(tmp_path, text))


def test_lists_are_rendered_without_importing_pandas_numpy_or_pyarrow():
    code = """
import sys
from longshore_host.rows import Renderer
from longshore_protocol.job import Output
for format in ("text", "csv", "jsonl"):
    Renderer(Output(action="append_row", uri="", format=format)).render(["a"])
sys.exit(bool({"pandas", "numpy", "pyarrow"} & set(sys.modules)))
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0


def test_a_result_above_the_limit_is_a_wrong_return_that_names_it(monkeypatch):
    monkeypatch.setattr("longshore_host.rows.MAX_BODY", 9)
    assert lines(["a" * 8]) == "a" * 8 + "\n"
    with pytest.raises(WrongReturn, match=r"run\(\) returned 10 bytes of rows and a mini-batch may have at most 9: "):
        lines(["a" * 9])


def test_names_of_columns_above_the_limit_are_a_wrong_return_that_names_it(monkeypatch):
    monkeypatch.setattr("longshore_host.rows.MAX_COLUMNS", 4)
    assert lines([{"a": 1, "b": 2}], "csv", header=True) == "1,2\n"
    with pytest.raises(WrongReturn, match="the names of the columns have 5 characters in all and may have at most 4"):
        lines([{"ab": 1, "c": 2}], "csv", header=True)


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_a_column_whose_name_is_no_text_is_a_wrong_return(format):
    with pytest.raises(WrongReturn, match="a column's name cannot be written as UTF-8"):
        lines([{"caf\udce9": 1}], format, header=True)
