"""What the ledger of earlier epochs says, made ready to be laid over the plan while that is cut again."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from longshore_coordinator.accounts import Accounts
from longshore_coordinator.code import changes
from longshore_coordinator.error_log import ErrorLog
from longshore_coordinator.leases import LeaseStore
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.plan import Plan, PlanRecord
from longshore_protocol import errors
from longshore_protocol.wire import Failure

_DONE = struct.Struct("<IQQ")  # attempt (0: not done), items, succeeded
_TRIED = struct.Struct("<IIqB")  # tries, last attempt, items (below 0: not known), whether the last was terminal


class Restored:
    """The replayed ledger, in about 40 bytes a mini-batch. Empty for a new run."""

    def __init__(self, *, counts_empty: bool = True) -> None:
        self.plan = PlanRecord()
        self.codes: list[dict[str, Any]] = []  # with which mini-batches were completed, in order
        self._code: dict[str, Any] | None = None  # of the epoch whose records are taken in; None: it recorded none
        self.errors = ErrorLog(counts_empty=counts_empty)
        self._done = bytearray()
        self._tried = bytearray()  # tries since the last resumption, attempts since the first

    def apply(self, mini_batches: Iterable[int], leases: LeaseStore, accounts: Accounts, plan: Plan) -> None:
        """Lay what is known of some mini-batches, just added, over leases and accounts."""
        if not self._done and not self._tried:
            return
        for mini_batch in mini_batches:
            done, items, succeeded = _at(_DONE, self._done, mini_batch)
            tries, attempt, lost, terminal = _at(_TRIED, self._tried, mini_batch)
            if attempt and not tries:
                leases.restore_attempt(mini_batch, attempt)
            for _ in range(tries):
                leases.restore_try(mini_batch, attempt, terminal=bool(terminal))
            if done:
                leases.restore_done(mini_batch, done)
                accounts.completed(items=items, succeeded=succeeded)
            elif terminal:
                accounts.gave_up(plan.items(mini_batch) if lost < 0 else lost)

    def take_done(self, entry: dict[str, Any]) -> None:
        """Take in one `done` record. The first completion of a mini-batch counts."""
        if self._code is not None and (not self.codes or changes(self.codes[-1], self._code)):
            self.codes.append(self._code)
        for raw in entry["mini_batches"]:
            mini_batch, attempt, succeeded, items = raw[0], raw[1], raw[4], raw[5]
            if not _at(_DONE, self._done, mini_batch)[0]:
                _put(_DONE, self._done, mini_batch, attempt, items, succeeded)
                if succeeded:
                    self.errors.has_results()
                if succeeded != items:
                    self.errors.uneven(entry["worker"], mini_batch, items=items, succeeded=succeeded)

    def take_code(self, record: dict[str, Any]) -> None:
        """Take in a `code` record: what follows is of its epoch."""
        self._code = record

    def take_tried(self, entry: dict[str, Any]) -> None:
        """Take in one `tried` record."""
        failure, terminal = Failure(*entry["failure"]), entry["terminal"]
        if failure.category == errors.SYSTEM and failure.mini_batch >= 0:
            return  # of an earlier version, which took a try for it: these have all their tries again
        self.errors.failed(entry["worker"], failure, terminal=terminal)
        if failure.mini_batch >= 0:
            tries, attempt, *_ = _at(_TRIED, self._tried, failure.mini_batch)
            last = max(attempt, failure.attempt)
            _put(_TRIED, self._tried, failure.mini_batch, tries + 1, last, failure.items, terminal)

    def retry(self) -> None:
        """Give the failed mini-batches all their tries again; their attempts are counted on."""
        for mini_batch in range(len(self._tried) // _TRIED.size):
            tries, attempt, *_ = _at(_TRIED, self._tried, mini_batch)
            if tries:
                _put(_TRIED, self._tried, mini_batch, 0, attempt, 0, 0)
        self.errors.retry()


def _at(kind: struct.Struct, data: bytearray, number: int) -> tuple[Any, ...]:
    at = number * kind.size
    return kind.unpack_from(data, at) if at < len(data) else kind.unpack(bytes(kind.size))


def _put(kind: struct.Struct, data: bytearray, number: int, *values: Any) -> None:
    at = number * kind.size
    if at >= len(data):
        data.extend(bytes(at + kind.size - len(data)))
    kind.pack_into(data, at, *values)


def belongs_to_another(ledger: Ledger, *, step: str) -> bool:
    """Tell whether what the ledger holds was last written for another step than this: its user resumes it with us.

    Asked of the last one who wrote, and not of the last claim: so a coordinator that ends before it noted the
    resumption leaves that to the next one, and the next one of many notes it no second time. Blocks. Raises OSError,
    ValueError.
    """
    writer = ledger.last_writer()
    return writer is not None and writer.get("step", step) != step


def restore(ledger: Ledger, *, resumed_by_user: bool, counts_empty: bool = True) -> Restored:
    """Replay the earlier epochs. A resumption by the user gives the failed mini-batches all their tries again.

    `counts_empty` is that of `ErrorLog`. Blocks. Raises OSError, ValueError for a ledger that cannot be read.
    """
    restored = Restored(counts_empty=counts_empty)
    for record in ledger.replay():
        if "done" in record:
            restored.take_done(record["done"])
        elif "code" in record:
            restored.take_code(record["code"])
        elif "tried" in record:
            restored.take_tried(record["tried"])
        elif "resumed" in record:
            restored.retry()
        elif "plan" in record:
            restored.plan.take(record["plan"])
    if resumed_by_user:
        restored.retry()
        ledger.append({"resumed": ledger.epoch})
    return restored
