"""Messages to the user: notes, and remarks beside values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Remarked:
    """A value of a document that the user must check, and the remark beside it."""

    value: Any
    text: str


def plain(value: Any) -> Any:
    """Return a value without its remarks."""
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
    """Sentences about fields that are not translated or are guessed, in the order of the fields."""

    lines: list[str] = field(default_factory=list)
    at_end: list[Callable[[], None]] = field(default_factory=list)  # each notes the unread fields of a mapping

    def close(self) -> None:
        """Note each unread field of every mapping."""
        for note in self.at_end:
            note()

    def lost(self, path: str, why: str) -> None:
        """Note that the field at `path` is not translated; `why` states the reason and an alternative."""
        self._append(f"{path} is not carried over: {why}")

    def add(self, path: str, text: str) -> None:
        """Note a guess, or a task for the user, about the field at `path`."""
        self._append(f"{path}: {text}")

    def _append(self, line: str) -> None:
        if line not in self.lines:  # several steps may share an environment or a store
            self.lines.append(line)
