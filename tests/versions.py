"""What another version of Longshore would have written: dataclasses as JSON with other fields."""

import json
from dataclasses import MISSING, fields, is_dataclass

LATER = {"a_field_of_another_version": [{}]}


def levels(value, path=()):
    """Yield each dataclass in a value, with the keys that lead to it in its JSON."""
    if is_dataclass(value):
        yield path, value
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, each in inner:
        yield from levels(each, (*path, key))


def at(raw, path):
    """Return the part of a JSON value that keys lead to."""
    for key in path:
        raw = raw[key]
    return raw


def default_of(field):
    """Return the default of a dataclass's field; MISSING where it has none."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def of_another_version(kind, text):
    """Return the JSON of a value with more fields at every level, and without those that have their defaults."""
    raw = json.loads(text)
    for path, level in reversed(list(levels(kind.from_json(text)))):
        for each in fields(level):
            if getattr(level, each.name) == default_of(each):
                del at(raw, path)[each.name]
        at(raw, path).update(LATER)
    return json.dumps(raw)
