"""Readable YAML for documents: short values on one line, remarks as comments above the value they concern."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from longshore_planner.azureml import Remarked, plain

_WIDTH = 110
_BLOCK_KEYS = ("spec", "steps", "parallelRun", "script")  # always written with one field per line


def yaml_text(document: Any) -> str:
    """Return a document, which may contain `Remarked` values, as YAML text."""
    return "\n".join(_mapping(document, "")) + "\n"


def _mapping(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, each in value.items():
        yield from _comment(each, indent)
        inner = each.value if isinstance(each, Remarked) else each
        line = f"{indent}{_flow(key)}: {_flow(inner)}"
        fits = key not in _BLOCK_KEYS and not _has_remarks(inner) and len(line) <= _WIDTH
        if fits or not inner or not isinstance(inner, dict | list):
            yield line
        else:
            yield f"{indent}{_flow(key)}:"
            yield from _mapping(inner, indent + "  ") if isinstance(inner, dict) else _list(inner, indent + "  ")


def _list(value: list[Any], indent: str) -> Iterator[str]:
    for each in value:
        yield from _comment(each, indent)
        inner = each.value if isinstance(each, Remarked) else each
        if isinstance(inner, dict) and inner and (_has_remarks(inner) or len(_flow(inner)) > _WIDTH - len(indent)):
            first, *others = _mapping(inner, indent + "  ")
            if first.lstrip().startswith("#"):  # a dash before a comment would end up inside it
                yield f"{indent}-"
                yield first
            else:
                yield f"{indent}- {first.lstrip()}"
            yield from others
        else:
            yield f"{indent}- {_flow(inner)}"


def _comment(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Remarked):
        for line in textwrap.wrap(" ".join(value.text.split()), _WIDTH - len(indent)):
            yield f"{indent}# {line}"


def _flow(value: Any) -> str:
    bare = plain(value)
    text = yaml.safe_dump(bare, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    text = text.strip().removesuffix("\n...")
    return json.dumps(bare, ensure_ascii=False) if "\n" in text else text  # JSON is YAML on one line


def _has_remarks(value: Any) -> bool:
    match value:
        case Remarked():
            return True
        case dict():
            return any(map(_has_remarks, value.values()))
        case list():
            return any(map(_has_remarks, value))
        case _:
            return False
