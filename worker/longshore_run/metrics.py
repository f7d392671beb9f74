"""The metrics file of a run: JSON lines `{"name": .., "value": ..}`, appended by all processes of the script."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Dict, List

VARIABLE = "LONGSHORE_METRICS"  # names the file in the script's environment

NAMES = 200  # the most names that are read, because the size of a status is limited
VALUES = 1000  # the most values of a name that are read: the last ones
CHARACTERS = 500  # the longest text
_INT_END = 2**63


def line(name: str, value: Any) -> bytes:
    """Encode a metric as one line; the value is a number, a text, a dict (one row), or a list of these."""
    return json.dumps({"name": str(name)[:CHARACTERS], "value": _plain(value)}).encode() + b"\n"


def append(path: str, data: bytes) -> None:
    """Append a line with one write, so that lines of several processes do not mix. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read(path: str) -> Dict[str, Any]:
    """Return the metrics in a file by name; names logged several times, or with lists or rows, have a list.

    A missing file gives {}. Invalid lines are ignored, because scripts can write anything. Raises OSError.
    """
    found: Dict[str, List[Any]] = {}
    single: Dict[str, bool] = {}
    try:
        with open(path, "rb") as file:
            for each in file:
                _take(each, found, single)
    except FileNotFoundError:
        return {}
    return {name: values[0] if single[name] else values for name, values in found.items()}


def _take(data: bytes, found: Dict[str, List[Any]], single: Dict[str, bool]) -> None:
    try:
        raw = json.loads(data.decode())
        name, value = raw["name"], _plain(raw["value"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if not isinstance(name, str) or (name not in found and len(found) == NAMES):
        return
    single[name] = name not in found and not isinstance(value, (list, dict))
    values = found.setdefault(name, [])
    values += value if isinstance(value, list) else [value]
    del values[:-VALUES]


def _plain(value: Any) -> Any:
    """Return a value as a JSON value: numbers of numpy become numbers, and unsupported values become text."""
    if isinstance(value, dict):
        return {str(name)[:CHARACTERS]: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if not isinstance(value, (bool, int, float, str)) and hasattr(value, "tolist"):
        value = value.tolist()  # also numpy arrays
        if isinstance(value, list):
            return _plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -_INT_END <= value < _INT_END:
        return str(value)[:CHARACTERS]  # few JSON readers support it
    return value if isinstance(value, (bool, int, float)) else str(value)[:CHARACTERS]
