"""Parse values from the end of a file's path: `partitionFormat`, with Azure ML's syntax.

A format describes a path from its first placeholder, or from a literal folder before that, to the path's end.
`{name}` matches text within one folder or file name. `{name:yyyy/MM/dd/HH/mm/ss}`, or some of these units with any text
between them, matches a time. `*` matches any text within one name, which is ignored. All other text matches itself.

The format `hive` describes the folders `name=value` right above a file, as Hive and Spark write them: names and values
are percent-decoded, and `__HIVE_DEFAULT_PARTITION__` is a missing value.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Dict, List, Match, Optional, Tuple
from urllib.parse import unquote

HIVE = "hive"

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_PLACEHOLDER = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_UNITS = {"yyyy": "year", "MM": "month", "dd": "day", "HH": "hour", "mm": "minute", "ss": "second"}
_UNIT = re.compile("|".join(_UNITS))


class PartitionFormat:
    """A compiled format. Raises ValueError for an invalid one; the message is the violated rule."""

    def __init__(self, text: str) -> None:
        self.is_hive = text == HIVE
        self.names: Tuple[str, ...] = ()  # in order; empty for `hive`, whose paths have their own
        if self.is_hive:
            return
        self._times: Dict[str, List[str]] = {}  # name of a time -> its units in order
        names: List[str] = []
        pattern, place = "", 0
        for found in _PLACEHOLDER.finditer(text):
            name, time = found[1], found[2]
            if not name:
                raise ValueError("must have a name in each pair of braces")
            if name in names:
                raise ValueError("must not use the name {!r} twice".format(name))
            pattern += _literal(text[place : found.start()])
            pattern += "(?P<_{}>[^/]+?)".format(len(names)) if time is None else self._time(name, time, len(names))
            names.append(name)
            place = found.end()
        if not names:
            raise ValueError("must have a placeholder, such as {user}")
        self.names = tuple(names)
        pattern += _literal(text[place:])
        self._match = re.compile("(?:^|/)" + pattern.lstrip("/") + r"\Z", re.DOTALL).search

    def read(self, path: str) -> Optional[Dict[str, Any]]:
        """Return the values in a path by name, or None if the path does not match the format.

        Values are str or datetime.datetime, or None for a missing value.
        """
        if self.is_hive:
            return _hive_values(path)
        found = self._match(path)
        if found is None:
            return None
        try:
            return {
                name: self._moment(found, name, number) if name in self._times else found["_{}".format(number)]
                for number, name in enumerate(self.names)
            }
        except ValueError:  # a thirteenth month
            return None

    def _time(self, name: str, time: str, number: int) -> str:
        units = _UNIT.findall(time)
        if "yyyy" not in units or len(set(units)) < len(units):
            raise ValueError(
                "must have yyyy, and each of MM, dd, HH, mm and ss at most once, in a time such as {day:yyyy/MM/dd}"
            )
        self._times[name] = units
        parts, place = "", 0
        for index, found in enumerate(_UNIT.finditer(time)):
            parts += re.escape(time[place : found.start()])
            parts += r"(?P<_{}_{}>\d{{{}}})".format(number, index, len(found[0]))
            place = found.end()
        return parts + re.escape(time[place:])

    def _moment(self, found: Match[str], name: str, number: int) -> datetime.datetime:
        parts = {"month": 1, "day": 1}
        parts.update(
            (_UNITS[unit], int(found["_{}_{}".format(number, index)])) for index, unit in enumerate(self._times[name])
        )
        return datetime.datetime(**parts)  # type: ignore[arg-type]  # noqa: DTZ001  (paths know no time zone)


def _hive_values(path: str) -> Optional[Dict[str, Any]]:
    """Return the values of the `name=value` folders directly above a file.

    Returns None if there are none, for a duplicate name, and for bytes that are not UTF-8.
    """
    if path.startswith(("http://", "https://")):
        path = unquote(path)  # the URL of a folder "a%2Fb" contains a%252Fb
    found: List[Tuple[str, Any]] = []
    try:
        for folder in reversed(path.split("/")[:-1]):
            name, is_partition, value = folder.partition("=")
            if not name or not is_partition:
                break
            decoded = unquote(value, errors="strict")
            found.append((unquote(name, errors="strict"), None if value == _HIVE_NULL else decoded))
    except UnicodeDecodeError:
        return None
    values = dict(reversed(found))
    return values if found and len(values) == len(found) else None


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("must have a closing brace for each that opens, and none inside another")
    return "[^/]*".join(map(re.escape, text.split("*")))
