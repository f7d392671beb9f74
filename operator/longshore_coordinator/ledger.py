"""The ledger: what is done, written down in immutable objects that any later coordinator can replay.

    state/epochs/000002.json            claimed with a create-if-absent write: one coordinator per epoch
    state/ledger/000002-000007.jsonl    the seventh flush of epoch 2, one record a line

A record is a JSON object with one key that names its kind:

    replayed   {epoch: objects}   first line of an epoch: how many objects of each earlier epoch it took over; what a
                                  displaced coordinator still wrote after that is void. `checked` beside it says that
                                  the epoch's records were checked before they were written
    plan       {...}              a checkpoint of the plan: so many mini-batches, this digest (see `plan`)
    done       {worker, segment, bytes, digests, headers, mini_batches: [Completion, ...]}
               `bytes` is the segment's length, `digests` are those of the rows (`segments.encode_digests`); ledgers of
               earlier versions lack both
    tried      {worker, terminal, failure: Failure}
    resumed    epoch              a user asked to go on: what had failed may be tried again
    code       {epoch, ...}       code and settings with which this epoch completes mini-batches (see `code`)
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from longshore_coordinator.incoming import repaired
from longshore_storage.store import Store

_EPOCHS, _LEDGER = "state/epochs", "state/ledger"


class SupersededError(Exception):
    """A later coordinator has claimed the run: this one must stop at once."""


class Ledger:
    """The ledger of one run, as the coordinator of one epoch writes it."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store = store
        self.epoch = epoch
        self._written = 0
        self._lines: list[bytes] = []
        self._unwritten = b""  # lines of a flush that failed, without those that an object has
        self._gathering = threading.Lock()  # held for a moment: records come from the event loop
        self._writing = threading.Lock()  # held while an object is written

    @staticmethod
    def claim(store: Store, about: dict[str, Any]) -> Ledger:
        """Claim the next epoch of a run; `about` is kept with the claim.

        Raises OSError, also for a store that gives a name to two.
        """
        store.prove()
        # No two claims are alike: where the answer to ours is lost, its bytes show whose it is.
        claim = json.dumps({**about, "claim": secrets.token_hex(8)}).encode()
        while True:
            taken = store.names(_EPOCHS)
            epoch = int(taken[-1].rpartition("/")[2][:6]) + 1 if taken else 1
            if store.create(f"{_EPOCHS}/{epoch:06d}.json", claim):
                return Ledger(store, epoch)

    def last_writer(self) -> dict[str, Any] | None:
        """Return what the latest earlier coordinator that wrote to the ledger said of itself with its claim.

        None when none has written. One that claimed an epoch and ended before its first flush left no trace. Raises
        OSError, ValueError.
        """
        earlier = [epoch for epoch, _ in map(_place, self._store.names(_LEDGER)) if epoch < self.epoch]
        if not earlier:
            return None
        about: dict[str, Any] = json.loads(self._store.get(f"{_EPOCHS}/{max(earlier):06d}.json"))
        return about

    def replay(self) -> Iterator[dict[str, Any]]:
        """Yield every valid record of the earlier epochs, in order, and remember in this epoch what was taken over.

        Raises OSError, ValueError for an object that is no ledger.
        """
        names = sorted(self._store.names(_LEDGER), key=_place)
        limits, checked = self._first_lines(names)
        valid = [name for name in names if _is_valid(_place(name), before=self.epoch, limits=limits)]
        taken_over = {str(epoch): number for epoch, number in map(_place, valid)}  # the last one of each
        for name, data in zip(valid, self._store.get_each(valid), strict=True):
            epoch, _ = _place(name)
            for line in data.splitlines():
                decoded = _decode(name, line)
                if "replayed" in decoded:
                    continue
                record = decoded if epoch in checked else _repaired(name, decoded)
                if record is not None:
                    yield record
        self._lines.insert(0, _encode({"replayed": taken_over, "checked": True}))

    def _first_lines(self, names: list[str]) -> tuple[dict[int, int], set[int]]:
        """Return how many objects of each epoch are valid, where a later epoch has said so, and the checked epochs.

        Latest epoch first: one whose own objects are void, the first included, was displaced before it took over
        anything, and has no say over the epochs before it.
        """
        limits: dict[int, int] = {}
        checked = set()
        for name in reversed(names):
            epoch, number = _place(name)
            if number != 1 or limits.get(epoch) == 0:
                continue
            first = _decode(name, self._store.get(name).split(b"\n", 1)[0])
            if first.get("checked"):
                checked.add(epoch)
            replayed = first.get("replayed", {})
            for earlier in range(1, epoch):  # one that had written nothing yet is not named: all it wrote later is void
                taken = replayed.get(str(earlier), 0)
                limits[earlier] = min(taken, limits.get(earlier, taken))
        return limits, checked

    def append(self, record: dict[str, Any]) -> None:
        """Add a record to the next flush."""
        line = _encode(record)
        with self._gathering:
            self._lines.append(line)

    def flush(self) -> None:
        """Write what was appended as the next object, durably.

        Blocks; safe to call from any thread, and to call again after an error, for nothing is forgotten before it is
        written. Raises SupersededError when a later coordinator claimed the run, OSError.
        """
        with self._writing:
            with self._gathering:
                self._unwritten += b"".join(self._lines)
                self._lines = []
            self._write()
        if self.is_superseded():
            raise SupersededError(f"another coordinator claimed epoch {self.epoch + 1}")

    def is_superseded(self) -> bool:
        """Tell whether a later coordinator has claimed the run. Raises OSError."""
        return is_superseded(self._store, self.epoch)

    def _write(self) -> None:
        while self._unwritten:
            name = f"{_LEDGER}/{self.epoch:06d}-{self._written + 1:06d}.jsonl"
            written = self._unwritten
            if not self._store.create(name, written):
                # An object that is there already is ours if an earlier try wrote it and only the answer was lost.
                written = self._store.get(name)
                if not self._unwritten.startswith(written):
                    raise SupersededError(f"another coordinator wrote {name}")
            self._written += 1
            self._unwritten = self._unwritten[len(written) :]

    def done(self) -> Iterator[tuple[str, str, list[str], list[list[Any]]]]:
        """Yield (worker, segment, headers, completions) of every valid record, this epoch's flushed ones included."""
        for record in self.records():
            if "done" in record:
                entry = record["done"]
                yield entry["worker"], entry["segment"], entry["headers"], entry["mini_batches"]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every valid record, this epoch's flushed ones included."""
        yield from Ledger(self._store, self.epoch + 1).replay()


def is_superseded(store: Store, epoch: int) -> bool:
    """Tell whether a later coordinator than that of an epoch has claimed the run. Raises OSError."""
    return store.exists(f"{_EPOCHS}/{epoch + 1:06d}.json")


def _place(name: str) -> tuple[int, int]:
    epoch, _, number = name.rpartition("/")[2].partition(".")[0].partition("-")
    return int(epoch), int(number)


def _is_valid(place: tuple[int, int], *, before: int, limits: dict[int, int]) -> bool:
    epoch, number = place
    return epoch < before and number <= limits.get(epoch, number)


def _decode(name: str, line: bytes) -> dict[str, Any]:
    """Return a record of the ledger's object `name`. Raises ValueError."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the ledger's object {name} cannot be read: {error}") from error
    if type(record) is not dict:
        raise ValueError(f"the ledger's object {name} cannot be read: a line is no JSON object")
    return record


def _repaired(name: str, record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return repaired(record)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the ledger's object {name} cannot be read: a record lacks {error}") from error


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
