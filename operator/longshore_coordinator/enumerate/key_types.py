"""Types of partition keys: conversion of a column's values to those that the script finds in its cells.

A column with a declared type has values of that type. Otherwise, the texts of the whole csv column determine it: floats
and booleans only if no two texts get the same value, so that keys are never rounded.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from longshore_protocol import cells

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_EXACT = 2**53  # a float can represent all integers up to this
_CODE = re.compile(r"[<>=|]?([biufOU])([0-9]{0,3})")  # numpy's short names of types
_OF_CODES = {"i": "int64", "u": "uint64", "O": "object", "U": "str", "f2": "float16", "f": "float32", "f4": "float32",
             "f8": "float64", "b": "int8", "b1": "bool"}  # fmt: skip
_PACKED = {"float32": "f", "float16": "e"}  # struct codes of floats with less precision than Python's
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

Convert = Callable[[Any], Any]


class Text(str):
    """A value of a csv file, whose type depends on all values of its column."""

    __slots__ = ()


class Boolean(NamedTuple):
    """A boolean of a jsonl file, which equals no number, unlike Python's True and 1."""

    value: bool


def typed(values: Iterable[Any], kind: str | None, date_format: str = "") -> Convert:
    """Return a function that converts the values of a column to those that the script finds in its cells.

    Without a declared type, csv texts are integers of any size if all are; floats if each is the shortest form of a
    float, or an integer that a float can represent; booleans; or strings. Values of other files are unchanged.

    Args:
        values: all values of the column.
        kind: the column's declared type by pandas' name, or None.
        date_format: format of the column's times, "" for ISO 8601.

    Raises:
        ValueError: the type is not supported for keys. The returned function raises it for values of another type.
    """
    if kind is None:
        convert = _inferred({str(value) for value in values if isinstance(value, Text)})
        return lambda value: convert(str(value)) if isinstance(value, Text) else value
    declared = _declared(kind, date_format)

    def convert_value(value: Any) -> Any:
        plain = str(value) if isinstance(value, Text) else value.value if isinstance(value, Boolean) else value
        try:
            return None if plain is None else declared(plain)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ValueError(f'a partition key has "{plain}", which is not {kind}') from error

    return convert_value


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
    """Return the function that converts values to a declared type. Raises ValueError for an unsupported type."""
    name = _plain_name(kind)
    if re.fullmatch(r"u?int\d*", name):
        return _integer
    if re.fullmatch(r"float\d*", name):
        return lambda value: _float(value, _PACKED.get(name))
    if name in ("bool", "boolean"):
        return lambda value: cells.read_boolean(str(value))
    if name.startswith("datetime"):
        zone = re.fullmatch(r"datetime(?:64)?\[\w+,\s*(.+?)\s*\]", kind)
        return lambda value: _time(value, date_format, ZoneInfo(zone[1]) if zone else None)
    if name in ("object", "category"):
        return lambda value: value
    if name in ("str", "string", "large_string"):
        return str
    raise ValueError(
        f"columnTypes has {kind} for one of the partitionKeys, which is not supported for keys; choose another type, "
        "such as string, int64 or float64"
    )


def _plain_name(kind: str) -> str:
    """Return the normalized name of a column type: int64 for Int64, <i8 and int64[pyarrow]."""
    inside = re.fullmatch(r"Sparse\[([^,\]]+).*\]", kind)
    kind = kind if inside is None else inside[1]
    code = _CODE.fullmatch(kind)
    if code is not None:
        return _OF_CODES.get(code[1] + code[2], _OF_CODES[code[1]])
    name = kind.lower()
    if name.endswith("[pyarrow]") and name != "string[pyarrow]":
        name = name.removesuffix("[pyarrow]")
        return {"float": "float32", "double": "float64", "halffloat": "float16"}.get(name, name)
    return "string" if name.startswith("string[") else name


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return cells.read_integer(value)
    return int(value) if isinstance(value, int) else cells.whole_number(Decimal(value))


def _float(value: Any, packed: str | None) -> float:
    number = cells.read_float(value) if isinstance(value, str) else float(value)
    return number if packed is None else float(struct.unpack(packed, struct.pack(packed, number))[0])


def _time(value: Any, date_format: str, zone: ZoneInfo | None) -> datetime:
    if isinstance(value, datetime):
        time = value
    elif isinstance(value, date) and not date_format:
        time = datetime(value.year, value.month, value.day)  # noqa: DTZ001  (the zone is added below)
    else:
        time = cells.read_time(str(value), date_format)
    if zone is None:
        return time
    return time.astimezone(zone) if time.tzinfo else time.replace(tzinfo=zone)
