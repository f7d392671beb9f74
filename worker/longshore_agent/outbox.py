"""Results waiting to be reported: rows collected into segments, and the outcomes that refer to them.

A segment is one immutable object of the run folder. Its outcomes are reported only after it is written, so every
segment that the ledger names exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore_protocol.errors import USER_ERROR
from longshore_protocol.segments import digest_of, encode_digests, select_digests
from longshore_protocol.wire import STORE, Completion, Deferral, Failure

FLUSH_BYTES = 8 * 1024 * 1024  # of rows: a segment of this size is written immediately
FLUSH_OUTCOMES = 1000  # this many results are reported immediately


@dataclass
class Batch:
    """The contents of one report."""

    segment: str
    rows: list[bytes] = field(default_factory=list)
    size: int = 0  # bytes in `rows`
    digests: str = ""  # of each result's rows, once the segment is written
    headers: list[str] = field(default_factory=list)
    completed: list[Completion] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    returned: list[list[int]] = field(default_factory=list)
    deferred: list[Deferral] = field(default_factory=list)
    init_failed: list[Failure] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Return whether there is nothing to report."""
        return not (self.completed or self.failed or self.returned or self.deferred or self.init_failed)

    def defer(self, message: str) -> None:
        """Turn the results into deferrals, because their rows could not be written; `message` states the cause."""
        self.deferred += [Deferral(each.mini_batch, each.attempt, STORE, message) for each in self.completed]
        self.completed, self.digests = [], ""

    def refuse(self, causes: Mapping[int, str]) -> None:
        """Turn results into failures; `causes` maps mini-batches to messages."""
        kept = [place for place, each in enumerate(self.completed) if each.mini_batch not in causes]
        for each in self.completed:
            if each.mini_batch in causes:
                head = each.mini_batch, each.attempt, each.items, each.process
                failure = Failure(*head, USER_ERROR, causes[each.mini_batch], "", each.started, each.elapsed, "")
                self.failed.append(failure)
        self.completed = [self.completed[place] for place in kept]
        self.digests = select_digests(self.digests, kept)

    def seal(self) -> bytes:
        """Compute the digests of all results; return the bytes of the segment."""
        rest = iter(self.rows)
        self.digests = encode_digests(digest_of(next(rest) if each.length else b"") for each in self.completed)
        data, self.rows = b"".join(self.rows), []
        return data


class Outbox:
    """Collects results until there are enough for a segment."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._count = 0
        self.batch = self._new()

    def _new(self) -> Batch:
        self._count += 1
        return Batch(f"state/segments/{self._agent}-{self._count:06d}")

    def complete(self, message: list[Any], *, process: int, rows: bytes) -> None:
        """Add a result: the DONE message of a child, and its rows as bytes."""
        _, mini_batch, attempt, succeeded, items, started, elapsed, run, cpu, header = message
        batch = self.batch
        header_index = -1
        if header:
            if header not in batch.headers:
                batch.headers.append(header)
            header_index = batch.headers.index(header)
        batch.completed.append(
            Completion(
                mini_batch,
                attempt,
                batch.size,
                len(rows),
                succeeded,
                items,
                header_index,
                process,
                started,
                elapsed,
                run,
                cpu,
            )
        )
        if rows:
            batch.rows.append(rows)
            batch.size += len(rows)

    def fail(self, failure: Failure) -> None:
        """Add a failed attempt."""
        self.batch.failed.append(failure)

    def defer(self, deferral: Deferral) -> None:
        """Add an attempt that failing infrastructure ended."""
        self.batch.deferred.append(deferral)

    def init_failed(self, failure: Failure) -> None:
        """Add a process whose init() failed."""
        self.batch.init_failed.append(failure)

    def give_back(self, mini_batch: int, attempt: int) -> None:
        """Add an unstarted mini-batch whose lease this agent releases."""
        self.batch.returned.append([mini_batch, attempt])

    def take(self) -> Batch:
        """Return everything to report and start a new batch."""
        batch, self.batch = self.batch, self._new()
        return batch

    def is_full(self) -> bool:
        """Return whether the batch should be reported now: it is large, or contains an init() failure."""
        batch = self.batch
        size = batch.size + sum(map(len, batch.headers))  # each mini-batch may have another header, of up to 1 MB
        return size >= FLUSH_BYTES or len(batch.completed) >= FLUSH_OUTCOMES or bool(batch.init_failed)
