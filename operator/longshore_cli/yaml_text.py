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
        if _is_block(inner):
            yield f"{indent}{_flow(key)}: |"
            yield from (f"{indent}  {text}" for text in inner.splitlines())
            continue
        fits = key not in _BLOCK_KEYS and not _needs_lines(inner) and len(line) <= _WIDTH
        if fits or not inner or not isinstance(inner, dict | list):
            yield line
        else:
            yield f"{indent}{_flow(key)}:"
            yield from _mapping(inner, indent + "  ") if isinstance(inner, dict) else _list(inner, indent + "  ")


def _list(value: list[Any], indent: str) -> Iterator[str]:
    for each in value:
        yield from _comment(each, indent)
        inner = each.value if isinstance(each, Remarked) else each
        if isinstance(inner, dict) and inner and (_needs_lines(inner) or len(_flow(inner)) > _WIDTH - len(indent)):
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


def _is_block(value: Any) -> bool:
    """Return whether a value is a text of whole lines, as the content of a file is."""
    lines = value.splitlines() if isinstance(value, str) and value.endswith("\n") else []
    return len(lines) > 1 and value[0] != " " and all(each and each.isprintable() for each in lines)


def _needs_lines(value: Any) -> bool:
    """Return whether a value contains remarks or texts of whole lines, which need lines of their own."""
    match value:
        case Remarked():
            return True
        case str():
            return _is_block(value)
        case dict():
            return any(map(_needs_lines, value.values()))
        case list():
            return any(map(_needs_lines, value))
        case _:
            return False
