"""The errors of a run: the first one, and examples of mini-batches with failed items, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from longshore_protocol import errors
from longshore_protocol.snapshot import FirstError
from longshore_protocol.wire import Completion, Failure

_MAX_EXAMPLES = 5  # mini-batches with failed items


@dataclass
class _Errors:
    """Errors of one kind."""

    first: FirstError | None = None
    order: int = 0  # position of `first` among all errors
    mini_batches: list[int] = field(default_factory=list)  # examples with failed items


@dataclass
class Surplus:
    """Mini-batches that returned more results than they have items, which is a warning and not a failure."""

    mini_batches: int = 0
    example: tuple[int, int, int] | None = None  # mini-batch, results, items

    def add(self, mini_batch: int, succeeded: int, items: int) -> None:
        """Count a mini-batch; the first one becomes the example."""
        self.mini_batches += 1
        if self.example is None:
            self.example = (mini_batch, succeeded, items)


class ErrorLog:
    """The errors of one run, across its coordinators.

    With `counts_empty`, a mini-batch without any result is an error. Otherwise it becomes one as soon as another
    mini-batch has a result: until then, the script may be one that returns nothing and writes its own files.
    """

    def __init__(self, *, counts_empty: bool = True) -> None:
        self.counts_empty = counts_empty
        self.surplus = Surplus()
        self._failures, self._short, self._empty = _Errors(), _Errors(), _Errors()
        self._seen = 0

    @property
    def first(self) -> FirstError | None:
        """The first error, or None."""
        kinds = [each for each in self._counted() if each.first is not None]
        return min(kinds, key=lambda each: each.order).first if kinds else None

    def examples(self) -> list[int]:
        """Return the numbers of a few mini-batches with failed items."""
        return [number for kind in self._counted() for number in kind.mini_batches][:_MAX_EXAMPLES]

    def record_failure(self, worker: str, failure: Failure, *, terminal: bool) -> None:
        """Record a failed attempt; a terminal one makes its mini-batch an example."""
        self._add(self._failures, worker, failure, counts=terminal)

    def record_uneven_return(self, worker: str, mini_batch: int, *, items: int, succeeded: int) -> None:
        """Record a committed mini-batch with fewer or more results than items."""
        if succeeded > items:
            self.surplus.add(mini_batch, succeeded, items)
            return
        kind = self._short if succeeded or self.counts_empty else self._empty
        self._add(kind, worker, short_return(mini_batch, items=items, succeeded=succeeded), counts=True)

    def require_results(self) -> None:
        """Treat mini-batches without any result as errors, including earlier ones."""
        self.counts_empty = True

    def reset_failures(self) -> None:
        """Discard failed attempts, because their mini-batches get all their tries again."""
        self._failures = _Errors()

    def _counted(self) -> list[_Errors]:
        return [self._failures, self._short, *([self._empty] if self.counts_empty else [])]

    def _add(self, kind: _Errors, worker: str, failure: Failure, *, counts: bool) -> None:
        self._seen += 1
        if kind.first is None:
            kind.order = self._seen
            kind.first = FirstError(
                category=failure.category,
                message=failure.message,
                worker=worker,
                mini_batch=failure.mini_batch if failure.mini_batch >= 0 else None,
                traceback=failure.traceback,
            )
        if counts and len(kind.mini_batches) < _MAX_EXAMPLES and failure.mini_batch not in kind.mini_batches:
            kind.mini_batches.append(failure.mini_batch)


def failure_of(done: Completion) -> Failure:
    """Return the failure that a completion with fewer results than items amounts to."""
    failure = short_return(done.mini_batch, items=done.items, succeeded=done.succeeded)
    return failure._replace(attempt=done.attempt, process=done.process, started=done.started, elapsed=done.elapsed)


def short_return(mini_batch: int, *, items: int, succeeded: int) -> Failure:
    """Return the failure of a mini-batch with fewer results than items, without process and times."""
    message = f"run() returned {succeeded} results for {items} items"
    return Failure(mini_batch, 0, items, -1, errors.WRONG_RETURN, message, "", 0.0, 0.0, "")
