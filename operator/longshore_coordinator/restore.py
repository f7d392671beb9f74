"""The state of earlier epochs, replayed from the ledger, to be applied to the plan while it is cut again."""

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
from longshore_coordinator.shutdowns import Shutdowns
from longshore_protocol import errors
from longshore_protocol.wire import Failure

_DONE = struct.Struct("<IQQ")  # attempt (0: not done), items, succeeded
_TRIED = struct.Struct("<IIqB")  # tries, last attempt, items (negative: unknown), whether the last try was terminal


class Restored:
    """The replayed ledger in about 40 bytes per mini-batch; empty for a new run."""

    def __init__(self, *, counts_empty: bool = True) -> None:
        self.plan = PlanRecord()
        self.codes: list[dict[str, Any]] = []  # versions of the code that completed mini-batches, in order
        self.shutdowns = Shutdowns()
        self._code: dict[str, Any] | None = None  # of the epoch being replayed; None if it did not record any
        self.errors = ErrorLog(counts_empty=counts_empty)
        self._done = bytearray()
        self._tried = bytearray()  # tries since the last resume by a user, attempts since the start of the run

    def apply(self, mini_batches: Iterable[int], leases: LeaseStore, accounts: Accounts, plan: Plan) -> None:
        """Apply the recorded state of newly added mini-batches to leases and accounts."""
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
                accounts.record_completion(items=items, succeeded=succeeded)
            elif terminal:
                accounts.record_failure(plan.items(mini_batch) if lost < 0 else lost)

    def add_done(self, entry: dict[str, Any]) -> None:
        """Add a `done` record; the first completion of a mini-batch counts."""
        if self._code is not None and (not self.codes or changes(self.codes[-1], self._code)):
            self.codes.append(self._code)
        for raw in entry["mini_batches"]:
            mini_batch, attempt, succeeded, items = raw[0], raw[1], raw[4], raw[5]
            if not _at(_DONE, self._done, mini_batch)[0]:
                _put(_DONE, self._done, mini_batch, attempt, items, succeeded)
                if succeeded:
                    self.errors.require_results()
                if succeeded != items:
                    self.errors.record_uneven_return(entry["worker"], mini_batch, items=items, succeeded=succeeded)

    def set_code(self, record: dict[str, Any]) -> None:
        """Apply a `code` record to the `done` records that follow."""
        self._code = record

    def add_tried(self, entry: dict[str, Any]) -> None:
        """Add a `tried` record."""
        failure, terminal = Failure(*entry["failure"]), entry["terminal"]
        if failure.category == errors.SYSTEM and failure.mini_batch >= 0:
            return  # an earlier version counted a try for it; such failures no longer cost one
        self.errors.record_failure(entry["worker"], failure, terminal=terminal)
        if failure.mini_batch >= 0:
            tries, attempt, *_ = _at(_TRIED, self._tried, failure.mini_batch)
            last = max(attempt, failure.attempt)
            _put(_TRIED, self._tried, failure.mini_batch, tries + 1, last, failure.items, terminal)

    def reset_tries(self) -> None:
        """Give failed mini-batches all their tries again, without resetting their attempt numbers."""
        for mini_batch in range(len(self._tried) // _TRIED.size):
            tries, attempt, *_ = _at(_TRIED, self._tried, mini_batch)
            if tries:
                _put(_TRIED, self._tried, mini_batch, 0, attempt, 0, 0)
        self.errors.reset_failures()


def _at(kind: struct.Struct, data: bytearray, number: int) -> tuple[Any, ...]:
    at = number * kind.size
    return kind.unpack_from(data, at) if at < len(data) else kind.unpack(bytes(kind.size))


def _put(kind: struct.Struct, data: bytearray, number: int, *values: Any) -> None:
    at = number * kind.size
    if at >= len(data):
        data.extend(bytes(at + kind.size - len(data)))
    kind.pack_into(data, at, *values)


def belongs_to_another(ledger: Ledger, *, step: str) -> bool:
    """Return whether the ledger was last written for another step, whose run the user resumes with this one.

    Compares with the last epoch that wrote, not with the last claim. If a coordinator ends before it records the
    resume, the next one records it, and only once. Blocks. Raises OSError, ValueError.
    """
    writer = ledger.last_writer()
    return writer is not None and writer.get("step", step) != step


def restore(ledger: Ledger, *, resumed_by_user: bool, counts_empty: bool = True) -> Restored:
    """Replay the earlier epochs; return their state.

    Args:
        ledger: ledger of this epoch.
        resumed_by_user: give failed mini-batches all their tries again.
        counts_empty: see `ErrorLog`.

    Raises:
        OSError, ValueError: the ledger cannot be read.
    """
    restored = Restored(counts_empty=counts_empty)
    for record in ledger.replay():
        if "done" in record:
            restored.add_done(record["done"])
        elif "code" in record:
            restored.set_code(record["code"])
        elif "tried" in record:
            restored.add_tried(record["tried"])
        elif "resumed" in record:
            restored.reset_tries()
        elif "plan" in record:
            restored.plan.update(record["plan"])
        elif "shutdown" in record:
            restored.shutdowns.restore(record["shutdown"])
    if resumed_by_user:
        restored.reset_tries()
        ledger.append({"resumed": ledger.epoch})
    return restored
