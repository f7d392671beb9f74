"""What the user has to be told: notes, and remarks beside values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Remarked:
    """A value of a document that needs the user's eye, and what is to be said beside it."""

    value: Any
    text: str


def plain(value: Any) -> Any:
    """Return a value without the remarks in it."""
    match value:
        case Remarked():
            return plain(value.value)
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case _:
            return value


@dataclass
class Notes:
    """Sentences about what was not carried over, and what was guessed, in the order of the fields."""

    lines: list[str] = field(default_factory=list)
    at_end: list[Callable[[], None]] = field(default_factory=list)  # each notes what nobody has read

    def close(self) -> None:
        """Note each field that nobody has read, of whatever mapping."""
        for note in self.at_end:
            note()

    def lost(self, path: str, why: str) -> None:
        """Note that a field is not carried over; `why` says what to do instead."""
        self._append(f"{path} is not carried over: {why}")

    def add(self, path: str, text: str) -> None:
        """Note what was guessed, or what the user has to do, about a field."""
        self._append(f"{path}: {text}")

    def _append(self, line: str) -> None:
        if line not in self.lines:  # several steps may share an environment or a store
            self.lines.append(line)
