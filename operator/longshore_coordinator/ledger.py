"""The ledger: the state of a run in immutable objects, which any later coordinator can replay.

    state/epochs/000002.json            claim of epoch 2, written with create-if-absent: one coordinator per epoch
    state/ledger/000002-000007.jsonl    the seventh flush of epoch 2, one record per line

A record is a JSON object with one key that names its kind:

    replayed   {epoch: objects}   first line of an epoch: how many objects of each earlier epoch it replayed; objects
                                  that a superseded coordinator wrote later are void. `checked` in the same object
                                  states that the epoch's records were validated before they were written
    plan       {...}              a checkpoint of the plan: number of mini-batches and their digest (see `plan`)
    done       {worker, segment, bytes, digests, headers, mini_batches: [Completion, ...]}
               `bytes` is the length of the segment, `digests` are those of the rows (`segments.encode_digests`);
               ledgers of earlier versions lack both
    tried      {worker, terminal, failure: Failure}
    resumed    epoch              a user resumed the run: failed mini-batches get all their tries again
    code       {epoch, ...}       code and settings with which this epoch completes mini-batches (see `code`)
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from longshore_coordinator.incoming import repair
from longshore_storage.store import Store

_EPOCHS, _LEDGER = "state/epochs", "state/ledger"


class SupersededError(Exception):
    """A later coordinator has claimed the run, so this one must stop immediately."""


class Ledger:
    """The ledger of one run, written by the coordinator of one epoch."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store = store
        self.epoch = epoch
        self._written = 0
        self._lines: list[bytes] = []
        self._unwritten = b""  # lines of a failed flush that no object contains
        self._gathering = threading.Lock()  # guards _lines; held briefly, because the event loop appends
        self._writing = threading.Lock()  # guards the other attributes; held while an object is written

    @staticmethod
    def claim(store: Store, about: dict[str, Any]) -> Ledger:
        """Claim the next epoch of a run, storing `about` with the claim; return its ledger.

        Raises OSError, also for a store without create-if-absent.
        """
        store.prove()
        # A random value makes claims differ, so that ours is recognized if the response to its write was lost.
        claim = json.dumps({**about, "claim": secrets.token_hex(8)}).encode()
        while True:
            taken = store.names(_EPOCHS)
            epoch = int(taken[-1].rpartition("/")[2][:6]) + 1 if taken else 1
            if store.create(f"{_EPOCHS}/{epoch:06d}.json", claim):
                return Ledger(store, epoch)

    def last_writer(self) -> dict[str, Any] | None:
        """Return the `about` of the last earlier coordinator that wrote to the ledger, or None.

        A coordinator that claimed an epoch but never flushed is ignored. Raises OSError, ValueError.
        """
        earlier = [epoch for epoch, _ in map(_parse_name, self._store.names(_LEDGER)) if epoch < self.epoch]
        if not earlier:
            return None
        about: dict[str, Any] = json.loads(self._store.get(f"{_EPOCHS}/{max(earlier):06d}.json"))
        return about

    def replay(self) -> Iterator[dict[str, Any]]:
        """Yield every valid record of the earlier epochs, in order; record the replayed objects in this epoch.

        Raises OSError, ValueError for an object that cannot be read.
        """
        names = sorted(self._store.names(_LEDGER), key=_parse_name)
        limits, checked = self._read_first_lines(names)
        valid = [name for name in names if _is_valid(_parse_name(name), before=self.epoch, limits=limits)]
        replayed = {str(epoch): number for epoch, number in map(_parse_name, valid)}  # epoch -> its last object
        for name, data in zip(valid, self._store.get_each(valid), strict=True):
            epoch, _ = _parse_name(name)
            for line in data.splitlines():
                decoded = _decode(name, line)
                if "replayed" in decoded:
                    continue
                record = decoded if epoch in checked else _repair(name, decoded)
                if record is not None:
                    yield record
        self._lines.insert(0, _encode({"replayed": replayed, "checked": True}))

    def _read_first_lines(self, names: list[str]) -> tuple[dict[int, int], set[int]]:
        """Return the number of valid objects of each epoch that a later one replayed, and the checked epochs.

        Reads the latest epoch first: an epoch whose first object is void was superseded before it replayed anything, so
        its record about earlier epochs is ignored.
        """
        limits: dict[int, int] = {}
        checked = set()
        for name in reversed(names):
            epoch, number = _parse_name(name)
            if number != 1 or limits.get(epoch) == 0:
                continue
            first = _decode(name, self._store.get(name).split(b"\n", 1)[0])
            if first.get("checked"):
                checked.add(epoch)
            replayed = first.get("replayed", {})
            for earlier in range(
                1, epoch
            ):  # an epoch that is not listed had written nothing: its later objects are void
                valid = replayed.get(str(earlier), 0)
                limits[earlier] = min(valid, limits.get(earlier, valid))
        return limits, checked

    def append(self, record: dict[str, Any]) -> None:
        """Add a record to the next flush."""
        line = _encode(record)
        with self._gathering:
            self._lines.append(line)

    def flush(self) -> None:
        """Write the appended records durably as the next object.

        Blocks. Safe to call from any thread, and again after an error, because records are kept until they are written.
        Raises SupersededError if a later coordinator has claimed the run, OSError.
        """
        with self._writing:
            with self._gathering:
                self._unwritten += b"".join(self._lines)
                self._lines = []
            self._write()
        if self.is_superseded():
            raise SupersededError(f"another coordinator claimed epoch {self.epoch + 1}")

    def is_superseded(self) -> bool:
        """Return whether a later coordinator has claimed the run. Raises OSError."""
        return is_superseded(self._store, self.epoch)

    def _write(self) -> None:
        while self._unwritten:
            name = f"{_LEDGER}/{self.epoch:06d}-{self._written + 1:06d}.jsonl"
            written = self._unwritten
            if not self._store.create(name, written):
                # The object exists. It is ours if an earlier write succeeded and only its response was lost.
                written = self._store.get(name)
                if not self._unwritten.startswith(written):
                    raise SupersededError(f"another coordinator wrote {name}")
            self._written += 1
            self._unwritten = self._unwritten[len(written) :]

    def done(self) -> Iterator[tuple[str, str, list[str], list[list[Any]]]]:
        """Yield (worker, segment, headers, completions) of every valid `done` record, including this epoch's."""
        for record in self.records():
            if "done" in record:
                entry = record["done"]
                yield entry["worker"], entry["segment"], entry["headers"], entry["mini_batches"]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every valid record, including this epoch's flushed ones."""
        yield from Ledger(self._store, self.epoch + 1).replay()


def is_superseded(store: Store, epoch: int) -> bool:
    """Return whether a coordinator later than that of `epoch` has claimed the run. Raises OSError."""
    return store.exists(f"{_EPOCHS}/{epoch + 1:06d}.json")


def _parse_name(name: str) -> tuple[int, int]:
    """Return the epoch and the number of an object of the ledger."""
    epoch, _, number = name.rpartition("/")[2].partition(".")[0].partition("-")
    return int(epoch), int(number)


def _is_valid(parsed: tuple[int, int], *, before: int, limits: dict[int, int]) -> bool:
    epoch, number = parsed
    return epoch < before and number <= limits.get(epoch, number)


def _decode(name: str, line: bytes) -> dict[str, Any]:
    """Parse a line of the ledger's object `name`; return the record. Raises ValueError."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the ledger's object {name} cannot be read: {error}") from error
    if type(record) is not dict:
        raise ValueError(f"the ledger's object {name} cannot be read: a line is not a JSON object")
    return record


def _repair(name: str, record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return repair(record)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the ledger's object {name} cannot be read: a record lacks {error}") from error


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
