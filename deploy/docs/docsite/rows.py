"""The page of row formats: examples of what run() returns, rendered by the code that renders rows."""

from __future__ import annotations

import io
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from docsite.markdown import code, notice, table
from longshore_api.parallel_run_step import StepOutput
from longshore_host.returned import WrongReturn
from longshore_host.rows import Renderer
from longshore_protocol.job import APPEND_ROW, Output

_SCOPE = {"np": np, "pd": pd}
_EXAMPLES = (
    ("Strings", '["a.png: 7", "b.png: 1"]'),
    ("Numbers", "[0.25, 7]"),
    ("Tuples or lists", '[("a.png", 7), ("b.png", 1)]'),
    ("Dictionaries", '[{"file": "a.png", "digit": 7}, {"file": "b.png", "digit": 1}]'),
    ("A DataFrame", 'pd.DataFrame({"file": ["a.png", "b.png"], "digit": [7, 1]})'),
    ("A NumPy array", "np.array([[0.25, 0.75], [1.0, 0.0]])"),
)
_REFUSED = ("None", "5", '"a.png: 7"', '{"a.png": 7}')
_INTRODUCTION = """# Row formats

What stands in the output file, by what `run()` returns and by the output's `format`. Each element, or each row of a
DataFrame, is one line. The examples show the lines with `header: false`; with `header: true` the names of the columns
are the first line, once, of `text`, `csv` and `tsv`. Of `parquet` they show the columns with their types.

"""


def page() -> str:
    """Return the page's Markdown."""
    examples = "".join(_section(title, returned) for title, returned in _EXAMPLES)
    refused = [(code(f"return {each}"), _refusal(each)) for each in _REFUSED]
    return (
        notice("the code that renders rows")
        + _INTRODUCTION
        + examples
        + "## What fails the mini-batch\n\nAnything else is a WrongReturn, and the message has the cause:\n\n"
        + table(("Returned", "Message"), refused)
        + "\n[Entry scripts](../scripts.md) explains what the number of results means.\n"
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


def _refusal(returned: str) -> str:
    try:
        Renderer(_output("text")).render(eval(returned))  # noqa: S307  (one of the examples above)
    except WrongReturn as error:
        return str(error)
    raise ValueError(f"run() may return {returned}: it is no example of what it may not")


def _output(format: str) -> Output:
    return Output(name="out", uri="/", action=APPEND_ROW, format=format)
