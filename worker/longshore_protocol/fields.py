"""Validate values from other processes by tables of types, ranges and lengths."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from longshore_protocol.text import printable

COUNT = 2**53  # the largest integer that every JSON reader represents exactly
LONGEST = 1e9  # seconds; the largest valid duration
LATEST = 2.5e11  # Unix time in the year 9892; datetime ends with the year 9999
NUMBER = (int, float)
_SHOWN = 60  # characters of a value in a message
_SIZED = (str, list, dict)
_KINDS = {int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "an object", bool: "a boolean"}


class Field(NamedTuple):
    """The rule for one value: its exact types, and the range of a number or of the length of a text or list."""

    name: str
    kinds: Tuple[type, ...] = (int,)
    least: float = 0
    most: float = COUNT


def fault(values: Sequence[Any], fields: Sequence[Field]) -> Optional[str]:
    """Return a sentence about the first invalid value, or None if all are valid.

    NaN and infinity are always invalid.
    """
    if len(values) != len(fields):
        return "it has {} values; it must have {}".format(len(values), len(fields))
    for value, field in zip(values, fields):
        _, kinds, least, most = field
        kind = type(value)
        if kind not in kinds or not least <= (value if kind is int or kind not in _SIZED else len(value)) <= most:
            return _sentence(value, field)
    return None


def _sentence(value: Any, field: Field) -> str:
    try:
        shown = printable(json.dumps(value), _SHOWN)
    except (TypeError, ValueError, RecursionError):
        shown = "no JSON"
    kind = "a number" if field.kinds == NUMBER else _KINDS[field.kinds[0]]
    length = "of a length " if field.kinds[0] in _SIZED else ""
    return "{} is {}; it must be {} {}from {:g} to {:g}".format(
        field.name, shown, kind, length, field.least, field.most
    )
