"""The identity of a plan: a resumed run must have the one that it began with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from longshore_coordinator.enumerate.slices import Slice
from longshore_protocol.job import Job
from longshore_protocol.slices import first_path
from longshore_storage.redaction import redacted

_LONGEST = 200  # characters of a value that a sentence shows


@dataclass(frozen=True)
class Checkpoint:
    """What the plan was up to some mini-batch."""

    count: int  # mini-batches so far
    digest: str  # SHA-256 over all of them, in hex
    first: str  # path of the first item since the checkpoint before


class PlanDigest:
    """SHA-256 over the mini-batches so far, in order."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()
        self._first = b""  # the first payload since the last checkpoint

    def add(self, slice: Slice) -> None:
        """Add the next mini-batch of the plan."""
        if not self._first:
            self._first = slice.payload
        payload = slice.payload
        if b"://" in payload and b"?" in payload:  # the signature of a presigned URL is not part of what it names
            payload = redacted(payload.decode("ascii")).encode("ascii")
        self._digest.update(b"%d %d\n" % (slice.input, len(payload)))
        self._digest.update(payload)
        self.count += 1

    def checkpoint(self) -> Checkpoint:
        """Return what the plan is up to here. Raises IndexError when nothing was added since the last checkpoint."""
        if not self._first:
            raise IndexError("no mini-batch was added since the last checkpoint")
        first = redacted(first_path(json.loads(self._first)))
        self._first = b""
        return Checkpoint(self.count, self._digest.hexdigest(), first)


def plan_settings(job: Job) -> dict[str, Any]:
    """Return what a plan and its output follow from, besides the files that there are, as JSON."""
    settings: dict[str, Any] = {
        "inputs": [
            {
                "name": each.name,
                "paths": [redacted(path) for path in each.paths],
                "tabular": each.tabular and vars(each.tabular),
                **({"partition format": each.partition_format} if each.partition_format else {}),
            }
            for each in job.inputs
        ],
        "mini-batch size": f"{job.mini_batch.value} {job.mini_batch.unit}",
        "output action": job.output.action,
        "output format": job.output.format,
        "output header": job.output.header,
        "output separator": job.output.separator,
        "sample": job.sample,
    }
    # What is not set is not named, so that plans of earlier versions stay what they were.
    later = {"partition keys": job.partition_keys, "coalesce small files": job.coalesce}
    settings.update({name: value for name, value in later.items() if value})
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def setting_difference(stored: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Say in one sentence which of the `plan_settings` differs, None for none."""
    for name, old, new in _changes(stored, now):
        return f"The setting {name} was {_short(old)} and is {_short(new)} now."
    return None


def _changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield name, old and new value of what differs, None for what is not there."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f'"{prefix}{name}"', before, after


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
