"""Records of a run's successes and of the retries of its failed mini-batches. All functions block.

    state/succeeded.json           the last snapshot of the run's first success
    state/retries/000003.json      epoch 3 started to retry the failed mini-batches
    state/successes/000003.json    the last snapshot of epoch 3, in which a retry finished

Each object is created once and never replaced or deleted. A success is valid until the next one is written, and the
next coordinator resumes a retry that was killed.
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
    """One success of a run."""

    epoch: int  # of the coordinator that wrote it; 0 for the first success
    last: Snapshot


def latest_end(store: Store) -> End | None:
    """Return the latest success of a run, or None if it has never succeeded. Raises OSError."""
    later = store.names(_LATER)
    name = later[-1] if later else FIRST
    try:
        return End(_epoch(name) if later else 0, Snapshot.from_json(store.get(name).decode()))
    except FileNotFoundError:
        return None


def is_finished(store: Store, end: End) -> bool:
    """Return whether no retry has started since the latest success. Raises OSError."""
    return max(map(_epoch, store.names(_RETRIES)), default=0) <= end.epoch


def finished_end(store: Store) -> Snapshot | None:
    """Return the last snapshot of a succeeded run, or None if the run is unfinished. Raises OSError."""
    end = latest_end(store)
    return end.last if end is not None and is_finished(store, end) else None


def begin_retry(store: Store, epoch: int) -> None:
    """Record that `epoch` retries the failed mini-batches. Raises OSError."""
    store.create(f"{_RETRIES}/{epoch:06d}.json", json.dumps({"epoch": epoch}).encode())


def write_success(store: Store, last: Snapshot) -> None:
    """Record the success of the run under its last snapshot's epoch. Raises OSError."""
    name = f"{_LATER}/{last.epoch:06d}.json" if store.names(_RETRIES) else FIRST
    store.create(name, last.to_json().encode())


def _epoch(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])
