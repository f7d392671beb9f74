"""The file of a run's metrics: JSON lines `{"name": .., "value": ..}`, appended by any of the script's processes."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Dict, List

VARIABLE = "LONGSHORE_METRICS"  # names the file in the script's environment

NAMES = 200  # that are read: a status has no room for more
VALUES = 1000  # that are read of a name: its last ones
CHARACTERS = 500  # of a text
_INT_END = 2**63


def line(name: str, value: Any) -> bytes:
    """Return the line of a metric: a number, a text, a dict (one row), or a list of these."""
    return json.dumps({"name": str(name)[:CHARACTERS], "value": _plain(value)}).encode() + b"\n"


def append(path: str, data: bytes) -> None:
    """Add a line, in one write, so that the lines of several processes do not mix. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read(path: str) -> Dict[str, Any]:
    """Return the metrics of a file by name; a name that was logged more than once, or by lists or rows, has a list.

    No file is no metrics, and a line that is none is passed over: anything may have been written there. Raises OSError.
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
    """Return a value as JSON has it; numpy's numbers become numbers, and what JSON cannot say becomes text."""
    if isinstance(value, dict):
        return {str(name)[:CHARACTERS]: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if not isinstance(value, (bool, int, float, str)) and hasattr(value, "tolist"):
        value = value.tolist()  # of a numpy array too
        if isinstance(value, list):
            return _plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -_INT_END <= value < _INT_END:
        return str(value)[:CHARACTERS]  # few readers of JSON have a number for it
    return value if isinstance(value, (bool, int, float)) else str(value)[:CHARACTERS]
