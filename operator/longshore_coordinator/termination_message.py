"""The last snapshot of a run, shortened to the size of a container's termination message."""

from __future__ import annotations

from dataclasses import replace

from longshore_protocol.snapshot import Snapshot
from longshore_protocol.termination import LIMIT, shortened

_MAX_DEVICES = 5  # kept if the snapshot is too long
_CUTS = (2000, 1000, 500, 200, 50, 0)  # lengths in characters that the texts are cut to, tried in order


def termination_message(snapshot: Snapshot) -> str:
    """Return the snapshot as JSON of at most LIMIT bytes, with texts shortened if needed, the traceback first."""
    text = snapshot.to_json()
    if not _fits(text):
        error = snapshot.first_error
        snapshot = replace(
            snapshot,
            devices=snapshot.devices[:_MAX_DEVICES],
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
    if not _fits(text):  # it registers much, and its locations are long
        text = replace(snapshot, devices=(), first_error=None).to_json()
    return text


def _fits(text: str) -> bool:
    return len(text.encode()) <= LIMIT
