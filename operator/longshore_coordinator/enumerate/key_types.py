"""What the texts of a csv file mean as partition keys: the very values that the script finds in its cells.

A column of a declared type has its values. Without one, the texts of the whole column decide: floats and booleans only
where no two texts become one, so that a key is never rounded.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from longshore_protocol import cells

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_EXACT = 2**53  # integers up to here are floats, too
_PACKED = {"float32": "f", "float16": "e"}  # floats that are less exact than Python's
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

Convert = Callable[[str], Any]


class Text(str):
    """A value of a csv file, whose type all values of its column tell together."""

    __slots__ = ()


def typed(values: Iterable[Any], kind: str | None, date_format: str = "") -> Callable[[Any], Any]:
    """Return the function that makes values of a csv column what they mean; other values stay as they are.

    `kind` is the column's type as pandas calls it, and `date_format` the form of its times. Without a type, texts are
    integers where all are, of any length; floats where each is a float as Python writes it, or an integer that a float
    can be; booleans; or else texts. The function raises ValueError for a text that is not of the type.
    """
    texts = {str(value) for value in values if isinstance(value, Text)}
    convert = _inferred(texts) if kind is None else _declared(kind, date_format)

    def convert_text(value: Any) -> Any:
        if not isinstance(value, Text):
            return value
        try:
            return convert(str(value))
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f'a partition key has "{value}", which is not {kind}') from error

    return convert_text


def _inferred(texts: set[str]) -> Convert:
    if not texts:
        return str
    if all(map(_INTEGER.fullmatch, texts)):
        return int
    if all(map(_is_float, texts)) and len(set(map(float, texts))) == len(texts):
        return float
    if texts <= _BOOLEANS.keys() and len({_BOOLEANS[text] for text in texts}) == len(texts):
        return _BOOLEANS.__getitem__
    return str


def _is_float(text: str) -> bool:
    try:
        number = cells.read_float(text)
    except ValueError:
        return False
    return (math.isfinite(number) and repr(number) == text) or (text == str(int(number)) and abs(number) <= _EXACT)


def _declared(kind: str, date_format: str) -> Convert:
    name = kind.lower()
    if name.startswith(("int", "uint")):
        return cells.read_integer
    if name.startswith("float"):
        return lambda text: _float(text, _PACKED.get(name))
    if name.startswith("bool"):
        return cells.read_boolean
    if name.startswith("datetime"):
        zone = re.fullmatch(r"datetime(?:64)?\[\w+,\s*(.+?)\s*\]", kind)
        return lambda text: _time(text, date_format, ZoneInfo(zone[1]) if zone else None)
    return str


def _float(text: str, packed: str | None) -> float:
    number = cells.read_float(text)
    return number if packed is None else float(struct.unpack(packed, struct.pack(packed, number))[0])


def _time(text: str, date_format: str, zone: ZoneInfo | None) -> datetime:
    time = cells.read_time(text, date_format)
    if zone is None:
        return time
    return time.astimezone(zone) if time.tzinfo else time.replace(tzinfo=zone)
