"""The last snapshot within the few bytes that a container may leave behind."""

from __future__ import annotations

from dataclasses import replace

from longshore_protocol.snapshot import Snapshot
from longshore_protocol.termination import LIMIT, shortened

_FEW = 5  # devices that are still told when not all fits
_CUTS = (2000, 1000, 500, 200, 50, 0)  # characters that the longest texts are cut to, one after the other


def last_words(snapshot: Snapshot) -> str:
    """Return the snapshot as JSON of at most LIMIT bytes: texts lose their middle, the traceback first."""
    text = snapshot.to_json()
    if not _fits(text):
        error = snapshot.first_error
        snapshot = replace(
            snapshot,
            devices=snapshot.devices[:_FEW],
            first_error=None if error is None else replace(error, items=()),
        )
        text = snapshot.to_json()
    for length in _CUTS:
        if _fits(text):
            return text
        error = snapshot.first_error
        if error is not None:
            snapshot = replace(
                snapshot, first_error=replace(error, traceback=error.traceback[-length:] if length else "")
            )
            text = snapshot.to_json()
    for length in _CUTS:
        if _fits(text):
            return text
        error = snapshot.first_error
        snapshot = replace(
            snapshot,
            message=shortened(snapshot.message, length),
            waiting_message=shortened(snapshot.waiting_message, length),
            first_error=None if error is None else replace(error, message=shortened(error.message, length)),
        )
        text = snapshot.to_json()
    return text


def _fits(text: str) -> bool:
    return len(text.encode()) <= LIMIT
