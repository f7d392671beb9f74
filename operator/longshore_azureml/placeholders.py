"""Objects inside texts: `f"folder={output}"` contains a token, which becomes a reference when a step is built."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any, Self

from longshore_azureml.unsupported import Supported

_TOKEN = re.compile(r"\$\(azureml:(\d+)\)")
_numbers = itertools.count(1)
_objects: dict[str, Placeholder] = {}  # for the life of the process: a text may be used at any time


class Placeholder(Supported):
    """An object that may be in a step's arguments, alone or inside a text. `str()` returns its token."""

    def __str__(self) -> str:
        token = self.__dict__.get("_token")
        if token is None:
            number = str(next(_numbers))
            _objects[number] = self
            token = self.__dict__["_token"] = f"$(azureml:{number})"
        return str(token)

    @property
    def arg_val(self) -> str:
        """The token of this object, for texts such as f"folder={output.arg_val}"."""
        return str(self)

    def changed(self, **changes: Any) -> Self:
        """Return a copy with other attributes; the copy has a token of its own."""
        made = copy.copy(self)
        made.__dict__.pop("_token", None)
        made.__dict__.update(changes)
        return made


def parts(text: str) -> Iterator[str | Placeholder]:
    """Yield the parts of a text: texts, and the objects whose tokens are between them."""
    for index, part in enumerate(_TOKEN.split(text)):
        if index % 2:
            yield _objects[part]
        elif part:
            yield part
