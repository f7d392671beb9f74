"""Which errors a run had: the first one, and a few mini-batches with failed items. Bounded, whatever the run does."""

from __future__ import annotations

from dataclasses import dataclass, field

from longshore_protocol import errors
from longshore_protocol.snapshot import FirstError
from longshore_protocol.wire import Completion, Failure

_EXAMPLES = 5  # mini-batches with failed items that are remembered


@dataclass
class _Errors:
    """Errors of one kind."""

    first: FirstError | None = None
    order: int = 0  # of the first among all errors
    mini_batches: list[int] = field(default_factory=list)  # the first few with failed items


@dataclass
class Surplus:
    """Mini-batches that returned more results than they have items: no failure, and worth a warning."""

    mini_batches: int = 0
    example: tuple[int, int, int] | None = None  # mini-batch, results, items

    def add(self, mini_batch: int, succeeded: int, items: int) -> None:
        """Note one of them."""
        self.mini_batches += 1
        if self.example is None:
            self.example = (mini_batch, succeeded, items)


class ErrorLog:
    """The errors of one run, across its coordinators.

    `counts_empty`: whether a mini-batch without any result is an error by itself. If not, it becomes one once another
    mini-batch has a result: until then the script may be one that returns nothing and writes its own files.
    """

    def __init__(self, *, counts_empty: bool = True) -> None:
        self.counts_empty = counts_empty
        self.surplus = Surplus()
        self._failures, self._short, self._empty = _Errors(), _Errors(), _Errors()
        self._seen = 0

    @property
    def first(self) -> FirstError | None:
        """The error that came first."""
        kinds = [each for each in self._counted() if each.first is not None]
        return min(kinds, key=lambda each: each.order).first if kinds else None

    def examples(self) -> list[int]:
        """Return the first few mini-batches with failed items."""
        return [number for kind in self._counted() for number in kind.mini_batches][:_EXAMPLES]

    def failed(self, worker: str, failure: Failure, *, terminal: bool) -> None:
        """Note a failed attempt; after a terminal one the mini-batch's items are failed."""
        self._add(self._failures, worker, failure, counts=terminal)

    def uneven(self, worker: str, mini_batch: int, *, items: int, succeeded: int) -> None:
        """Note a committed mini-batch with fewer or more results than items."""
        if succeeded > items:
            self.surplus.add(mini_batch, succeeded, items)
            return
        kind = self._short if succeeded or self.counts_empty else self._empty
        self._add(kind, worker, short_return(mini_batch, items=items, succeeded=succeeded), counts=True)

    def has_results(self) -> None:
        """Note that a mini-batch has results: those without any are errors from now on, and were before."""
        self.counts_empty = True

    def retry(self) -> None:
        """Forget failed attempts: their mini-batches have all their tries again."""
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
        if counts and len(kind.mini_batches) < _EXAMPLES and failure.mini_batch not in kind.mini_batches:
            kind.mini_batches.append(failure.mini_batch)


def failure_of(done: Completion) -> Failure:
    """Return a completion with fewer results than items as a failure."""
    failure = short_return(done.mini_batch, items=done.items, succeeded=done.succeeded)
    return failure._replace(attempt=done.attempt, process=done.process, started=done.started, elapsed=done.elapsed)


def short_return(mini_batch: int, *, items: int, succeeded: int) -> Failure:
    """Return fewer results than items as a failure; who runs the mini-batch and when is not in it."""
    message = f"run() returned {succeeded} results for {items} items"
    return Failure(mini_batch, 0, items, -1, errors.WRONG_RETURN, message, "", 0.0, 0.0, "")
