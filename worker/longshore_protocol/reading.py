"""Decode dataclasses from JSON that this or an adjacent version of Longshore wrote.

Operator, coordinator, agents and command are upgraded and rolled back one after another and read each other's JSON. At
every level, unknown fields are ignored and missing fields get their defaults; only fields without a default are
required. Numbers and texts are not validated; messages of user processes are checked by the rules of `fields` as well.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Callable, Dict, Optional, Tuple, Type, TypeVar, Union, cast, get_type_hints

T = TypeVar("T")

_Reader = Callable[[Any, str], Any]  # takes a JSON value and its path, such as "Job.inputs[0]"
_LIST = (list, tuple)  # `dataclasses.asdict` returns tuples
_OBJECT = (dict,)


class UnreadableError(ValueError):
    """A required field is missing, or a value has the wrong type."""


def read(kind: Type[T], raw: Any) -> T:
    """Decode a JSON value as the dataclass `kind`; return it. Raises UnreadableError, a ValueError."""
    reader = _reader(cast("Any", kind))
    assert reader is not None, "dataclasses have one"
    return cast("T", reader(raw, kind.__name__))


def read_text(kind: Type[T], text: str) -> T:
    """Decode a JSON document as the dataclass `kind`; return it. Raises ValueError, also for invalid JSON."""
    return read(kind, json.loads(text))


@lru_cache(maxsize=None)
def _reader(hint: Any) -> Optional[_Reader]:
    """Return the reader of a type, or None if the JSON value needs no conversion."""
    if is_dataclass(hint):
        return _dataclass(cast("Type[Any]", hint))
    origin: Any = getattr(hint, "__origin__", None)
    args: Tuple[Any, ...] = getattr(hint, "__args__", ())
    if type(None) in args and (origin is None or origin is Union):  # None: the origin of `X | None` since Python 3.10
        return _optional([each for each in args if each is not type(None)])
    if origin is tuple:
        return _tuple(args[0]) if args[1:] == (Ellipsis,) else _row(args)
    if origin is list:
        return _list(args[0])
    # Dict or Mapping; the origin of Mapping is an abstract class.
    return _mapping(args[1]) if isinstance(origin, type) and issubclass(dict, origin) and len(args) == 2 else None


def _dataclass(kind: Type[Any]) -> _Reader:
    hints = get_type_hints(kind)
    readers: Dict[str, Optional[_Reader]] = {}
    required = []
    for each in fields(kind):
        readers[each.name] = _reader(hints[each.name])
        if each.default is MISSING and each.default_factory is MISSING:
            required.append(each.name)

    def read_object(raw: Any, where: str) -> Any:
        _require(raw, _OBJECT, where)
        for name in required:
            if name not in raw:
                of = "" if where == kind.__name__ else ", of type {},".format(kind.__name__)
                text = '{}{} has no field "{}", which this version of Longshore requires; use the version that wrote it'
                raise UnreadableError(text.format(where, of, name))
        given = {}
        for name, value in raw.items():
            if name in readers:
                reader = readers[name]
                given[name] = value if reader is None else reader(value, "{}.{}".format(where, name))
        return kind(**given)

    return read_object


def _optional(kinds: Any) -> Optional[_Reader]:
    (kind,) = kinds  # other unions are not supported
    reader = _reader(kind)
    return None if reader is None else lambda raw, where: None if raw is None else reader(raw, where)


def _tuple(kind: Any) -> _Reader:
    read_elements = _list(kind)
    return lambda raw, where: tuple(read_elements(raw, where))


def _list(kind: Any) -> _Reader:
    reader = _reader(kind)

    def read_elements(raw: Any, where: str) -> Any:
        _require(raw, _LIST, where)
        if reader is None:
            return list(raw)
        return [reader(each, "{}[{}]".format(where, index)) for index, each in enumerate(raw)]

    return read_elements


def _row(kinds: Any) -> _Reader:
    """Return the reader of a tuple of a fixed length, such as a model's name, version and path."""

    def read_row(raw: Any, where: str) -> Any:
        _require(raw, _LIST, where)
        if len(raw) != len(kinds):
            raise UnreadableError("{} has {} elements; it must have {}".format(where, len(raw), len(kinds)))
        return tuple(raw)

    return read_row


def _mapping(kind: Any) -> _Reader:
    reader = _reader(kind)

    def read_values(raw: Any, where: str) -> Any:
        _require(raw, _OBJECT, where)
        if reader is None:
            return raw
        return {name: reader(value, "{}.{}".format(where, name)) for name, value in raw.items()}

    return read_values


def _require(raw: Any, kinds: Tuple[type, ...], where: str) -> None:
    if not isinstance(raw, kinds):
        raise UnreadableError("{} is {}; it must be {}".format(where, _describe(raw), _describe(kinds[0]())))


def _describe(raw: Any) -> str:
    if isinstance(raw, _OBJECT):
        return "an object"
    return "a list" if isinstance(raw, _LIST) else "null" if raw is None else "a single value"
