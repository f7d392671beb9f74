"""Which processes of a worker have ended the shutdown() of their script."""

from __future__ import annotations

import os

from longshore_agent.slots import Slot, State
from longshore_protocol.wire import process_name


class Shutdowns:
    """The ends of shutdown() in one worker, whose processes record registrations in folders below `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.completed: list[int] = []  # processes
        self.failed = 0  # processes that raised or took too long; not those killed by others

    def process_ready(self, slot: Slot) -> None:
        """Note whether the script has a shutdown(): then its process has a folder."""
        slot.shuts_down = os.path.isdir(os.path.join(self._folder, process_name(slot.process)))

    def process_shut_down(self, slot: Slot) -> None:
        """Record that shutdown() has ended."""
        if slot.state is State.ENDING:
            self.completed.append(slot.process)

    def process_died(self, slot: Slot) -> None:
        """Record a failed shutdown(), before the slot records the death."""
        has_failed = slot.killed is not None or (slot.exit is not None and slot.exit.code >= 0)
        if slot.state is State.ENDING and has_failed and slot.process not in self.completed:
            self.failed += 1
