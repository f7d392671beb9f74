"""Documents as text, with remarks as comments."""

from typing import Any

import pytest
import yaml
from azureml_jobs import AZUREML, FILES, cases

from longshore_cli.yaml_text import yaml_text
from longshore_planner.azureml import Remarked, plain, translate


@pytest.mark.parametrize("name", FILES)
def test_the_text_states_what_the_documents_state(name: str):
    found = translate(yaml.safe_load((AZUREML / name).read_text()), name="x")
    for each in found.documents:
        assert yaml.safe_load(yaml_text(each)) == plain(each)
        assert max(map(len, yaml_text(each).splitlines())) <= 120


@cases(
    ("a remark stands above its field", {"a": Remarked(1, "look here")}, "# look here\na: 1\n"),
    ("a remark deep inside opens what is around", {"a": {"b": Remarked([1], "x")}}, "a:\n  # x\n  b: [1]\n"),
    ("a remark on an element", {"a": [Remarked({"b": 1}, "x")]}, "a:\n  # x\n  - {b: 1}\n"),
    ("a remark on the first field of an element", {"a": [{"b": Remarked(1, "x")}]}, "a:\n  -\n    # x\n    b: 1\n"),
    ("several lines", {"a": "b\nc"}, 'a: "b\\nc"\n'),
    ("the content of a file", {"a": {"b": "c:\n- d\n"}}, "a:\n  b: |\n    c:\n    - d\n"),
    ("lines that a block would change", {"a": " b\nc\n"}, 'a: " b\\nc\\n"\n'),
    ("what looks like something else", {"a": "1", "b": "true", "c": None}, "a: '1'\nb: 'true'\nc: null\n"),
)
def test_remarks_are_comments(content: Any, expected: str):
    assert yaml_text(content) == expected
    assert yaml.safe_load(yaml_text(content)) == plain(content)
