"""The plan as the coordinator holds it, and the thread that cuts it.

Mini-batches are leased while later ones are still being listed. Each lot that is handed over is noted in the ledger
first, as a checkpoint (so many mini-batches, this digest), so that a resumed run can prove at every checkpoint that it
has the same plan, however early the first one was interrupted.
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
from longshore_protocol.text import MESSAGE, printable
from longshore_protocol.wire import Grant
from longshore_storage.errors import ShownError
from longshore_storage.redaction import redacted

_LOT = 1000  # mini-batches handed over at once...
_LOT_SECONDS = 0.1  # ...or what was cut in this time
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before inputs are listed again
_UNKNOWN = -1
_LONGEST_NAME = 200  # characters of an item's name in a message


class PlanChangedError(ShownError):
    """The inputs or settings are not those of the run that is resumed; the message says what differs."""


class Plan:
    """All mini-batches cut so far."""

    def __init__(self) -> None:
        self.complete = False
        self.items_scheduled = 0
        self._payloads = Payloads()
        self._inputs = array("H")
        self._items = array("l")
        self._uncounted = 0  # mini-batches whose rows nobody knows before they are read

    def __len__(self) -> int:
        return len(self._payloads)

    def add(self, slices: Iterable[Slice]) -> None:
        """Add the next mini-batches."""
        for each in slices:
            self._payloads.append(each.payload)
            self._inputs.append(each.input)
            self._items.append(_UNKNOWN if each.items is None else each.items)
            self.items_scheduled += each.items or 0
            self._uncounted += each.items is None

    def items_counted(self) -> int | None:
        """Return the items of all mini-batches cut so far; None when rows of some are not counted yet."""
        return None if self._uncounted else self.items_scheduled

    def grants(self, pairs: Iterable[tuple[int, int]]) -> list[Grant]:
        """Return what is sent for (mini-batch, attempt) pairs."""
        payloads, inputs = self._payloads, self._inputs
        return [Grant(number, attempt, inputs[number], payloads[number]) for number, attempt in pairs]

    def items(self, mini_batch: int) -> int:
        """Return the items of a mini-batch; 1 for rows that nobody counted yet."""
        known = self._items[mini_batch]
        return known if known != _UNKNOWN else items_in(json.loads(self._payloads[mini_batch]), None)

    def item_names(self, mini_batch: int, *, limit: int) -> list[str]:
        """Return the names of a mini-batch's first items: files, or where the rows stand."""
        found = slices.item_names(json.loads(self._payloads[mini_batch]), limit)
        names = [printable(redacted(name), MESSAGE) for name in found]
        return [name if len(name) <= _LONGEST_NAME else f"...{name[-_LONGEST_NAME:]}" for name in names]

    def names(self, mini_batches: Iterable[int], *, limit: int) -> list[str]:
        """Return the names of the first items of some mini-batches."""
        found: list[str] = []
        for mini_batch in mini_batches:
            found += self.item_names(mini_batch, limit=limit - len(found))
        return found

    def describe(self, mini_batch: int, job: Job) -> dict[str, Any]:
        """Return a mini-batch's input and slice, for reports; nothing for -1 (no mini-batch was involved)."""
        if mini_batch < 0:
            return {}
        return {
            "input": job.inputs[self._inputs[mini_batch]].name,
            "items": json.loads(redacted(self._payloads[mini_batch].decode("ascii"))),
        }


@dataclass
class PlanRecord:
    """What the ledger says of the plan of earlier epochs."""

    settings: dict[str, Any] | None = None
    checkpoints: dict[int, tuple[str, str]] = field(default_factory=dict)  # count -> digest, first path since the last
    total: int | None = None  # known once an epoch listed the inputs to their end

    def take(self, entry: dict[str, Any]) -> None:
        """Take in one `plan` record."""
        self.settings = entry.get("settings", self.settings)
        self.total = entry.get("total", self.total)
        if "count" in entry:
            self.checkpoints[entry["count"]] = (entry["digest"], entry["first"])


class PlanReader(threading.Thread):
    """Cuts the plan, lot by lot.

    `deliver` is called in this thread with each lot and its ledger record; it hands both to the event loop. `ended` is
    called once, unless the reader is stopped before: with None, or with what ended it early, which is InputError,
    EmptyInputError, PlanChangedError or a bug. `waits` is called with the reason when a store fails, and with "" when
    that is over.
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
        self.advanced = 0  # grows while inputs are listed and read
        self._cut = cut or partial(enumerate_inputs, advance=self._advance)
        self._stopping = threading.Event()

    def _advance(self) -> None:
        self.advanced += 1

    def stop(self) -> None:
        """Cut no more; nothing is delivered after the lot in hand."""
        self._stopping.set()

    def run(self) -> None:
        """Cut to the end; from the beginning again while a store fails, for as long as the job waits for one."""
        waited, failures = 0.0, 0
        while not self._stopping.is_set():
            began, delivered = time.monotonic(), self._delivered
            try:
                self._read()
            except Exception as error:  # noqa: BLE001  (the event loop decides what it means)
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
        # A run of an earlier version goes on without stamps in its digests: it has none to compare with.
        with_stamps = stored is None or has_stamps(stored)
        settings = plan_settings(self._job, has_stamps=with_stamps)
        difference = None if stored is None else setting_difference(stored, settings)
        if difference is not None:
            raise PlanChangedError(difference)
        if stored is None or not self._delivered:
            self._deliver([], {"settings": settings})
        digest = PlanDigest(has_stamps=with_stamps)
        lot: list[Slice] = []
        limit, until = 1, time.monotonic() + _LOT_SECONDS  # the first mini-batch is not kept waiting
        known, total = self._record.checkpoints, self._record.total
        proven_to = max(known, default=0)  # until there nothing is handed over before it is proven to be as it was
        for each in islice(self._cut(self._job), self._job.sample):
            if self._stopping.is_set():
                return
            lot.append(each)
            digest.add(each)
            is_new = digest.count > proven_to and total is None
            if digest.count in known or (is_new and (len(lot) >= limit or time.monotonic() > until)):
                self._hand_over(lot, digest)
                lot, limit, until = [], min(_LOT, limit * 10), time.monotonic() + _LOT_SECONDS
        if proven_to > digest.count or total not in (None, digest.count):
            planned = proven_to if total is None else total
            text = f"The plan had {planned} mini-batches and has {digest.count} now."
            raise PlanChangedError(text + _suspect(lot))
        if lot:
            self._hand_over(lot, digest)
        self._deliver([], {"total": digest.count})

    def _hand_over(self, lot: list[Slice], digest: PlanDigest) -> None:
        checkpoint = digest.checkpoint()
        known = self._record.checkpoints.get(checkpoint.count)
        if known is not None and known[0] != checkpoint.digest:
            first = checkpoint.count - len(lot)
            was, now = known[1], checkpoint.first
            where = f'was "{was}"' + ("" if was == now else f' and is "{now}" now')
            mini_batches = f"between mini-batch {first} and {checkpoint.count - 1}"
            raise PlanChangedError(f"The files changed {mini_batches}, of which the first {where}.{_suspect(lot)}")
        if checkpoint.count > self._delivered:  # else it was, before a store failed
            entry = {"count": checkpoint.count, "digest": checkpoint.digest, "first": checkpoint.first}
            self._deliver(lot, entry)
            self._record.take(entry)
            self._delivered = checkpoint.count
            self._waits("")


def _suspect(lot: list[Slice]) -> str:
    """Return a sentence about the file that most likely changed, with a space before; "" where times tell nothing."""
    found = last_modified(lot)
    return "" if found is None else f' The file "{found[0]}" was modified last, at {found[1]}.'


def verdict_on(error: Exception) -> Verdict:
    """Return the verdict on a run whose plan ended early, with this error."""
    if isinstance(error, PlanChangedError):
        return Verdict(verdicts.PLAN_CHANGED, str(error))
    if isinstance(error, EmptyInputError):
        return Verdict(verdicts.EMPTY_INPUT, str(error))
    if isinstance(error, InputError):
        return Verdict(verdicts.INPUT_ERROR, str(error))
    return Verdict(verdicts.INPUT_ERROR, f"listing the inputs failed: {type(error).__name__}: {error}")
