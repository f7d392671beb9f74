"""Copies of whole files that many mini-batches read: each is brought once, and goes when room is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Copy:
    """One file's copy."""

    task: asyncio.Task[tuple[str, int]]  # gives its path, and its size in bytes
    users: set[Hashable] = field(default_factory=set)

    def size(self) -> int:
        """Return how many bytes are here: none while it is on its way, or when it did not come."""
        is_here = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result()[1] if is_here else 0


class Kept(Generic[Key]):
    """Copies by a key, such as URL and version; at most `room` bytes stay, and what somebody uses stays anyway.

    The least recently used go first.

    `bring` gives the path of a new copy and its size in bytes, or raises; `delete` is told a path that may go.
    """

    def __init__(
        self, bring: Callable[[Key], Coroutine[Any, Any, tuple[str, int]]], delete: Callable[[str], None], *, room: int
    ) -> None:
        self._bring = bring
        self._delete = delete
        self._room = room
        self._copies: dict[Key, _Copy] = {}  # the most recently used last

    async def path(self, key: Key, user: Hashable) -> str:
        """Return the path of a file's copy, which stays until the user releases it. Raises what `bring` raises."""
        copy = self._copies.pop(key, None) or _Copy(asyncio.create_task(self._bring(key)))
        self._copies[key] = copy
        copy.users.add(user)
        try:
            path, _ = await asyncio.shield(copy.task)
        except BaseException:
            copy.users.discard(user)
            if copy.task.done() and self._copies.get(key) is copy:
                del self._copies[key]  # the next one that needs it tries again
            raise
        self._make_room()
        return path

    def release(self, user: Hashable) -> None:
        """A user needs none of its copies any more."""
        for copy in self._copies.values():
            copy.users.discard(user)
        self._make_room()

    async def close(self) -> None:
        """Bring nothing any more. What is there is left to who made its folder."""
        tasks = [copy.task for copy in self._copies.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self) -> None:
        taken = sum(copy.size() for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if taken <= self._room:
                return
            if not copy.users and (size := copy.size()):
                taken -= size
                del self._copies[key]
                self._delete(copy.task.result()[0])
