"""Conversion of Azure ML's names into valid Longshore names."""

from __future__ import annotations

import re
from collections.abc import Callable

STEP_LONGEST = 32  # characters, in a pipeline and by itself


def resource_name(text: str) -> str:
    """Return a valid name of a resource: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-") or "unnamed"


def step_name(text: str) -> str:
    """Return a valid name of a step: 3 to 32 characters, the first one a letter."""
    name = resource_name(text)
    if not name[0].isalpha() or len(name) < 3:
        name = f"step-{name}"
    return name[:STEP_LONGEST].rstrip("-")


def port_name(text: str) -> str:
    """Return a valid name of an input, an output or a parameter."""
    name = re.sub(r"[^-A-Za-z0-9_]", "_", text).rstrip("-")
    return (name if name[:1].isalpha() or name[:1] == "_" else f"_{name}")[:64].rstrip("-")


class Names:
    """Unique names of one kind: "prep", then "prep-2"."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._given: dict[str, str] = {}

    def of(self, text: str) -> str:
        """Return the unique name for a text; equal texts have the same name."""
        if text not in self._given:
            name, number = self._form(text), 1
            while name in self._given.values():
                number += 1
                name = f"{self._form(text)[: STEP_LONGEST - 4].rstrip('-_')}-{number}"
            self._given[text] = name
        return self._given[text]
