"""The ends of a run that succeeded, and the retries of its failed mini-batches. Blocking.

    state/succeeded.json           the last snapshot of the run when it first succeeded
    state/retries/000003.json      epoch 3 began to retry the mini-batches that had failed by then
    state/successes/000003.json    the last snapshot of epoch 3, with which a retry ended

Each object is created once and never replaced or deleted. So an end stays true until the next one is written, and a
retry that was killed is resumed by whichever coordinator comes next.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store

FIRST = "state/succeeded.json"
_RETRIES, _LATER = "state/retries", "state/successes"


@dataclass(frozen=True)
class End:
    """One end of a run that succeeded."""

    epoch: int  # that wrote it; 0 for the first end, which no retry precedes
    last: Snapshot


def latest_end(store: Store) -> End | None:
    """Return the latest end of a run; None for a run that has never succeeded. Raises OSError."""
    later = store.names(_LATER)
    name = later[-1] if later else FIRST
    try:
        return End(_epoch(name) if later else 0, Snapshot.from_json(store.get(name).decode()))
    except FileNotFoundError:
        return None


def is_finished(store: Store, end: End) -> bool:
    """Return whether nothing is left to do after the latest end: no retry began since. Raises OSError."""
    return max(map(_epoch, store.names(_RETRIES)), default=0) <= end.epoch


def finished_end(store: Store) -> Snapshot | None:
    """Return the last snapshot of a run that has succeeded; None while there is something to do. Raises OSError."""
    end = latest_end(store)
    return end.last if end is not None and is_finished(store, end) else None


def begin_retry(store: Store, epoch: int) -> None:
    """Record that the failed mini-batches are retried from this epoch on. Raises OSError."""
    store.create(f"{_RETRIES}/{epoch:06d}.json", json.dumps({"epoch": epoch}).encode())


def write_success(store: Store, last: Snapshot) -> None:
    """Record the end of the run with its last snapshot, as that of the snapshot's epoch. Raises OSError."""
    name = f"{_LATER}/{last.epoch:06d}.json" if store.names(_RETRIES) else FIRST
    store.create(name, last.to_json().encode())


def _epoch(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])
