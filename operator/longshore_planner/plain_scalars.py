"""Plain YAML scalars that keep their text, in fields whose values are text.

YAML parses NO as false, 12:30:00 as 45000, 01234 as 668 and 1.10 as 1.1. Arguments, variables and strings keep their
text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

# Fields of Longshore's and Azure ML's documents whose values, and keys, are text.
TEXTS = frozenset({
    "arguments", "params", "environmentVariables", "environment_variables", "variables", "labels", "annotations",
    "tags", "naValues", "partitionKeys", "columnTypes", "dateFormats",
})  # fmt: skip
TEXT = "version"  # a field that is text, or a whole number that is parsed from text

_OF_TEXT = ("string", "dataset", "datapath")  # types of parameters
_VALUES = ("default", "value")  # of a mapping that declares their type
_GIVEN = "parameters"  # values by name; their types, declared elsewhere, parse the text
_NULL, _STRING = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"

Pair = tuple[yaml.Node, yaml.Node]


def keep_texts(pairs: list[Pair]) -> list[Pair]:
    """Return the keys and values of a mapping, with the scalars of text fields tagged as strings."""
    is_text = any(_name(key) == "type" and _name(value) in _OF_TEXT for key, value in pairs)
    return [(key, _kept(_name(key), value, is_text=is_text)) for key, value in pairs]


def written(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a scalar constructor that returns the text instead if the value would be written differently."""

    def construct_or_keep(loader: Any, node: Any) -> Any:
        try:
            value = construct(loader, node)
        except ValueError:  # for example 0b_
            return node.value
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        return value if shown in (node.value, node.value.lower()) else node.value

    return construct_or_keep


def _kept(name: str, value: yaml.Node, *, is_text: bool) -> yaml.Node:
    if name in TEXTS or (name == _GIVEN and isinstance(value, yaml.MappingNode)):
        return _with_texts(value, nulls=name == "arguments")
    return _text(value) if name == TEXT or (name in _VALUES and is_text) else value


def _with_texts(node: yaml.Node, *, nulls: bool) -> yaml.Node:
    """Return a list or mapping with its direct scalars as text; deeper scalars and nulls stay unchanged."""
    if isinstance(node, yaml.SequenceNode):
        values = [_text(each, nulls=nulls) for each in node.value]
        return yaml.SequenceNode(node.tag, values, node.start_mark, node.end_mark, node.flow_style)
    if isinstance(node, yaml.MappingNode):
        pairs = [(_text(key), _merged(value) if _is_merge(key) else _text(value)) for key, value in node.value]
        return yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark, node.flow_style)
    return node


def _text(node: yaml.Node, *, nulls: bool = False) -> yaml.Node:
    """Return a scalar as a string; with `nulls` also null or ~, which is text in a list, but not an empty value."""
    if not isinstance(node, yaml.ScalarNode) or _is_merge(node) or (node.tag == _NULL and not (nulls and node.value)):
        return node
    return yaml.ScalarNode(_STRING, node.value, node.start_mark, node.end_mark, node.style)


def _is_merge(key: yaml.Node) -> bool:
    return bool(key.tag == "tag:yaml.org,2002:merge")


def _merged(node: yaml.Node) -> yaml.Node:
    """Return the mapping, or list of mappings, of a merge key with its values as text."""
    if isinstance(node, yaml.SequenceNode):
        values = [_with_texts(each, nulls=False) for each in node.value]
        return yaml.SequenceNode(node.tag, values, node.start_mark, node.end_mark, node.flow_style)
    return _with_texts(node, nulls=False)


def _name(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""
