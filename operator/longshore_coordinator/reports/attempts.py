"""Every finished attempt of a run, read from the ledger in one pass: about 60 bytes each, whatever was said of it.

Messages of failed attempts go to a temporary file once they take more than a few megabytes. Tracebacks are kept for one
example of each kind of error only.
"""

from __future__ import annotations

import struct
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

from longshore_coordinator.error_log import Surplus, failure_of, short_return
from longshore_coordinator.reports.kinds import Kinds
from longshore_coordinator.reports.records import Done, Tried
from longshore_coordinator.reports.sums import Sums
from longshore_protocol.errors import CATEGORIES
from longshore_protocol.snapshot import FirstError
from longshore_protocol.wire import Completion, Failure

_DONE = struct.Struct("<IIIQQQQQQ")  # attempt (0: none), worker, process, succeeded, items, microseconds: 4 times
_TRIED = struct.Struct("<iIqiBBIIIddQI")  # see _Row
_NUMBER = struct.Struct("<i")  # the first of them
_IN_MEMORY = 16 << 20  # bytes of messages that are not written to a file
_SAME = 1000  # messages that are recognized when they come again
_CATEGORIES = {category: number for number, category in enumerate(CATEGORIES)}


class _Row(NamedTuple):
    mini_batch: int
    attempt: int
    items: int
    process: int
    category: int
    terminal: int
    worker: int
    log: int
    kind: int
    started: float
    elapsed: float
    message: int  # where it begins
    length: int  # of it, in bytes


class Lost(NamedTuple):
    """A mini-batch with failed items."""

    attempt: Tried  # the last one
    attempts: int
    items_failed: int  # below 0: not known


class Attempts:
    """The finished attempts of one run. Use it in a `with`; it may hold a temporary file."""

    def __init__(self, *, counts_empty: bool = True, first_error: FirstError | None = None) -> None:
        self.counts_empty = counts_empty  # whether mini-batches without any result have failed items
        self.first: Tried | None = None  # the attempt with this first error
        self.sums = Sums()
        self.surplus = Surplus()
        self.kinds = Kinds()
        self._first_error = first_error
        self._done = bytearray()  # by mini-batch
        self._tried = bytearray()  # as they came
        self._sorted = array("I")
        self._names: list[str] = []  # of workers and logs
        self._numbers: dict[str, int] = {}
        self._messages = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed in __exit__)
        self._end = 0  # of the messages
        self._places: dict[str, tuple[int, int]] = {}

    @staticmethod
    def of(
        records: Iterable[dict[str, Any]], *, counts_empty: bool = True, first_error: FirstError | None = None
    ) -> Attempts:
        """Read the valid records of a ledger. Raises OSError when messages cannot be put by."""
        attempts = Attempts(counts_empty=counts_empty, first_error=first_error)
        for record in records:
            if "done" in record:
                attempts._add_done(record["done"]["worker"], record["done"]["mini_batches"])
            elif "tried" in record:
                entry = record["tried"]
                attempts._add_tried(entry["worker"], Failure(*entry["failure"]), terminal=entry["terminal"])
        return attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._messages.close()

    def in_order(self) -> Iterator[Done | Tried]:
        """Yield all attempts by mini-batch, then by attempt; those without a mini-batch come first."""
        for number, tried in self._by_mini_batch():
            done = self._done_row(number, tries=len(tried) + 1)
            if done is not None:
                before = sum(each.failure.attempt < done.completion.attempt for each in tried)
                tried.insert(before, done)  # type: ignore[arg-type]
            yield from tried

    def lost(self) -> Iterator[Lost]:
        """Yield the mini-batches with failed items, by number: failed permanently, or with too few results."""
        for number, tried in self._by_mini_batch():
            if self._is_short(number):
                done = self._done_row(number, tries=len(tried) + 1)
                assert done is not None, "or it had no results that could be too few"
                yield Lost(_as_tried(done), done.tries, done.completion.items - done.completion.succeeded)
            elif tried and number >= 0 and not self._is_done(number):
                terminal = [each for each in tried if each.terminal]
                if terminal:
                    yield Lost(terminal[-1], len(tried), terminal[-1].failure.items)

    def short(self) -> Iterator[Tried]:
        """Yield the committed mini-batches with failed items, as failures."""
        for number in filter(self._is_short, range(len(self._done) // _DONE.size)):
            done = self._done_row(number, tries=1)
            assert done is not None, "or it had no results that could be too few"
            yield _as_tried(done)

    def _is_done(self, number: int) -> bool:
        at = number * _DONE.size
        return 0 <= at < len(self._done) and _DONE.unpack_from(self._done, at)[0] > 0

    def _is_short(self, number: int) -> bool:
        """Tell whether a mini-batch is committed with failed items."""
        at = number * _DONE.size
        if not 0 <= at < len(self._done):
            return False
        attempt, _, _, succeeded, items, *_ = _DONE.unpack_from(self._done, at)
        return attempt > 0 and succeeded < items and (succeeded > 0 or self.counts_empty)

    def count_kinds(self) -> Kinds:
        """Return the kinds of errors with what all attempts came to; call it once."""
        places = self._order()
        for at, index in enumerate(places, 1):
            row = self._row(index)
            # One that was retried since, or is done, did not fail for good.
            is_last = at == len(places) or self._mini_batch(places[at]) != row.mini_batch
            terminal = bool(row.terminal) and is_last and not self._is_done(row.mini_batch)
            self.kinds.see(row.kind, row.mini_batch, terminal=terminal)
        for each in self.short():
            self.kinds.see(self.kinds.add(each), each.failure.mini_batch, terminal=False)
        return self.kinds

    def by_process(self) -> Iterator[tuple[str, int, Iterator[Done | Tried]]]:
        """Yield each process, by worker and number, with its attempts in the order of time."""
        found: dict[tuple[str, int], array[int]] = {}
        for number in range(len(self._done) // _DONE.size):
            attempt, worker, process, *_ = _DONE.unpack_from(self._done, number * _DONE.size)
            if attempt:
                found.setdefault((self._names[worker], process), array("q")).append(number)
        for index in range(len(self._tried) // _TRIED.size):
            row = self._row(index)
            if row.process >= 0:
                found.setdefault((self._names[row.worker], row.process), array("q")).append(-1 - index)
        for (worker, process), places in sorted(found.items()):
            yield worker, process, map(self._at, sorted(places, key=self._started))

    def _at(self, place: int) -> Done | Tried:
        if place < 0:
            return self._tried_row(-1 - place, picked=1)
        done = self._done_row(place, tries=1)
        assert done is not None, "only mini-batches that are done are given"
        return done

    def _started(self, place: int) -> float:
        if place < 0:
            return self._row(-1 - place).started
        started: int = _DONE.unpack_from(self._done, place * _DONE.size)[5]
        return started / 1e6

    def _by_mini_batch(self) -> Iterator[tuple[int, list[Tried]]]:
        """Yield every mini-batch with its failed attempts; -1 first, which stands for none."""
        places = self._order()
        at, end = 0, len(places)
        last = self._mini_batch(places[-1]) if places else -1
        for number in range(-1, max(last + 1, len(self._done) // _DONE.size)):
            begin = at
            while at < end and self._mini_batch(places[at]) == number:
                at += 1
            yield number, [self._tried_row(place, picked) for picked, place in enumerate(places[begin:at], 1)]

    def _order(self) -> array[int]:
        """Return the failed attempts by mini-batch and attempt, as indices."""
        if len(self._sorted) != len(self._tried) // _TRIED.size:
            keys = [
                (mini_batch + 1) << 64 | attempt << 32 | index
                for index, (mini_batch, attempt, *_) in enumerate(_TRIED.iter_unpack(self._tried))
            ]
            keys.sort()
            self._sorted = array("I", (key & 0xFFFFFFFF for key in keys))
        return self._sorted

    def _mini_batch(self, index: int) -> int:
        number: int = _NUMBER.unpack_from(self._tried, index * _TRIED.size)[0]
        return number

    def _row(self, index: int) -> _Row:
        return _Row._make(_TRIED.unpack_from(self._tried, index * _TRIED.size))

    def _tried_row(self, index: int, picked: int) -> Tried:
        row = self._row(index)
        self._messages.seek(row.message)
        failure = Failure(
            row.mini_batch,
            row.attempt,
            row.items,
            row.process,
            CATEGORIES[row.category],
            self._messages.read(row.length).decode("utf-8", "surrogatepass"),
            "",
            row.started,
            row.elapsed,
            self._names[row.log],
        )
        return Tried(self._names[row.worker], failure, bool(row.terminal), picked, row.kind)

    def _done_row(self, number: int, *, tries: int) -> Done | None:
        at = number * _DONE.size
        if number < 0 or at >= len(self._done):
            return None
        attempt, worker, process, succeeded, items, *times = _DONE.unpack_from(self._done, at)
        if not attempt:
            return None
        return Done(
            self._names[worker], Completion(number, attempt, 0, 0, succeeded, items, -1, process, *times), tries
        )

    def _add_done(self, worker: str, raws: Iterable[list[Any]]) -> None:
        who = self._name(worker)
        for raw in raws:
            number, attempt, _, _, succeeded, items, _, process, *times = raw
            at = number * _DONE.size
            if at >= len(self._done):
                self._done.extend(bytes(at + _DONE.size - len(self._done)))
            elif _DONE.unpack_from(self._done, at)[0]:
                continue  # the first completion counts
            _DONE.pack_into(self._done, at, attempt, who, process, succeeded, items, *times)
            self.sums.add_done(worker, process, succeeded=succeeded, items=items, times=times)
            if succeeded:
                self.counts_empty = True
            if succeeded > items:
                self.surplus.add(number, succeeded, items)
            elif succeeded < items and self.first is None:
                self._look_for_first(Tried(worker, short_return(number, items=items, succeeded=succeeded), False))

    def _add_tried(self, worker: str, failure: Failure, *, terminal: bool) -> None:
        tried = Tried(worker, failure, terminal)
        kind = self.kinds.add(tried)
        self.sums.add_tried(worker, failure.process, failure.started, failure.elapsed)
        place, length = self._put_by(failure.message)
        row = _Row(
            *(failure.mini_batch, failure.attempt, failure.items, failure.process),
            *(_CATEGORIES[failure.category], terminal, self._name(worker), self._name(failure.log), kind),
            *(failure.started, failure.elapsed, place, length),
        )
        self._tried += _TRIED.pack(*row)
        if self.first is None:
            self._look_for_first(tried)

    def _look_for_first(self, tried: Tried) -> None:
        error, failure = self._first_error, tried.failure
        if error is not None and (error.mini_batch if error.mini_batch is not None else -1, error.message) == (
            failure.mini_batch,
            failure.message,
        ):
            self.first = tried

    def _put_by(self, message: str) -> tuple[int, int]:
        """Keep a message; return where it begins and how long it is."""
        known = self._places.get(message)
        if known is None:
            data = message.encode("utf-8", "surrogatepass")
            known = (self._end, len(data))
            self._messages.seek(self._end)
            self._messages.write(data)
            self._end += len(data)
            if len(self._places) >= _SAME:
                self._places.clear()
            self._places[message] = known
        return known

    def _name(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self._names)
            self._names.append(text)
        return self._numbers[text]


def _as_tried(done: Done) -> Tried:
    """Return a completion with too few results as the failure that its missing items are."""
    failure = failure_of(done.completion)
    return Tried(done.worker, failure, terminal=False, picked=done.tries)
