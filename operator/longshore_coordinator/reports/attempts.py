"""All finished attempts of a run, read from the ledger in one pass, in about 60 bytes each.

Messages of failed attempts are moved to a temporary file when they exceed a few megabytes. A traceback is kept for one
example of each kind of error.
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
_IN_MEMORY = 16 << 20  # bytes of messages that are kept in memory
_MAX_KNOWN = 1000  # messages that are stored once if they occur again
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
    message: int  # offset of the message
    length: int  # of the message, in bytes


class FailedMiniBatch(NamedTuple):
    """A mini-batch with failed items."""

    attempt: Tried  # the last attempt
    attempts: int
    items_failed: int  # negative if unknown


class Attempts:
    """The finished attempts of one run. A context manager, because it may use a temporary file."""

    def __init__(self, *, counts_empty: bool = True, first_error: FirstError | None = None) -> None:
        self.counts_empty = counts_empty  # whether mini-batches without any result have failed items
        self.first: Tried | None = None  # the attempt with the first error
        self.sums = Sums()
        self.surplus = Surplus()
        self.kinds = Kinds()
        self._first_error = first_error
        self._done = bytearray()  # by mini-batch
        self._tried = bytearray()  # in the order of the ledger
        self._sorted = array("I")
        self._names: list[str] = []  # of workers and logs
        self._numbers: dict[str, int] = {}
        self._messages = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed in __exit__)
        self._end = 0  # bytes of messages
        self._known: dict[str, tuple[int, int]] = {}  # message -> offset, length

    @staticmethod
    def of(
        records: Iterable[dict[str, Any]], *, counts_empty: bool = True, first_error: FirstError | None = None
    ) -> Attempts:
        """Read the valid records of a ledger. Raises OSError if messages cannot be stored."""
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

    def failed_mini_batches(self) -> Iterator[FailedMiniBatch]:
        """Yield the mini-batches with failed items, by number: permanently failed, or with too few results."""
        for number, tried in self._by_mini_batch():
            if self._is_short(number):
                done = self._done_row(number, tries=len(tried) + 1)
                assert done is not None, "a short mini-batch is committed"
                failed = done.completion.items - done.completion.succeeded
                yield FailedMiniBatch(_as_tried(done), done.tries, failed)
            elif tried and number >= 0 and not self._is_done(number):
                terminal = [each for each in tried if each.terminal]
                if terminal:
                    yield FailedMiniBatch(terminal[-1], len(tried), terminal[-1].failure.items)

    def short(self) -> Iterator[Tried]:
        """Yield the committed mini-batches with failed items, as failures."""
        for number in filter(self._is_short, range(len(self._done) // _DONE.size)):
            done = self._done_row(number, tries=1)
            assert done is not None, "a short mini-batch is committed"
            yield _as_tried(done)

    def _is_done(self, number: int) -> bool:
        at = number * _DONE.size
        return 0 <= at < len(self._done) and _DONE.unpack_from(self._done, at)[0] > 0

    def _is_short(self, number: int) -> bool:
        """Return whether a mini-batch is committed with failed items."""
        at = number * _DONE.size
        if not 0 <= at < len(self._done):
            return False
        attempt, _, _, succeeded, items, *_ = _DONE.unpack_from(self._done, at)
        return attempt > 0 and succeeded < items and (succeeded > 0 or self.counts_empty)

    def count_kinds(self) -> Kinds:
        """Return the kinds of errors with the counts of all attempts; call it once."""
        indices = self._order()
        for at, index in enumerate(indices, 1):
            row = self._row(index)
            # A terminal attempt is not permanent if its mini-batch was retried later or is done.
            is_last = at == len(indices) or self._mini_batch(indices[at]) != row.mini_batch
            terminal = bool(row.terminal) and is_last and not self._is_done(row.mini_batch)
            self.kinds.count(row.kind, row.mini_batch, terminal=terminal)
        for each in self.short():
            self.kinds.count(self.kinds.add(each), each.failure.mini_batch, terminal=False)
        return self.kinds

    def by_process(self) -> Iterator[tuple[str, int, Iterator[Done | Tried]]]:
        """Yield worker, process number and the chronological attempts of each process."""
        found: dict[tuple[str, int], array[int]] = {}
        for number in range(len(self._done) // _DONE.size):
            attempt, worker, process, *_ = _DONE.unpack_from(self._done, number * _DONE.size)
            if attempt:
                found.setdefault((self._names[worker], process), array("q")).append(number)
        for index in range(len(self._tried) // _TRIED.size):
            row = self._row(index)
            if row.process >= 0:
                found.setdefault((self._names[row.worker], row.process), array("q")).append(-1 - index)
        for (worker, process), references in sorted(found.items()):
            yield worker, process, map(self._resolve, sorted(references, key=self._started))

    def _resolve(self, reference: int) -> Done | Tried:
        """Return the attempt of a reference: the number of a done mini-batch, or -1 - the index of a failed attempt."""
        if reference < 0:
            return self._tried_row(-1 - reference, picked=1)
        done = self._done_row(reference, tries=1)
        assert done is not None, "references are to done mini-batches only"
        return done

    def _started(self, reference: int) -> float:
        if reference < 0:
            return self._row(-1 - reference).started
        started: int = _DONE.unpack_from(self._done, reference * _DONE.size)[5]
        return started / 1e6

    def _by_mini_batch(self) -> Iterator[tuple[int, list[Tried]]]:
        """Yield every mini-batch with its failed attempts; first -1, which stands for no mini-batch."""
        indices = self._order()
        at, end = 0, len(indices)
        last = self._mini_batch(indices[-1]) if indices else -1
        for number in range(-1, max(last + 1, len(self._done) // _DONE.size)):
            begin = at
            while at < end and self._mini_batch(indices[at]) == number:
                at += 1
            yield number, [self._tried_row(index, picked) for picked, index in enumerate(indices[begin:at], 1)]

    def _order(self) -> array[int]:
        """Return the indices of the failed attempts, sorted by mini-batch and attempt."""
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
                self._compare_with_first(Tried(worker, short_return(number, items=items, succeeded=succeeded), False))

    def _add_tried(self, worker: str, failure: Failure, *, terminal: bool) -> None:
        tried = Tried(worker, failure, terminal)
        kind = self.kinds.add(tried)
        self.sums.add_tried(worker, failure.process, failure.started, failure.elapsed)
        offset, length = self._store_message(failure.message)
        row = _Row(
            *(failure.mini_batch, failure.attempt, failure.items, failure.process),
            *(_CATEGORIES[failure.category], terminal, self._name(worker), self._name(failure.log), kind),
            *(failure.started, failure.elapsed, offset, length),
        )
        self._tried += _TRIED.pack(*row)
        if self.first is None:
            self._compare_with_first(tried)

    def _compare_with_first(self, tried: Tried) -> None:
        """Set `first` if this attempt has the first error."""
        error, failure = self._first_error, tried.failure
        if error is not None and (error.mini_batch if error.mini_batch is not None else -1, error.message) == (
            failure.mini_batch,
            failure.message,
        ):
            self.first = tried

    def _store_message(self, message: str) -> tuple[int, int]:
        """Store a message; return its offset and length in bytes."""
        known = self._known.get(message)
        if known is None:
            data = message.encode("utf-8", "surrogatepass")
            known = (self._end, len(data))
            self._messages.seek(self._end)
            self._messages.write(data)
            self._end += len(data)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[message] = known
        return known

    def _name(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self._names)
            self._names.append(text)
        return self._numbers[text]


def _as_tried(done: Done) -> Tried:
    """Return a completion with too few results as a failed attempt."""
    failure = failure_of(done.completion)
    return Tried(done.worker, failure, terminal=False, picked=done.tries)
