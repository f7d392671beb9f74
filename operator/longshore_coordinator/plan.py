"""The plan of a run in memory, and the thread that cuts the inputs into it.

Mini-batches are leased while the inputs of later ones are still being listed. Each lot of mini-batches is recorded in
the ledger before it is leased, as a checkpoint with their number and digest. A resumed run verifies at each checkpoint
that its plan is the same, however early the first run was interrupted.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.accounts import items_in
from longshore_coordinator.enumerate import (
    EmptyInputError,
    InputError,
    PlanDigest,
    Slice,
    has_stamps,
    last_modified,
    plan_settings,
    setting_difference,
)
from longshore_coordinator.enumerate import cut as enumerate_inputs
from longshore_coordinator.outage import is_outage
from longshore_coordinator.payloads import Payloads
from longshore_coordinator.verdict import Verdict
from longshore_protocol import slices
from longshore_protocol.backoff import pause
from longshore_protocol.job import Job
from longshore_protocol.redaction import redacted
from longshore_protocol.text import MESSAGE, printable
from longshore_protocol.wire import Grant
from longshore_storage.errors import ShownError

_LOT = 1000  # largest number of mini-batches delivered at once...
_LOT_SECONDS = 0.1  # ...unless this time passes first
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before inputs are listed again after a failure
_UNKNOWN = -1
_MAX_NAME = 200  # characters of an item's name in a message


class PlanChangedError(ShownError):
    """The inputs or settings differ from those of the resumed run; the message names the difference."""


class Plan:
    """All mini-batches cut so far."""

    def __init__(self) -> None:
        self.complete = False
        self.items_scheduled = 0
        self._payloads = Payloads()
        self._inputs = array("H")
        self._items = array("l")
        self._uncounted = 0  # mini-batches whose number of rows is unknown before they are read

    def __len__(self) -> int:
        return len(self._payloads)

    def add(self, slices: Iterable[Slice]) -> None:
        """Append mini-batches."""
        for each in slices:
            self._payloads.append(each.payload)
            self._inputs.append(each.input)
            self._items.append(_UNKNOWN if each.items is None else each.items)
            self.items_scheduled += each.items or 0
            self._uncounted += each.items is None

    def items_counted(self) -> int | None:
        """Return the number of items cut so far, or None if the rows of some mini-batches are not counted."""
        return None if self._uncounted else self.items_scheduled

    def grants(self, pairs: Iterable[tuple[int, int]]) -> list[Grant]:
        """Return the grants to send for (mini-batch, attempt) pairs."""
        payloads, inputs = self._payloads, self._inputs
        return [Grant(number, attempt, inputs[number], payloads[number]) for number, attempt in pairs]

    def items(self, mini_batch: int) -> int:
        """Return the number of items of a mini-batch, 1 if its rows are not counted."""
        known = self._items[mini_batch]
        return known if known != _UNKNOWN else items_in(json.loads(self._payloads[mini_batch]), None)

    def item_names(self, mini_batch: int, *, limit: int) -> list[str]:
        """Return the names of a mini-batch's first items: files, or positions of rows."""
        found = slices.item_names(json.loads(self._payloads[mini_batch]), limit)
        names = [printable(redacted(name), MESSAGE) for name in found]
        return [name if len(name) <= _MAX_NAME else f"...{name[-_MAX_NAME:]}" for name in names]

    def names(self, mini_batches: Iterable[int], *, limit: int) -> list[str]:
        """Return the names of the first items of some mini-batches."""
        found: list[str] = []
        for mini_batch in mini_batches:
            found += self.item_names(mini_batch, limit=limit - len(found))
        return found

    def describe(self, mini_batch: int, job: Job) -> dict[str, Any]:
        """Return the input and the slice of a mini-batch for reports; an empty dict for -1, which means none."""
        if mini_batch < 0:
            return {}
        return {
            "input": job.inputs[self._inputs[mini_batch]].name,
            "items": json.loads(redacted(self._payloads[mini_batch].decode("ascii"))),
        }


@dataclass
class PlanRecord:
    """The plan of earlier epochs, as recorded in the ledger."""

    settings: dict[str, Any] | None = None
    checkpoints: dict[int, tuple[str, str]] = field(default_factory=dict)  # count -> digest, first path since the last
    total: int | None = None  # number of mini-batches, known once an epoch has listed all inputs

    def update(self, entry: dict[str, Any]) -> None:
        """Apply one `plan` record."""
        self.settings = entry.get("settings", self.settings)
        self.total = entry.get("total", self.total)
        if "count" in entry:
            self.checkpoints[entry["count"]] = (entry["digest"], entry["first"])


class PlanReader(threading.Thread):
    """Thread that cuts the inputs into the plan, lot by lot, and calls back in this thread.

    Args:
        job: the job.
        record: the plan of earlier epochs, with which the new plan must agree.
        deliver: called with each lot and its ledger record.
        ended: called once, unless the reader is stopped, with None or the exception that ended it: InputError,
            EmptyInputError, PlanChangedError or a bug.
        waits: called with a message when a store fails, and with "" when it works again.
        cut: yields the mini-batches of the job.
    """

    def __init__(
        self,
        job: Job,
        record: PlanRecord,
        *,
        deliver: Callable[[list[Slice], dict[str, Any]], None],
        ended: Callable[[Exception | None], None],
        waits: Callable[[str], None] = lambda _: None,
        cut: Callable[[Job], Iterator[Slice]] | None = None,
    ) -> None:
        super().__init__(name="plan", daemon=True)
        self._job = job
        self._record = record
        self._deliver = deliver
        self._ended = ended
        self._waits = waits
        self._delivered = 0  # mini-batches
        self.advanced = 0  # counter that grows while inputs are listed and read
        self._cut = cut or partial(enumerate_inputs, advance=self._advance)
        self._stopping = threading.Event()

    def _advance(self) -> None:
        self.advanced += 1

    def stop(self) -> None:
        """Stop cutting; at most the current lot is still delivered."""
        self._stopping.set()

    def run(self) -> None:
        """Cut all inputs; start again after a failure of a store, for at most the job's storage timeout."""
        waited, failures = 0.0, 0
        while not self._stopping.is_set():
            began, delivered = time.monotonic(), self._delivered
            try:
                self._read()
            except Exception as error:  # noqa: BLE001  (`ended` handles every exception)
                if self._delivered > delivered:
                    waited, failures = 0.0, 0
                waited += min(time.monotonic() - began, _LONGEST_PAUSE)
                if not is_outage(error) or waited >= self._job.timeouts.storage:
                    self._ended(error)
                    return
                self._waits(printable(str(error), MESSAGE))
                self._advance()
                failures += 1
                seconds = pause(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
                self._stopping.wait(seconds)
                waited += seconds
            else:
                if not self._stopping.is_set():
                    self._ended(None)
                return

    def _read(self) -> None:
        stored = self._record.settings
        # A run of an earlier version is resumed without stamps in its digests, because it recorded none.
        with_stamps = stored is None or has_stamps(stored)
        settings = plan_settings(self._job, has_stamps=with_stamps)
        difference = None if stored is None else setting_difference(stored, settings)
        if difference is not None:
            raise PlanChangedError(difference)
        if stored is None or not self._delivered:
            self._deliver([], {"settings": settings})
        digest = PlanDigest(has_stamps=with_stamps)
        lot: list[Slice] = []
        limit, until = 1, time.monotonic() + _LOT_SECONDS  # deliver the first mini-batch immediately
        known, total = self._record.checkpoints, self._record.total
        proven_to = max(known, default=0)  # up to here, deliver only lots that a checkpoint has verified
        for each in islice(self._cut(self._job), self._job.sample):
            if self._stopping.is_set():
                return
            lot.append(each)
            digest.add(each)
            is_new = digest.count > proven_to and total is None
            if digest.count in known or (is_new and (len(lot) >= limit or time.monotonic() > until)):
                self._deliver_lot(lot, digest)
                lot, limit, until = [], min(_LOT, limit * 10), time.monotonic() + _LOT_SECONDS
        if proven_to > digest.count or total not in (None, digest.count):
            planned = proven_to if total is None else total
            text = f"The plan had {planned} mini-batches and has {digest.count} now."
            raise PlanChangedError(text + _name_last_modified(lot))
        if lot:
            self._deliver_lot(lot, digest)
        self._deliver([], {"total": digest.count})

    def _deliver_lot(self, lot: list[Slice], digest: PlanDigest) -> None:
        """Verify a lot against the recorded checkpoint, if any, and deliver it. Raises PlanChangedError."""
        checkpoint = digest.checkpoint()
        known = self._record.checkpoints.get(checkpoint.count)
        if known is not None and known[0] != checkpoint.digest:
            first = checkpoint.count - len(lot)
            was, now = known[1], checkpoint.first
            where = f'was "{was}"' + ("" if was == now else f' and is "{now}" now')
            mini_batches = f"between mini-batch {first} and {checkpoint.count - 1}"
            raise PlanChangedError(
                f"The files changed {mini_batches}, of which the first {where}.{_name_last_modified(lot)}"
            )
        if checkpoint.count > self._delivered:  # otherwise it was delivered before a store failed
            entry = {"count": checkpoint.count, "digest": checkpoint.digest, "first": checkpoint.first}
            self._deliver(lot, entry)
            self._record.update(entry)
            self._delivered = checkpoint.count
            self._waits("")


def _name_last_modified(lot: list[Slice]) -> str:
    """Return a sentence, after a space, about the file that was modified last; "" if no time is known."""
    found = last_modified(lot)
    return "" if found is None else f' The file "{found[0]}" was modified last, at {found[1]}.'


def verdict_on(error: Exception) -> Verdict:
    """Return the verdict on a run whose plan could not be completed because of `error`."""
    if isinstance(error, PlanChangedError):
        return Verdict(verdicts.PLAN_CHANGED, str(error))
    if isinstance(error, EmptyInputError):
        return Verdict(verdicts.EMPTY_INPUT, str(error))
    if isinstance(error, InputError):
        return Verdict(verdicts.INPUT_ERROR, str(error))
    return Verdict(verdicts.INPUT_ERROR, f"the inputs cannot be listed: {type(error).__name__}: {error}")
