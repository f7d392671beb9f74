"""How much of the scratch volume staged inputs may take, and which files are kept for those that come after.

Nothing is known of a file's size before it is here, so each mini-batch is taken to be as large as the largest so far.
One that is larger than all there is to share is brought too, alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


def limit_of(folder: str) -> int:
    """Return the bytes that may be staged on a folder's volume: half of what is free. Raises OSError."""
    return shutil.disk_usage(folder).free // 2


@dataclass
class _Kept:
    size: int = 0
    users: set[Hashable] = field(default_factory=set)


class Space:
    """The bytes that mini-batches and kept files take. Lives on the event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: dict[Hashable, int] = {}  # by mini-batch; what is not here yet, as it is guessed
        self._largest = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # by name, the one used last at the end
        self._freed = asyncio.Condition()

    @property
    def used(self) -> int:
        """The bytes that are taken, or promised."""
        return sum(self._taken.values()) + sum(each.size for each in self._kept.values())

    async def enter(self, who: Hashable) -> list[str]:
        """Wait until there is room for one more mini-batch, then called `who`; return the kept files that make room."""
        gone: list[str] = []

        def has_room() -> bool:
            gone.extend(self._overdue(self._largest))
            return not self._taken or self.used + self._largest <= self.limit

        async with self._freed:
            await self._freed.wait_for(has_room)
            self._taken[who] = self._largest
        return gone

    def brought(self, who: Hashable, size: int) -> None:
        """All of a mini-batch is here: so many bytes, those of kept files left out."""
        if who in self._taken:
            self._taken[who] = size
            self._largest = max(self._largest, size)

    async def leave(self, who: Hashable) -> list[str]:
        """Forget a mini-batch, and return the kept files that are to go."""
        async with self._freed:
            self._taken.pop(who, None)
            for each in self._kept.values():
                each.users.discard(who)
            gone = self._overdue()
            self._freed.notify_all()
        return gone

    def use(self, name: str, who: Hashable) -> None:
        """A mini-batch needs a kept file until it leaves, though it may not be here yet."""
        self._kept.setdefault(name, _Kept()).users.add(who)
        self._kept.move_to_end(name)

    def keep(self, name: str, size: int) -> list[str]:
        """A kept file is here; return those that are to go for it."""
        self._kept[name].size = size
        return self._overdue()

    def forget(self, name: str) -> None:
        """A file that was to be kept is not here."""
        self._kept.pop(name, None)

    def _overdue(self, more: int = 0) -> list[str]:
        """Drop files that nobody uses, those unused for longest first, until all and `more` are within the limit."""
        gone = []
        for name in [name for name, each in self._kept.items() if not each.users]:
            if self.used + more <= self.limit:
                break
            del self._kept[name]
            gone.append(name)
        return gone


def size_of(folder: str) -> int:
    """Return the bytes of all files below a folder; an absent one has none."""
    return sum(os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names)
