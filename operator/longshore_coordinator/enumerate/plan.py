"""The identity of a plan, by which a resumed run verifies that its plan is unchanged."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from longshore_coordinator.enumerate.slices import Slice
from longshore_protocol.job import Job, TabularFormat
from longshore_protocol.redaction import redacted
from longshore_protocol.slices import first_path, pieces_of
from longshore_protocol.stamps import modified_at
from longshore_storage.redaction import unsigned

_MAX_VALUE = 200  # characters of a value in a message
_STAMPS = "stamps"  # setting of plans whose digests cover the stamps of files
_STAMP = re.compile(rb'({"path":"(?:[^"\\]|\\.)*"),"stamp":"((?:[^"\\]|\\.)*?)( \d+@[0-9a-f]{12})?"')
# The fields of a TabularFormat that are always among the settings. Others are only if they differ from the default.
_FIRST_FIELDS = frozenset({
    "format", "separator", "header", "encoding", "column_types", "multi_line", "as_dicts", "query", "split_by",
    "database",
})  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The identity of the plan up to some mini-batch."""

    count: int  # mini-batches so far
    digest: str  # SHA-256 over all of them, in hex
    first: str  # path of the first item since the previous checkpoint


class PlanDigest:
    """SHA-256 over the mini-batches so far, in order.

    It covers the stamps of their files without the inodes, which differ in a restored copy or another mount.
    `has_stamps` is False for a run whose plan was first cut without stamps.
    """

    def __init__(self, *, has_stamps: bool = True) -> None:
        self.count = 0
        self._has_stamps = has_stamps
        self._digest = hashlib.sha256()
        self._first = b""  # the first payload since the last checkpoint

    def add(self, slice: Slice) -> None:
        """Add the next mini-batch of the plan."""
        if not self._first:
            self._first = slice.payload
        payload = slice.payload
        if b"://" in payload and b"?" in payload:  # without the signature of a presigned URL, which changes
            payload = unsigned(payload.decode("ascii")).encode("ascii")
        if b',"stamp":"' in payload:
            payload = _STAMP.sub(rb'\1,"stamp":"\2"' if self._has_stamps else rb"\1", payload)
        self._digest.update(b"%d %d\n" % (slice.input, len(payload)))
        self._digest.update(payload)
        self.count += 1

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint here. Raises IndexError if nothing was added since the last one."""
        if not self._first:
            raise IndexError("no mini-batch was added since the last checkpoint")
        first = redacted(first_path(json.loads(self._first)))
        self._first = b""
        return Checkpoint(self.count, self._digest.hexdigest(), first)


def has_stamps(settings: dict[str, Any]) -> bool:
    """Return whether the digests of a plan with these settings cover the stamps of files."""
    return bool(settings.get(_STAMPS))


def last_modified(lot: Iterable[Slice]) -> tuple[str, str] | None:
    """Return path and time of the local file of tabular mini-batches that was modified last, or None."""
    pieces = (piece for each in lot if b',"stamp":"' in each.payload for piece in pieces_of(json.loads(each.payload)))
    times = ((modified_at(piece["stamp"]), piece["path"]) for piece in pieces if "stamp" in piece)
    at, path = max(times, default=("", ""))
    return (path, at) if at else None


def plan_settings(job: Job, *, has_stamps: bool = True) -> dict[str, Any]:
    """Return the settings, besides the files, that determine a plan and its output, fit for JSON."""
    settings: dict[str, Any] = {
        "inputs": [
            {
                "name": each.name,
                "paths": [redacted(unsigned(path)) for path in each.paths],
                "tabular": each.tabular and _format_settings(each.tabular),
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
    # Settings with default values are left out, so that they equal those of earlier versions.
    later = {"partition keys": job.partition_keys, "coalesce small files": job.coalesce, _STAMPS: has_stamps}
    settings.update({name: value for name, value in later.items() if value})
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _format_settings(format: TabularFormat) -> dict[str, Any]:
    default = TabularFormat(format.format)
    given = vars(format).items()
    return {name: value for name, value in given if name in _FIRST_FIELDS or value != getattr(default, name)}


def setting_difference(stored: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Return a sentence about the first difference between two `plan_settings`, or None."""
    for name, old, new in _changes(stored, now):
        return f"The setting {name} was {_shorten(old)} and is {_shorten(new)} now."
    return None


def _changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield name, old value and new value of each difference, None for a missing value."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f'"{prefix}{name}"', before, after


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…"
