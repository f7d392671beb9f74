"""Failed attempts grouped by kind of error: its type and the lines of code in its traceback.

Messages are not compared, because they contain files and values. Errors without a traceback are grouped by their
message without numbers, quoted texts and paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from longshore_coordinator.reports.records import Tried
from longshore_protocol.wire import Failure

_FRAME = re.compile(r'File "[^"]*", line \d+')
_VARYING = re.compile(r"""'[^']*'|"[^"]*"|\S*/\S*|[-+]?\d[\d.,]*""")
_MOST = 1000  # kinds that are distinguished; the attempts of further ones are only counted
_MAX_EXAMPLES = 5  # mini-batches per kind


@dataclass
class Kind:
    """Failed attempts of one kind."""

    example: Tried  # the attempt of the lowest mini-batch, with its traceback
    texts_differ: bool = False
    attempts: int = 0
    terminal: int = 0
    mini_batches: int = 0
    first: list[int] = field(default_factory=list)  # a few mini-batches
    _last: int = -1

    @property
    def category(self) -> str:
        """The category of all attempts."""
        return self.example.failure.category

    def count(self, mini_batch: int, *, terminal: bool) -> None:
        """Count an attempt; call it for the attempts of one mini-batch consecutively."""
        self.attempts += 1
        self.terminal += terminal
        if not self.first or mini_batch != self._last:
            self.mini_batches += 1
            if len(self.first) < _MAX_EXAMPLES:
                self.first.append(mini_batch)
        self._last = mini_batch


class Kinds:
    """The kinds of errors of a run."""

    def __init__(self) -> None:
        self._kinds: list[Kind] = []
        self._numbers: dict[str, int] = {}
        self.others = 0  # attempts of further kinds

    def add(self, tried: Tried) -> int:
        """Add an attempt, as example if it is of the lowest mini-batch so far; return the number of its kind."""
        key = key_of(tried.failure)
        number = self._numbers.get(key)
        if number is None:
            if len(self._kinds) == _MOST:
                return _MOST
            self._numbers[key] = len(self._kinds)
            self._kinds.append(Kind(tried))
            return len(self._kinds) - 1
        kind = self._kinds[number]
        kind.texts_differ |= kind.example.failure.message != tried.failure.message
        if tried.failure[:2] < kind.example.failure[:2]:
            kind.example = tried
        return number

    def count(self, number: int, mini_batch: int, *, terminal: bool) -> None:
        """Count an attempt of a kind; call it in the order of mini-batches."""
        if number == _MOST:
            self.others += 1
        else:
            self._kinds[number].count(mini_batch, terminal=terminal)

    def ranked(self) -> list[Kind]:
        """Return the kinds sorted by frequency, the most frequent first."""
        return sorted(self._kinds, key=lambda each: (-each.attempts, each.example.failure[:2]))


def key_of(failure: Failure) -> str:
    """Return a key that is equal for failures of one kind."""
    frames = _FRAME.findall(failure.traceback)
    if frames:
        return "\n".join([failure.category, failure.message.partition(":")[0], *frames])
    return f"{failure.category}\n{_VARYING.sub('*', failure.message)}"
