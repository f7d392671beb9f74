"""What the ledger of earlier epochs says, made ready to be laid over the plan while that is cut again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from longshore_coordinator.accounts import Accounts
from longshore_coordinator.leases import LeaseStore
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.plan import Plan, PlanRecord
from longshore_protocol import errors
from longshore_protocol.wire import Completion, Failure


@dataclass
class Restored:
    """The replayed ledger. Empty for a new run."""

    done: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # mini-batch -> attempt, items, succeeded
    tried: dict[int, list[tuple[str, Failure, bool]]] = field(default_factory=dict)  # since the last resumption
    plan: PlanRecord = field(default_factory=PlanRecord)

    def apply(self, mini_batches: Iterable[int], leases: LeaseStore, accounts: Accounts, plan: Plan) -> None:
        """Lay what is known of some mini-batches, just added, over leases and accounts."""
        if not self.done and not self.tried:
            return
        for mini_batch in mini_batches:
            for worker, failure, terminal in self.tried.get(mini_batch, ()):
                leases.restore_try(mini_batch, failure.attempt, terminal=terminal)
                accounts.saw_error(worker, failure)
                if terminal and mini_batch not in self.done:
                    accounts.gave_up(plan.items(mini_batch) if failure.items < 0 else failure.items)
            if mini_batch in self.done:
                attempt, items, succeeded = self.done[mini_batch]
                leases.restore_done(mini_batch, attempt)
                accounts.completed(items=items, succeeded=succeeded)


def belongs_to_another(ledger: Ledger, *, step: str) -> bool:
    """Tell whether what the ledger holds was last written for another step than this: its user resumes it with us.

    Asked of the last one who wrote, and not of the last claim: so a coordinator that ends before it noted the
    resumption leaves that to the next one, and the next one of many notes it no second time. Blocks. Raises OSError,
    ValueError.
    """
    writer = ledger.last_writer()
    return writer is not None and writer.get("step", step) != step


def restore(ledger: Ledger, *, resumed_by_user: bool) -> Restored:
    """Replay the earlier epochs. A resumption by the user gives the failed mini-batches all their tries again.

    Blocks. Raises OSError, ValueError for a ledger that cannot be read.
    """
    restored = Restored()
    for record in ledger.replay():
        if "done" in record:
            for raw in record["done"]["mini_batches"]:
                done = Completion(*raw)
                restored.done.setdefault(done.mini_batch, (done.attempt, done.items, done.succeeded))
        elif "tried" in record:
            entry = record["tried"]
            failure = Failure(*entry["failure"])
            if failure.category == errors.SYSTEM and failure.mini_batch >= 0:
                continue  # of an earlier version, which took a try for it: these have all their tries again
            restored.tried.setdefault(failure.mini_batch, []).append((entry["worker"], failure, entry["terminal"]))
        elif "resumed" in record:
            restored.tried.clear()
        elif "plan" in record:
            restored.plan.take(record["plan"])
    if resumed_by_user:
        restored.tried.clear()
        ledger.append({"resumed": ledger.epoch})
    return restored


class Attempt(NamedTuple):
    """An attempt that failed."""

    worker: str
    failure: Failure
    terminal: bool


def committed(records: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yield each mini-batch's one valid completion, as the `done` entry that holds it and the Completion as a list.

    The first one counts: a displaced coordinator may have accepted another, later in the ledger.
    """
    seen: set[int] = set()
    for record in records:
        if "done" in record:
            entry = record["done"]
            for raw in entry["mini_batches"]:
                if raw[0] not in seen:
                    seen.add(raw[0])
                    yield entry, raw


def failed_attempts(records: Iterable[dict[str, Any]]) -> list[Attempt]:
    """Return the attempts that failed, in the order they were told."""
    entries = (record["tried"] for record in records if "tried" in record)
    return [Attempt(each["worker"], Failure(*each["failure"]), each["terminal"]) for each in entries]
