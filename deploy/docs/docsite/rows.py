"""The page of row formats: examples of what run() returns, rendered by the code that renders rows."""

from __future__ import annotations

import datetime
import decimal
import io
import pathlib
import types
from collections import namedtuple
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from docsite.markdown import code, notice, table
from longshore_api.parallel_run_step import StepOutput
from longshore_host.returned import WrongReturn
from longshore_host.rows import Renderer
from longshore_protocol.frames import MAX_BODY
from longshore_protocol.job import APPEND_ROW, Output
from longshore_protocol.messages import MAX_COLUMNS


class Half:
    """A sequence with fewer elements than its length."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> str:
        return ["a.png: 7"][place]

    def __iter__(self) -> Iterator[str]:
        return iter(["a.png: 7"])


async def _predict() -> None:
    """Stand for an asynchronous function of a script."""


_SCOPE = {
    "Decimal": decimal.Decimal,
    "Half": Half,
    "MappingProxyType": types.MappingProxyType,
    "Path": pathlib.Path,
    "Score": namedtuple("Score", ["file", "digit"]),  # noqa: PYI024  (scripts may use either)
    "date": datetime.date,
    "np": np,
    "pd": pd,
    "predict": _predict,
    "timedelta": datetime.timedelta,
}
_EXAMPLES = (
    ("Strings", '["a.png: 7", "b.png: 1"]'),
    ("Numbers", "[0.25, 7]"),
    ("Tuples or lists", '[("a.png", 7), ("b.png", 1)]'),
    ("Dictionaries", '[{"file": "a.png", "digit": 7}, {"file": "b.png", "digit": 1}]'),
    ("Named tuples", '[Score("a.png", 7), Score("b.png", 1)]'),
    ("A DataFrame", 'pd.DataFrame({"file": ["a.png", "b.png"], "digit": [7, 1]})'),
    ("A NumPy array", "np.array([[0.25, 0.75], [1.0, 0.0]])"),
)
_VALUES = (  # of JSON lines: one for each conversion
    "float('nan')",
    "pd.NA",
    "date(2026, 1, 31)",
    "timedelta(minutes=1.5)",
    "np.float32(0.25)",
    "np.array([1, 2])",
    "np.datetime64('2026-01-31')",
    "Decimal('1.10')",
    "Path('a.png')",
    "MappingProxyType({'digit': 7})",
    "{7: 'a.png'}",
)
_REFUSED = (  # one for each reason, with the first format that refuses it
    ("None", "text"),
    ("5", "text"),
    ("np.array(5)", "text"),
    ('"a.png: 7"', "text"),
    ('{"a.png": 7}', "text"),
    ('(each for each in ["a.png: 7"])', "text"),
    ('iter(["a.png: 7"])', "text"),
    ("predict()", "text"),
    ("Half()", "text"),
    ('[pd.DataFrame({"digit": [7]})]', "text"),
    ('[("a.png", pd.DataFrame({"digit": [7]}))]', "text"),
    (r'["\ud83d"]', "text"),
    ('[{"file": "a.png"}, {"digit": 7}]', "csv"),
    ('["a.png", {"file": "b.png"}]', "csv"),
    ('[Score("a.png", 7), ("b.png", 1)]', "csv"),
    (r'[{"\ud83d": 7}]', "csv"),
    ('[{"digits": {1, 7}}]', "jsonl"),
    ('pd.DataFrame([[1, 7]], columns=["digit", "digit"])', "jsonl"),
    ('[{"7": 1, 7: 2}]', "parquet"),
    ('[{"digit": 7}, {"digit": "seven"}]', "parquet"),
)
_INTRODUCTION = """# Row formats

What stands in the output file, by what `run()` returns and by the output's `format`. Each element, or each row of a
DataFrame, is one line. The examples show the lines with `header: false`; with `header: true` the names of the columns
are the first line, once, of `text`, `csv` and `tsv`. Of `parquet` they show the columns with their types.

"""


def page() -> str:
    """Return the page's Markdown."""
    examples = "".join(_section(title, returned) for title, returned in _EXAMPLES)
    values = [(code(each), code(_rendered([eval(each, dict(_SCOPE))], "jsonl").rstrip())) for each in _VALUES]  # noqa: S307
    refused = [(code(f"return {each}"), code(by), _refusal(each, by)) for each, by in _REFUSED]
    return (
        notice("the code that renders rows")
        + _INTRODUCTION
        + examples
        + "## Values in JSON lines\n\nValues that JSON lacks are converted:\n\n"
        + table(("Value", "Line"), values)
        + "\n## What fails the mini-batch\n\nAnything else is a WrongReturn, and the message has the cause. The"
        " format is one that refuses the value; what is not a sequence of rows is refused by all formats.\n\n"
        + table(("Returned", "Format", "Message"), refused)
        + f"\nThe rows of a mini-batch have at most {MAX_BODY} bytes, and the names of its columns at most"
        f" {MAX_COLUMNS} characters.\n"
        "\n[Entry scripts](../scripts.md) explains what the number of results means.\n"
    )


def _section(title: str, returned: str) -> str:
    value = eval(returned, dict(_SCOPE))  # noqa: S307  (one of the examples above)
    lines = [f"## {title}\n\n```python\nreturn {returned}\n```\n\n"]
    for each in get_args(StepOutput.model_fields["format"].annotation):
        lines += [f"`{each}`:\n\n```text\n{_rendered(value, each)}```\n\n"]
    return "".join(lines)


def _rendered(value: Any, format: str) -> str:
    try:
        data = Renderer(_output(format)).render(value).data
    except WrongReturn as error:
        return f"{error}\n"
    if format != "parquet":
        return data.decode()
    schema = pq.read_schema(io.BytesIO(data))
    return "".join(f"{each.name}: {each.type}\n" for each in schema)


def _refusal(returned: str, format: str) -> str:
    try:
        Renderer(_output(format)).render(eval(returned, dict(_SCOPE)))  # noqa: S307  (one of the examples above)
    except WrongReturn as error:
        return str(error)
    raise ValueError(f"run() may return {returned}: it is no example of what it may not")


def _output(format: str) -> Output:
    return Output(name="out", uri="/", action=APPEND_ROW, format=format)
