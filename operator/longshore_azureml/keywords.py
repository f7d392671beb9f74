"""Checked keywords: an unknown one raises a TypeError that names the nearest known one."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def checked(cls: type[T]) -> type[T]:
    """Check the keywords of a class's constructor and public methods; return the class."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        subject = cls.__name__ if name == "__init__" else f"{cls.__name__}.{name}"
        if isinstance(member, classmethod | staticmethod):
            setattr(cls, name, type(member)(_checking(member.__func__, subject)))
        elif inspect.isfunction(member):
            setattr(cls, name, _checking(member, subject))
    return cls


def nearest(name: str, known: list[str]) -> str:
    """Return a sentence part that suggests the known name nearest to `name`, or lists all."""
    found = difflib.get_close_matches(name, known, 1, 0.5)
    if found:
        return f'did you mean "{found[0]}"?'
    return f"known are: {', '.join(known) or 'none'}"


def _checking(function: F, subject: str) -> F:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return function
    known = [each.name for each in parameters if each.name not in ("self", "cls")]

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        for name in keywords:
            if name not in known:
                raise TypeError(f'{subject}() has no argument "{name}"; {nearest(name, known)}')
        return function(*arguments, **keywords)

    return call  # type: ignore[return-value]  # the same signature, by functools.wraps
