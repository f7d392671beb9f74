"""What a status, events and objects are about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """The resource that a status and events are about."""

    kind: str
    namespace: str
    name: str
    uid: str
