"""The page of row formats: every format, conversion and refusal that the code knows is on it, and no other."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from types import FrameType, FunctionType
from typing import Any, get_args

import pytest
from docsite.rows import page

from longshore_api.parallel_run_step import StepOutput
from longshore_host import parquet_rows, returned, rows
from longshore_protocol.job import APPEND_ROW, Output

MODULES = (parquet_rows, returned, rows)
# They depend on what one element of a result is: a row, a record, or a value that JSON lacks.
BY_TYPE = (rows._columns, rows._fields, rows._plain)
LIMITS = {"_TOO_LARGE": rows.MAX_BODY, "_TOO_WIDE": rows.MAX_COLUMNS}  # too large for an example


@pytest.fixture(scope="module", name="page_and_exits")
def the_page_and_exits() -> tuple[str, set[tuple[str, int]]]:
    """Return the page, and the lines at which functions returned or raised while its examples were rendered."""
    exits: set[tuple[str, int]] = set()
    files = {module.__file__ for module in MODULES}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code.co_filename in files:
            exits.add((frame.f_code.co_filename, frame.f_lineno))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        text = page()
    finally:
        sys.setprofile(before)
    return text, exits


def refusals() -> Iterator[tuple[str, ast.Raise]]:
    """Yield each statement that raises WrongReturn, with its file."""
    for module in MODULES:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and ast.unparse(node.exc.func) == "WrongReturn"
            ):
                yield str(module.__file__), node


def returns(function: FunctionType) -> Iterator[tuple[str, ast.Return]]:
    """Yield each return of a function, with its lines in the file."""
    source, first = inspect.getsourcelines(function)
    for node in ast.walk(ast.increment_lineno(ast.parse("".join(source)), first - 1)):
        if isinstance(node, ast.Return):
            yield function.__code__.co_filename, node


def missing(statements: Iterator[tuple[str, Any]], exits: set[tuple[str, int]]) -> list[str]:
    """Return the statements at which no example left a function."""
    return [
        ast.unparse(node)
        for file, node in statements
        if not any((file, line) in exits for line in range(node.lineno, node.end_lineno + 1))
    ]


def test_every_refusal_has_an_example(page_and_exits: tuple[str, set[tuple[str, int]]]):
    _, exits = page_and_exits
    without = missing(refusals(), exits)
    assert [each for each in without if not any(name in each for name in LIMITS)] == []
    assert len(without) == len(LIMITS)


def test_limits_of_rows_are_on_the_page(page_and_exits: tuple[str, set[tuple[str, int]]]):
    text, _ = page_and_exits
    assert set(map(int, re.findall(r"at most (\d+)", text))) == set(LIMITS.values())


@pytest.mark.parametrize("function", BY_TYPE, ids=lambda each: each.__name__)
def test_every_type_of_element_has_an_example(page_and_exits: tuple[str, set[tuple[str, int]]], function: FunctionType):
    _, exits = page_and_exits
    assert missing(returns(function), exits) == []


def test_every_format_is_in_every_section(page_and_exits: tuple[str, set[tuple[str, int]]]):
    formats = list(get_args(StepOutput.model_fields["format"].annotation))
    sections = [each for each in page_and_exits[0].split("\n## ") if "```python\nreturn " in each]
    assert [re.findall("^`([a-z]+)`:$", each, re.MULTILINE) for each in sections] == [formats] * len(sections)
    with pytest.raises(rows.SettingsError) as refused:
        rows.Renderer(Output(name="out", uri="/", action=APPEND_ROW, format="xlsx"))
    assert re.findall(r"\w+", str(refused.value).partition("must be ")[2].replace(" or ", " ")) == formats


def test_an_exit_without_an_example_is_found():
    tree = ast.parse("if value:\n    return 1\nreturn 2")
    nodes = (("sample.py", node) for node in ast.walk(tree) if isinstance(node, ast.Return))
    assert missing(nodes, {("sample.py", 2)}) == ["return 2"]
