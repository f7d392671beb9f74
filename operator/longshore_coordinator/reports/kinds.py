"""Failed attempts grouped by what went wrong: the type of the error and the lines that it came through.

Texts differ between attempts of one kind, for they name files and values; lines of code do not. Errors without a
traceback are told apart by their text without numbers, quoted texts and paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from longshore_coordinator.reports.records import Tried
from longshore_protocol.wire import Failure

_FRAME = re.compile(r'File "[^"]*", line \d+')
_VARYING = re.compile(r"""'[^']*'|"[^"]*"|\S*/\S*|[-+]?\d[\d.,]*""")
_MOST = 1000  # kinds that are told apart; of any further one only the attempts are counted
_EXAMPLES = 5  # mini-batches that are named


@dataclass
class Kind:
    """Failed attempts of one kind."""

    example: Tried  # the one of the lowest mini-batch, with its traceback
    texts_differ: bool = False
    attempts: int = 0
    terminal: int = 0
    mini_batches: int = 0
    first: list[int] = field(default_factory=list)  # mini-batches
    _last: int = -1

    @property
    def category(self) -> str:
        """The category that all of them have."""
        return self.example.failure.category

    def see(self, mini_batch: int, *, terminal: bool) -> None:
        """Count an attempt; those of one mini-batch come one after the other."""
        self.attempts += 1
        self.terminal += terminal
        if not self.first or mini_batch != self._last:
            self.mini_batches += 1
            if len(self.first) < _EXAMPLES:
                self.first.append(mini_batch)
        self._last = mini_batch


class Kinds:
    """All kinds of errors of a run."""

    def __init__(self) -> None:
        self._kinds: list[Kind] = []
        self._numbers: dict[str, int] = {}
        self.others = 0  # attempts of kinds that are not told apart

    def add(self, tried: Tried) -> int:
        """Return the number of the kind that an attempt is of; its traceback is kept if it is the best example."""
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

    def see(self, number: int, mini_batch: int, *, terminal: bool) -> None:
        """Count an attempt of a kind, in the order of mini-batches."""
        if number == _MOST:
            self.others += 1
        else:
            self._kinds[number].see(mini_batch, terminal=terminal)

    def ranked(self) -> list[Kind]:
        """Return the kinds, the most frequent first."""
        return sorted(self._kinds, key=lambda each: (-each.attempts, each.example.failure[:2]))


def key_of(failure: Failure) -> str:
    """Return what failures of one kind have in common."""
    frames = _FRAME.findall(failure.traceback)
    if frames:
        return "\n".join([failure.category, failure.message.partition(":")[0], *frames])
    return f"{failure.category}\n{_VARYING.sub('*', failure.message)}"
